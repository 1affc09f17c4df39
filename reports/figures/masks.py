"""Masks side by side: image, truth, then every head, the true outline over each mask and the boundary IoU below."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from contourpy import contour_generator
from jaxtyping import Bool, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from PIL import Image

from bench.store import Entry
from reports.figures.style import FAINT, INK, Figure, colour, house_style, pdf, svg
from reports.figures.subjects import names, newest_of_each

_SIDE_INCHES = 1.15
_TRUTH_COLOUR = "#808080"


class _Note(msgspec.Struct, frozen=True):
    """An entry of the file `objects.json` of a record."""

    number: int
    image_id: int
    category: str


@dataclass(frozen=True, kw_only=True)
class _Column:
    name: str
    head: str | None
    entry: Entry

    def picture(self, number: int, what: str) -> UInt8[np.ndarray, "H W *C"]:
        """Pixels of `object<number>-<what>.png`."""
        image = Image.open(io.BytesIO(_content(self.entry, f"object{number}-{what}.png")))
        return np.asarray(image.convert("RGB" if what == "image" else "L"))


def masks(entries: Sequence[Entry]) -> Figure | None:
    """Draw the objects that all records of the probe `pictures` have; None where there is nothing to draw.

    Records whose files are not beside them any more are left out. Of a head trained with several seeds, the first one
    is shown.
    """
    columns = _columns(entries)
    notes = _shared(columns)
    if not notes:
        return None
    with house_style():
        shape = (len(notes), 2 + len(columns))
        drawing = Drawing(figsize=(_SIDE_INCHES * shape[1], (_SIDE_INCHES + 0.22) * shape[0] + 0.25))
        grid = drawing.subplots(*shape, squeeze=False)
        for row, note in zip(grid, notes, strict=True):
            _draw_row(row, note, columns)
        for axes, title in zip(grid[0], ["Image", "Truth", *(column.name for column in columns)], strict=True):
            # A long name must not widen its column.
            axes.set_title("\n".join(title.split(" ", 1)), loc="center", fontsize=8)
        spoken = "; ".join(f"{column.name}: {_spoken(column, notes)}" for column in columns)
        picture = svg(drawing, "masks", f"Masks of {len(notes)} objects. Boundary IoU by object. {spoken}")
        printed = pdf(drawing)
    return Figure(
        name="masks",
        title="The same objects, drawn by every head",
        svg=picture,
        pdf=printed,
        caption=(
            "Line: the true outline. Number: the boundary IoU of mask and truth, from 0 to 1; the best one is bold.",
            "The objects are those with the longest outline for their size, one of an image and of a class, chosen "
            "from the annotations alone; first those that the heads draw worst on average, last the best.",
            "All heads got the boxes and classes of the true objects.",
        ),
    )


def _columns(entries: Sequence[Entry]) -> list[_Column]:
    """One column for every head and variant of it."""
    complete = [
        entry
        for entry in newest_of_each(entries, "pictures")
        if f"{entry.path.stem}.objects.json" in entry.record.files
        and all(entry.path.with_name(name).is_file() for name in entry.record.files)
    ]
    first: dict[object, Entry] = {}
    for entry in sorted(complete, key=lambda entry: entry.record.subject.seed):
        subject = entry.record.subject
        first.setdefault((subject.head, subject.module, subject.preset, subject.backbone, subject.schedule), entry)
    kept = [entry for entry in complete if entry in first.values()]
    subjects = [entry.record.subject for entry in kept]
    return [
        _Column(name=name, head=entry.record.subject.head, entry=entry)
        for name, entry in zip(names(subjects), kept, strict=True)
    ]


def _shared(columns: Sequence[_Column]) -> list[_Note]:
    """The objects that every column has, from the one that heads draw worst, on the whole, to the best."""
    listed = [msgspec.json.decode(_content(column.entry, "objects.json"), type=list[_Note]) for column in columns]
    shared = [note for note in listed[0] if all(note in others for others in listed)] if listed else []
    return sorted(shared, key=lambda note: sum(_score(column, note) for column in columns))


def _content(entry: Entry, name: str) -> bytes:
    return entry.path.with_name(f"{entry.path.stem}.{name}").read_bytes()


def _draw_row(row: Sequence[Axes], note: _Note, columns: Sequence[_Column]) -> None:
    truth = columns[0].picture(note.number, "truth") > 0
    height, width = truth.shape
    extent = (0, width, height, 0)  # whatever was made smaller covers the same part of the image
    row[0].imshow(columns[0].picture(note.number, "image"), extent=extent)
    row[0].set_xlabel(note.category, labelpad=2, fontsize=8)
    row[1].imshow(_filled(truth, _TRUTH_COLOUR), extent=extent)
    outline = _outline(truth)
    scores = [_score(column, note) for column in columns]
    for axes, column, score in zip(row[2:], columns, scores, strict=True):
        axes.imshow(_filled(column.picture(note.number, "mask") > 0, colour(column.head)), extent=extent)
        axes.add_patch(PathPatch(outline, fill=False, edgecolor=INK, linewidth=0.7))
        best = round(score, 2) == round(max(scores), 2)
        axes.set_xlabel(f"{score:.2f}", labelpad=2, fontsize=8, fontweight="bold" if best else "normal")
    for axes in row:
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set(visible=True, color=FAINT)


def _filled(mask: Bool[np.ndarray, "H W"], fill: str) -> UInt8[np.ndarray, "H W 4"]:
    """The mask in a colour, transparent elsewhere."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = (*(round(255 * part) for part in to_rgb(fill)), 170)
    return pixels


def _outline(mask: Bool[np.ndarray, "H W"]) -> Path:
    """Where the mask ends, in pixels of the picture."""
    framed = np.pad(mask, 1).astype(float)
    lines = [np.asarray(line, np.float64) for line in contour_generator(z=framed).lines(0.5)]
    # Of moves and lines alone, because matplotlib simplifies no other paths, and these are most of the page.
    codes = [[Path.MOVETO] + [Path.LINETO] * (len(line) - 1) for line in lines]
    # Contours go through the middles of pixels, and the frame has moved them by one.
    return Path(np.concatenate(lines) - 0.5, np.concatenate(codes))


def _score(column: _Column, note: _Note) -> float:
    return float(column.entry.record.values[f"boundary_iou_{note.number}"])


def _spoken(column: _Column, notes: Sequence[_Note]) -> str:
    return ", ".join(f"{note.category} {_score(column, note):.2f}" for note in notes)
