"""Where heads refine: how often each cell of a box was refined, and which cells of an image (the paper's Figure 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.figure import Figure as Drawing

from bench.store import Array
from reports.cells import Number
from reports.figures.style import FAINT, Figure, colour, house_style, pdf, svg
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import first_seeds

NUM_SNAPSHOTS = 2
"""Images below the maps: so many in all, but at least one of every head."""

_PANEL_INCHES = 1.75
_TITLE_INCHES = 0.2
_GREYS = 12
"""Shades of an image, which is a large part of the page otherwise."""


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    """An image with the boxes of a head on it (xyxy, in its pixels) and the active cells of every stage."""

    image_id: int
    pixels: UInt8[np.ndarray, "h w"]
    boxes: Float[np.ndarray, "R 4"]
    active: Mapping[int, Bool[np.ndarray, "R S S"]]

    def covered(self, stage: int) -> Bool[np.ndarray, "h w"]:
        """Pixels whose centre is in an active cell of any box."""
        return _pasted(self.active[stage], self.boxes, self.pixels.shape)

    def boxed(self) -> Bool[np.ndarray, "h w"]:
        """Pixels whose centre is in any box."""
        return _pasted(np.ones((len(self.boxes), 1, 1), np.bool_), self.boxes, self.pixels.shape)

    def share(self, stage: int) -> float:
        """The part of the boxes' area that a stage refines, in percent, both without counting a pixel twice."""
        return 100 * float(self.covered(stage).sum()) / max(1, int(self.boxed().sum()))


@dataclass(frozen=True, kw_only=True)
class _Traced:
    """A head with its maps by stage and, if the record has them, images."""

    name: str
    measured: Measured
    maps: Mapping[int, Float[np.ndarray, "S S"]]
    snapshots: tuple[_Snapshot, ...]

    def percent(self, stage: int) -> float:
        """Share of the boxes that a stage refines, the mean over images."""
        return 100 * _fractions(self.measured)[stage]


