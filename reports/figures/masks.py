"""Masks side by side: image, truth, then every head, the true outline over each mask and the boundary IoU below."""

import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
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

from bench.data.image_ids import Id, natural, number
from bench.store import Array, Entry
from reports.figures.style import FAINT, INK, Figure, colour, house_style, pdf, svg
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import first_seeds

NUM_CASES = 4
"""So many of the worst objects are drawn, and of the best."""

ROOM = 6
"""So many heads are drawn beside each other at a size at which outlines can be told apart."""

_SIDE_INCHES = 1.15
_TRUTH_COLOUR = "#808080"


class _Note(msgspec.Struct, frozen=True):
    """An entry of the file `objects.json` of a record: an object of which it has image and truth."""

    row: int
    image_id: Id
    category: str


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A head with what its record has; `place` says where an object is among its arrays."""

    name: str
    entry: Entry
    arrays: Mapping[str, Array]
    place: Mapping[int, int]
    notes: tuple[_Note, ...]

    def score(self, row: int) -> float:
        """Boundary IoU of an object."""
        return float(self.arrays["boundary_ious"][self.place[row]])

    def mask(self, row: int) -> Bool[np.ndarray, "H W"]:
        """The mask of an object within its window."""
        place = self.place[row]
        left, top, right, bottom = self.arrays["windows"][place].tolist()
        first = int(self.arrays["mask_ends"][place - 1]) if place else 0
        packed = self.arrays["masks"][first : int(self.arrays["mask_ends"][place])].tobytes()
        shape = (bottom - top, right - left)
        bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8), count=shape[0] * shape[1])
        return bits.reshape(shape).astype(bool)

    def picture(self, row: int, what: str) -> UInt8[np.ndarray, "H W *C"]:
        """Pixels of `object<row>-<what>.png`, which only the record of a note has."""
        image = Image.open(io.BytesIO(_content(self.entry, f"object{row}-{what}.png")))
        return np.asarray(image.convert("RGB" if what == "image" else "L"))


@dataclass(frozen=True, kw_only=True)
class _Case:
    """An object to show: what it is, and the head whose record has its image and truth."""

    note: _Note
    source: _Column
    kind: str

    @property
    def row(self) -> int:
        """How all columns know the object."""
        return self.note.row

    @property
    def height(self) -> float:
        """Of its pictures, over the width of a column; tall ones are made to fit into a square."""
        height, width = self.source.mask(self.row).shape
        return min(1.0, height / width)


def masks(found: Sequence[Measured]) -> Figure | None:
    """Draw the objects that heads draw worst and best on average; None where there is nothing to draw.

    Records of the probe `pictures` whose files are not beside them any more are left out. Of a head trained with
    several seeds, the first one is shown.
    """
    chosen = comparable(found, "pictures")
    every = _columns(chosen.shown)
    columns, others = every[:ROOM], every[ROOM:]
    cases = _cases(columns)
    if not cases:
        return None
    with house_style():
        shape = (len(cases), 2 + len(columns))
        heights = [case.height for case in cases]
        inches = _SIDE_INCHES * sum(heights) + 0.22 * len(cases) + 0.25
        drawing = Drawing(figsize=(_SIDE_INCHES * shape[1] + 0.2, inches))
        grid = drawing.subplots(*shape, squeeze=False, height_ratios=heights)
        for row, case in zip(grid, cases, strict=True):
            _draw_row(row, case, columns)
        for axes, title in zip(grid[0], ["Image", "Truth", *(column.name for column in columns)], strict=True):
            # A long name must not widen its column.
            axes.set_title("\n".join(title.split(" ", 1)), loc="center", fontsize=8)
        spoken = "; ".join(f"{column.name}: {_spoken(column, cases)}" for column in columns)
        picture = svg(drawing, "masks", f"Masks of {len(cases)} objects. Boundary IoU by object. {spoken}")
        printed = pdf(drawing)
    counts = ", ".join(dict.fromkeys(f"{len(column.place):,}" for column in columns))
    return Figure(
        name="masks",
        title="The same objects, drawn by every head",
        svg=picture,
        pdf=printed,
        caption=(
            "Line: the true outline. Number: the boundary IoU of mask and truth, from 0 to 1; the best one is bold.",
            f"The worst and the best cases by the mean boundary IoU of these heads, chosen among all {counts} large "
            "objects of the images that were evaluated; one of an image and of a class.",
            "All heads got the boxes and classes of the true objects.",
            *([f"Not drawn, for want of room: {', '.join(each.name for each in others)}."] if others else []),
            *chosen.sentences(),
        ),
    )


def _columns(found: Iterable[Measured]) -> list[_Column]:
    """One column for every head and variant of it, whose files are all there."""
    complete = {each: entry for each in found if (entry := each.entry) is not None and _is_complete(entry)}
    kept = first_seeds(complete)
    called = names([each.subject for each in kept])
    return [_column(complete[each], name) for each, name in zip(kept, called, strict=True)]


def _is_complete(entry: Entry) -> bool:
    return (
        f"{entry.path.stem}.objects.json" in entry.record.files
        and entry.samples_path is not None
        and all(entry.path.with_name(name).is_file() for name in entry.record.files)
    )


def _column(entry: Entry, name: str) -> _Column:
    arrays = entry.arrays()
    return _Column(
        name=name,
        entry=entry,
        arrays=arrays,
        place={row: place for place, row in enumerate(arrays["rows"].tolist())},
        notes=tuple(msgspec.json.decode(_content(entry, "objects.json"), type=list[_Note])),
    )


def _cases(columns: Sequence[_Column]) -> list[_Case]:
    """The worst objects on average, then the best, each from the lowest boundary IoU to the highest.

    Of those that all columns drew, and of which one has the image because they are among its own extremes.
    """
    sources = {note.row: (note, column) for column in reversed(columns) for note in column.notes}
    shared = [row for row in sources if all(row in column.place for column in columns)]
    mean = {row: sum(column.score(row) for column in columns) / len(columns) for row in shared}

    def one_of_each(rows: Iterable[int]) -> list[int]:
        """The first objects of an image and of a class that none before them has."""
        seen: set[object] = set()
        chosen = []
        for row in rows:
            note, _ = sources[row]
            if seen.isdisjoint({note.image_id, note.category}):
                seen |= {note.image_id, note.category}
                chosen.append(row)
        return chosen

    ascending = sorted(shared, key=lambda row: (mean[row], natural(number(sources[row][0].image_id)), row))
    worst = one_of_each(ascending)[:NUM_CASES]
    others = [row for row in ascending if row not in worst]
    descending = sorted(others, key=lambda row: (-mean[row], natural(number(sources[row][0].image_id)), row))
    best = one_of_each(descending)[:NUM_CASES][::-1]
    kinds = [*((row, "worst") for row in worst), *((row, "best") for row in best)]
    return [_Case(note=sources[row][0], source=sources[row][1], kind=kind) for row, kind in kinds]


def _content(entry: Entry, name: str) -> bytes:
    return entry.path.with_name(f"{entry.path.stem}.{name}").read_bytes()


def _draw_row(row: Sequence[Axes], case: _Case, columns: Sequence[_Column]) -> None:
    truth = case.source.picture(case.row, "truth") > 0
    height, width = truth.shape
    extent = (0, width, height, 0)  # whatever was made smaller covers the same part of the image
    row[0].imshow(case.source.picture(case.row, "image"), extent=extent)
    row[0].set_xlabel(case.note.category, labelpad=2, fontsize=8)
    row[0].set_ylabel(case.kind, fontsize=8)
    row[1].imshow(_filled(truth, _TRUTH_COLOUR), extent=extent)
    outline = _outline(truth)
    scores = [column.score(case.row) for column in columns]
    for axes, column, score in zip(row[2:], columns, scores, strict=True):
        shade = colour(column.entry.record.subject.head)
        axes.imshow(_filled(column.mask(case.row), shade), extent=extent)
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


def _spoken(column: _Column, cases: Sequence[_Case]) -> str:
    return ", ".join(f"{case.kind} {case.note.category} {column.score(case.row):.2f}" for case in cases)
