"""Drawing a polygon exactly as pycocotools does, in memory that does not grow with what of it is outside the image.

pycocotools walks along the outline in fifths of a pixel and keeps every point, wherever it is: a few hundred corners
far outside an image fill gigabytes. All that it uses of them are the places where the outline crosses from one column
of pixels to the next, and these are computed here.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64
from pycocotools import mask as coco_mask

_SCALE = 5
"""Points of the outline in a pixel's side."""

_BEFORE = 2
"""Of a column's five points the one after which the outline crosses into the column's right half."""

_MOST_POINTS = 2**21
"""Of an outline that pycocotools gets, which takes 32 bytes for each."""

_CROSSINGS_AT_ONCE = 2**20


def draw(polygons: Sequence[Sequence[float]], height: int, width: int) -> bytes:
    """Compressed run lengths of the union of polygons [x, y, x, y, ...] of three points or more, as pycocotools'."""
    near: list[Sequence[float]] = []
    far: list[Sequence[float]] = []
    for polygon in polygons:
        (near if _num_points(polygon) <= _MOST_POINTS else far).append(polygon)
    encoded = coco_mask.frPyObjects(near, height, width) if near else []
    encoded += [_encoded(polygon, height, width) for polygon in far]
    counts: bytes = coco_mask.merge(encoded)["counts"]
    return counts


def _num_points(polygon: Sequence[float]) -> float:
    """No outline of so many corners within these bounds has more points."""
    return len(polygon) / 2 * ((max(polygon) - min(polygon)) * _SCALE + 2)


def _encoded(polygon: Sequence[float], height: int, width: int) -> dict[str, object]:
    changes = np.zeros(0, np.int64)
    for part in _crossings(polygon, height, width):
        # A pixel is inside where the outline was crossed an odd number of times before, in column order.
        places, times = np.unique(np.concatenate([changes, part]), return_counts=True)
        changes = places[times % 2 == 1]
    changes = changes[changes < height * width]
    runs = np.diff(changes, prepend=0, append=height * width)
    found: dict[str, object] = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return found


def _crossings(polygon: Sequence[float], height: int, width: int) -> Iterator[Int64[np.ndarray, "N"]]:
    """Pixels, in column order, at which the outline crosses the middle of a column of the image, above or in it."""
    points = (_SCALE * np.array(polygon, np.float64).reshape(-1, 2) + 0.5).astype(np.int64)
    ends = np.roll(points, -1, axis=0)
    low, high = np.minimum(points[:, 0], ends[:, 0]), np.maximum(points[:, 0], ends[:, 0])
    first = np.maximum(-((_BEFORE - low) // _SCALE), 0)
    last = np.minimum((high - _BEFORE - 1) // _SCALE, width - 1)
    count = np.maximum(last - first + 1, 0)
    batch = np.cumsum(count) // _CROSSINGS_AT_ONCE
    for number in np.unique(batch):
        edges = np.flatnonzero((batch == number) & (count > 0))
        edge = np.repeat(edges, count[edges])
        start = np.repeat(np.cumsum(count[edges]) - count[edges], count[edges])
        column = first[edge] + np.arange(len(edge)) - start
        row = _rows(points[edge], ends[edge], _SCALE * column + _BEFORE)
        below = np.ceil(((row + 0.5) / _SCALE - 0.5).clip(0, height)).astype(np.int64)
        yield column * height + below


def _rows(
    points: Int64[np.ndarray, "N 2"], ends: Int64[np.ndarray, "N 2"], before: Int64[np.ndarray, "N"]
) -> Int64[np.ndarray, "N"]:
    """The upper of the two points between which each edge crosses from `before` to the next place to the right.

    The arithmetic is that of pycocotools, in which every rounding counts.
    """
    extent = np.abs(ends - points)
    is_flat = extent[:, 0] >= extent[:, 1]
    is_flipped = np.where(is_flat, points[:, 0] > ends[:, 0], points[:, 1] > ends[:, 1])
    start = np.where(is_flipped[:, None], ends, points)
    stop = np.where(is_flipped[:, None], points, ends)
    rise = (stop - start).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # of the two slopes one is not used
        slope = np.where(is_flat, rise[:, 1] / extent[:, 0], rise[:, 0] / extent[:, 1])
    # A flat edge has a point for every place along x.
    along = before - start[:, 0]
    flat = np.minimum(*((start[:, 1] + slope * (along + step) + 0.5).astype(np.int64) for step in (0, 1)))
    # A steep one has one for every place along y: the first that is across, found by division and corrected.
    with np.errstate(divide="ignore", invalid="ignore"):
        guess = np.floor((before + 0.5 - start[:, 0]) / slope)
    guess = np.where(is_flat, 0, guess).astype(np.int64)
    across = np.full(len(before), -1, np.int64)
    for step in (1, 0, -1, 2):
        is_across = _is_across(start[:, 0], slope, guess + step, before)
        was_before = ~_is_across(start[:, 0], slope, guess + step - 1, before)
        across = np.where(is_across & was_before, guess + step, across)
    return np.where(is_flat, flat, start[:, 1] + across - 1)


def _is_across(
    start: Int64[np.ndarray, "N"],
    slope: Float64[np.ndarray, "N"],
    step: Int64[np.ndarray, "N"],
    before: Int64[np.ndarray, "N"],
) -> Bool[np.ndarray, "N"]:
    """Whether a steep edge, after so many steps along y, is on the other side of the crossing than at its beginning."""
    is_right = start + slope * step + 0.5 >= before + 1
    return is_right == (slope > 0)