def activity(found: Sequence[Measured]) -> Figure | None:
    """Draw the maps of the probe `trace`, a row for every head, with images below; None without any.

    Records whose arrays are not beside them any more are left out.
    """
    chosen = comparable(found, "trace")
    shown = [each for each in first_seeds(chosen.shown) if _fractions(each) and each.arrays()]
    if not shown:
        return None
    called = names([each.subject for each in shown])
    per_head = max(1, NUM_SNAPSHOTS // len(shown))
    traced = [_traced(each, name, per_head) for each, name in zip(shown, called, strict=True)]
    most = max(max(each.maps) for each in traced)
    heights = [height for each in traced for height in [1.0, *map(_tallness, each.snapshots)]]
    with house_style():
        inches = sum(heights) * _PANEL_INCHES + _TITLE_INCHES * len(heights)
        drawing = Drawing(figsize=(0.4 + _PANEL_INCHES * most, inches))
        grid = drawing.subplots(len(heights), most, squeeze=False, height_ratios=heights)
        rows = iter(grid)
        for each in traced:
            _draw_maps(next(rows), each)
            for snapshot in each.snapshots:
                _draw_snapshot(next(rows), snapshot, colour(each.measured.subject.head))
        spoken = "; ".join(
            f"{each.name}: "
            + ", ".join(f"stage {stage} {each.percent(stage):.1f} % of the boxes" for stage in each.maps)
            for each in traced
        )
        picture = svg(drawing, "activity", f"Where heads refine. {spoken}")
        printed = pdf(drawing)
    images = ", ".join(dict.fromkeys(f"{each.measured.record.get('images').value:.0f}" for each in traced))
    on_images = (
        "On an image: the cells refined in any box, where they are, and their share of the area that boxes cover.",
    )
    return Figure(
        name="activity",
        title="Where do heads refine?",
        svg=picture,
        pdf=printed,
        caption=(
            "All boxes laid over each other: the stronger the colour, the more of them had this cell refined, from "
            "none to all; faint colours are strengthened (square root).",
            "Percent: the share of the boxes that a stage refines, the mean over images.",
            *(on_images if any(each.snapshots for each in traced) else ()),
            f"Over {images} images. The paper's Figure 1 gives 65, 35 and 20 % for the one object it shows.",
            *chosen.sentences(),
        ),
    )


def _fractions(measured: Measured) -> dict[int, Number]:
    """The shares of the boxes that were refined, by stage."""
    return {int(stage): number for stage, number in sorted(measured.numbers("active_fraction", "stage").items())}


def _traced(measured: Measured, name: str, num_snapshots: int) -> _Traced:
    arrays = measured.arrays()
    maps = {stage: arrays[f"stage{stage}_active_map"] for stage in _fractions(measured)}
    ids = [image_id for image_id in arrays.get("image_ids", ()) if f"scene{image_id}_pixels" in arrays]
    snapshots = tuple(_snapshot(arrays, int(image_id), maps) for image_id in ids[:num_snapshots])
    return _Traced(name=name, measured=measured, maps=maps, snapshots=snapshots)


def _snapshot(arrays: Mapping[str, Array], image_id: int, maps: Mapping[int, Float[np.ndarray, "S S"]]) -> _Snapshot:
    start = f"scene{image_id}"
    active = {}
    for stage, of_boxes in maps.items():
        bits = np.unpackbits(arrays[f"{start}_stage{stage}_active"], axis=1, count=of_boxes.size)
        active[stage] = bits.reshape(len(bits), *of_boxes.shape).astype(bool)
    return _Snapshot(image_id=image_id, pixels=arrays[f"{start}_pixels"], boxes=arrays[f"{start}_boxes"], active=active)


def _pasted(
    active: Bool[np.ndarray, "R S S"], boxes: Float[np.ndarray, "R 4"], shape: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Pixels whose centre is in an active cell of any box, each box cut into as many cells as `active` has."""
    covered = np.zeros(shape, np.bool_)
    side = active.shape[-1]
    rows, columns = (np.arange(length) + 0.5 for length in shape)
    for of_box, (left, top, right, bottom) in zip(active, boxes, strict=True):
        row = np.floor((rows - top) / max(bottom - top, 1e-6) * side)
        column = np.floor((columns - left) / max(right - left, 1e-6) * side)
        down, across = (np.flatnonzero((place >= 0) & (place < side)) for place in (row, column))
        cells = of_box[np.ix_(row[down].astype(int), column[across].astype(int))]
        covered[np.ix_(down, across)] |= cells
    return covered


def _tallness(snapshot: _Snapshot) -> float:
    height, width = snapshot.pixels.shape
    return height / width


def _draw_maps(row: Sequence[Axes], each: _Traced) -> None:
    shade = colour(each.measured.subject.head)
    ramp = LinearSegmentedColormap.from_list(shade, [f"{shade}00", shade])
    for panel, stage in zip(row, range(1, len(row) + 1), strict=True):
        if stage in each.maps:
            active = each.maps[stage]
            panel.imshow(active, cmap=ramp, norm=PowerNorm(0.5, vmin=0, vmax=1))
            side = len(active)
            _frame(panel, f"{side} x {side}: {each.percent(stage):.0f} %")
        else:
            panel.set_axis_off()
    row[0].set_ylabel("\n".join(each.name.split(" ", 1)), fontsize=9)


def _draw_snapshot(row: Sequence[Axes], snapshot: _Snapshot, shade: str) -> None:
    for panel, stage in zip(row, range(1, len(row) + 1), strict=True):
        if stage in snapshot.active:
            panel.imshow(_shaded(snapshot.pixels, snapshot.covered(stage), shade))
            _frame(panel, f"{snapshot.share(stage):.0f} % of the boxes")
        else:
            panel.set_axis_off()
    row[0].set_ylabel(f"image {snapshot.image_id}", fontsize=9)


def _shaded(
    pixels: UInt8[np.ndarray, "h w"], covered: Bool[np.ndarray, "h w"], shade: str
) -> UInt8[np.ndarray, "h w 3"]:
    """A pale grey image with some pixels in a colour, through which the image still shows."""
    grey = np.round(pixels / 255 * (_GREYS - 1)) / (_GREYS - 1)
    pale = np.repeat(0.65 + 0.35 * grey[:, :, None], 3, axis=2)
    pale[covered] = (0.45 + 0.55 * grey[covered][:, None]) * np.array(to_rgb(shade))
    return np.round(255 * pale).astype(np.uint8)


def _frame(panel: Axes, title: str) -> None:
    panel.set_title(title, fontsize=8, fontweight="normal", loc="center")
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set(visible=True, color=FAINT)
