"""How a hurried annotator draws an object: a few corners around what is visible, small holes and specks left out."""

from collections.abc import Iterator, Sequence

import contourpy
import numpy as np
from jaxtyping import Float64, UInt8

from bench.glyphs.raster import SAMPLES, bounding_box

# Coarseness in pixels, and its growth with the object: an image is zoomed to what is annotated.
_TOLERANCE = 0.6
_TOLERANCE_PER_PIXEL = 0.005
_CARE = 0.25
_JITTER = 0.4
# Shares of the squared size below which a hole is filled and a part that lies apart is forgotten.
_SMALLEST_HOLE = 0.02
_SMALLEST_PART = 0.005

Ring = Float64[np.ndarray, "_ 2"]


def coarse_polygons(rng: np.random.Generator, visible: UInt8[np.ndarray, "H W"]) -> tuple[Ring, ...]:
    """Draw the polygons of an object, points (x, y) in pixels; of every pixel, 0 to 16 samples are `visible`.

    Corners are those of the outline simplified by Douglas and Peucker's rule, displaced at random. COCO's polygons know
    no holes: a large hole becomes part of the outline, to which a seam of no width leads there and back.
    """
    size = max(bounding_box(visible > 0)[2:])
    tolerance = (_TOLERANCE + _TOLERANCE_PER_PIXEL * size) * float(np.exp(_CARE * rng.standard_normal()))
    parts = sorted(_contours(visible), key=lambda rings: -polygon_area(rings[:1]))
    polygons: list[Ring] = []
    for rings in parts:
        if polygons and polygon_area(rings[:1]) < _SMALLEST_PART * size**2:
            break
        outer, *holes = rings
        polygon = _drawn(rng, outer, tolerance)
        for hole in holes:
            if polygon_area([hole]) >= _SMALLEST_HOLE * size**2:
                polygon = _joined(polygon, _drawn(rng, hole, tolerance))
        polygons.append(polygon)
    return tuple(polygons)


def polygon_area(polygons: Sequence[Ring]) -> float:
    """Pixels that polygons enclose, as COCO's files say them: by the corners, not by the mask."""
    return sum(abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2 for x, y in (ring.T for ring in polygons))


def polygon_box(polygons: Sequence[Ring]) -> tuple[float, float, float, float]:
    """The box (x, y, width, height) of polygons, to a hundredth of a pixel as in COCO's files."""
    corners = np.concatenate(polygons)
    low, high = corners.min(axis=0), corners.max(axis=0)
    left, top, width, height = np.round(np.concatenate([low, high - low]), 2).tolist()
    return left, top, width, height


def _contours(visible: UInt8[np.ndarray, "H W"]) -> Iterator[list[Ring]]:
    """The outline of each connected part, then those of its holes; the last point of a ring is not its first."""
    # A margin closes outlines at the border of the image; a pixel's value is that of its centre.
    line = contourpy.contour_generator(z=np.pad(visible, 1), fill_type=contourpy.FillType.OuterOffset)
    more_than_half = SAMPLES**2 / 2 + 0.5
    for points, offsets in zip(*line.filled(more_than_half, np.inf), strict=True):
        yield [ring[:-1] - 0.5 for ring in np.split(points, offsets[1:-1])]


def _drawn(rng: np.random.Generator, ring: Ring, tolerance: float) -> Ring:
    corners = simplified(ring, tolerance)
    return corners + _JITTER * tolerance * rng.standard_normal(corners.shape)


def simplified(ring: Float64[np.ndarray, "N 2"], tolerance: float) -> Float64[np.ndarray, "M 2"]:
    """Keep those points of a closed ring from whose polygon none of the others is farther away than the tolerance."""
    far = int(np.argmax(np.hypot(*(ring - ring[0]).T)))
    closed = np.concatenate([ring, ring[:1]])
    kept = {0, far}
    stretches = [(0, far), (far, len(ring))]
    while stretches:
        start, end = stretches.pop()
        if end - start < 2:
            continue
        distance = _distances(closed[start + 1 : end], closed[start], closed[end])
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance or len(kept) < 3:
            middle = start + 1 + worst
            kept.add(middle)
            stretches += [(start, middle), (middle, end)]
    return ring[sorted(kept)]


def _distances(
    points: Float64[np.ndarray, "N 2"], start: Float64[np.ndarray, "2"], end: Float64[np.ndarray, "2"]
) -> Float64[np.ndarray, "N"]:
    """How far points are from the line between two others, or, where that has no length, from its ends."""
    along = end - start
    length = float(np.hypot(*along))
    away = points - start
    if length == 0:
        return np.hypot(*away.T)
    return np.abs(away[:, 0] * along[1] - away[:, 1] * along[0]) / length


def _joined(outer: Ring, hole: Ring) -> Ring:
    """Go around a polygon, and on the way over the shortest seam to a hole, around it and back."""
    distance = np.hypot(*(outer[:, None] - hole).transpose(2, 0, 1))
    leave, arrive = np.unravel_index(np.argmin(distance), distance.shape)
    around = np.roll(hole, -int(arrive), axis=0)
    return np.concatenate([outer[: leave + 1], around, around[:1], outer[leave:]])
