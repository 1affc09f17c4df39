"""Where the labels of a panel can stand without touching each other, by the size that their letters have on paper."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from matplotlib.axes import Axes

from reports.figures.style import INK

_LETTER = (0.066, 0.13)
"""Width and height of a letter of 8 points, in inches."""

_GAP = 0.05
_RINGS = (0.25, 0.4, 0.55, 0.7)
_DIRECTIONS = 16
_PASSES = 4
"""Labels are placed one after the other, then each anew beside all others, so many times."""

_FAINT = 0.6


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A point of a panel with its bar from `low` to `high`, and what to write beside it, perhaps `faint`."""

    text: str
    x: float
    y: float
    low: float
    high: float
    faint: bool = False


@dataclass(frozen=True)
class _Box:
    left: float
    bottom: float
    right: float
    top: float

    @property
    def area(self) -> float:
        """In square inches."""
        return (self.right - self.left) * (self.top - self.bottom)

    def overlap(self, other: "_Box") -> float:
        """The area that both cover, in square inches."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The place in the box that is nearest to another one."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


def label_points(
    axes: Axes,
    points: Sequence[Labelled],
    size: tuple[float, float],
    line: Sequence[tuple[float, float]] = (),
) -> None:
    """Write all labels where they touch least: at an end of the bar, at a side of the point, else led to by a line.

    `size` is about that of the panel, in inches; its limits must be final. Labels keep off the corners of a `line`
    and what is between them, which must run along the axes.
    """
    corners = [_inches(axes, x, y, size) for x, y in line]
    taken = [_bar(axes, point, size) for point in points] + [_segment(*ends) for ends in pairwise(corners)]
    chosen: dict[int, _Box] = {}
    for number in [*range(len(points))] * (1 + _PASSES):
        labels = [box for other, box in chosen.items() if other != number]
        chosen[number] = _best(axes, points[number], size, [*taken, *labels], labels)
    for number, point in enumerate(points):
        _write(axes, point, chosen[number], size)


def _best(
    axes: Axes, point: Labelled, size: tuple[float, float], taken: Sequence[_Box], labels: Sequence[_Box]
) -> _Box:
    """The first place that touches nothing, else the least bad one, which may be far."""
    x, low = _inches(axes, point.x, point.low, size)
    _, high = _inches(axes, point.x, point.high, size)

    def cost(box: _Box) -> float:
        nearest = x, min(max(low, (box.bottom + box.top) / 2), high)
        return _cost(box, nearest, size, taken, labels)

    near = min(_near(axes, point, size), key=cost)
    return near if cost(near) == 0 else min([near, *_far(axes, point, size)], key=cost)


def _cost(
    box: _Box, point: tuple[float, float], size: tuple[float, float], taken: Iterable[_Box], labels: Iterable[_Box]
) -> float:
    """How bad a place is: what it covers, what of it is outside, how far it is, and whom the line to it crosses.

    `point` is what of the labelled bar is nearest.
    """
    outside = max(0.0, box.area - box.overlap(_Box(0, 0, *size)) - 1e-9)
    covered = sum(box.overlap(other) for other in taken) + outside
    end = box.nearest(*point)
    distance = math.dist(end, point)
    if distance <= 2 * _GAP + 1e-9:
        return covered
    steps = [(number + 0.5) / 8 for number in range(8)]
    along = [(point[0] + step * (end[0] - point[0]), point[1] + step * (end[1] - point[1])) for step in steps]
    crossed = sum(math.dist(other.nearest(*place), place) < _GAP / 2 for other in labels for place in along)
    return covered + 0.01 * distance + 0.01 * crossed


def _write(axes: Axes, point: Labelled, box: _Box, size: tuple[float, float]) -> None:
    alpha = _FAINT if point.faint else 1.0
    at = _inches(axes, point.x, point.y, size)
    end = box.nearest(*at)
    if box not in _near(axes, point, size):
        (x, y), (end_x, end_y) = ((place[0] / size[0], place[1] / size[1]) for place in (at, end))
        axes.plot([x, end_x], [y, end_y], transform=axes.transAxes, color=INK, linewidth=0.5, alpha=_FAINT, zorder=1.5)
    axes.annotate(
        point.text,
        ((box.left + box.right) / 2 / size[0], (box.bottom + box.top) / 2 / size[1]),
        xycoords="axes fraction",
        ha="center",
        va="center",
        fontsize=8,
        alpha=alpha,
        zorder=4,
    )


_PLACES = (("middle", "high"), ("middle", "low"), *product(("right", "left"), ("point", "high", "low")))


def _near(axes: Axes, point: Labelled, size: tuple[float, float]) -> list[_Box]:
    return [_box(axes, point, size, *where) for where in _PLACES]


def _far(axes: Axes, point: Labelled, size: tuple[float, float]) -> Iterator[_Box]:
    """Places around a point, the nearest first: the middle of the label lies on a ring that is wider for long ones."""
    x, y = _inches(axes, point.x, point.y, size)
    width, height = _size(point)
    for radius, number in product(_RINGS, range(_DIRECTIONS)):
        angle = 2 * math.pi * number / _DIRECTIONS
        middle = x + math.cos(angle) * (radius + width / 2), y + math.sin(angle) * radius
        yield _Box(middle[0] - width / 2, middle[1] - height / 2, middle[0] + width / 2, middle[1] + height / 2)


def _size(point: Labelled) -> tuple[float, float]:
    return _LETTER[0] * len(point.text), _LETTER[1]


def _inches(axes: Axes, x: float, y: float, size: tuple[float, float]) -> tuple[float, float]:
    # Not the axes' own transform from data: its limits lag behind what was drawn until somebody asks for them.
    ends = zip(axes.get_xlim(), axes.get_ylim(), strict=True)
    (left, bottom), (right, top), at = (axes.transScale.transform(place) for place in (*ends, (x, y)))
    return float((at[0] - left) / (right - left)) * size[0], float((at[1] - bottom) / (top - bottom)) * size[1]


def _bar(axes: Axes, point: Labelled, size: tuple[float, float]) -> _Box:
    x, low = _inches(axes, point.x, point.low, size)
    _, high = _inches(axes, point.x, point.high, size)
    return _Box(x - 0.06, low - 0.04, x + 0.06, high + 0.04)


def _segment(first: tuple[float, float], second: tuple[float, float]) -> _Box:
    (left, right), (bottom, top) = (sorted(places) for places in zip(first, second, strict=True))
    return _Box(left - _GAP, bottom - _GAP, right + _GAP, top + _GAP)


def _box(axes: Axes, point: Labelled, size: tuple[float, float], across: str, along: str) -> _Box:
    """The place of a label in inches from the panel's corner."""
    width, height = _size(point)
    x, y = _inches(axes, point.x, {"high": point.high, "low": point.low, "point": point.y}[along], size)
    left = {"middle": x - width / 2, "right": x + 2 * _GAP, "left": x - 2 * _GAP - width}[across]
    bottom = {"high": y + _GAP, "low": y - _GAP - height, "point": y - height / 2}[along]
    return _Box(left, bottom, left + width, bottom + height)
