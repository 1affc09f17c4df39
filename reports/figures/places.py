"""Where the labels of a panel can stand without touching each other, by the size that their letters have on paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from matplotlib.axes import Axes

_LETTER = (0.066, 0.13)
"""Width and height of a letter of 8 points, in inches."""

_GAP = 0.05


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A point of a panel with its bar from `low` to `high`, and what to write beside it."""

    text: str
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class _Box:
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "_Box") -> float:
        """The area that both cover, in square inches."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)


def label_points(axes: Axes, points: Sequence[Labelled], size: tuple[float, float]) -> None:
    """Write all labels in the first place that touches least: at an end of the bar, then at a side of the point.

    `size` is about that of the panel, in inches; its limits must be final.
    """
    taken = [_bar(axes, point, size) for point in points]
    for point in points:
        candidates = [_box(axes, point, size, *where) for where in _PLACES]
        frame = [(box.right - box.left) * (box.top - box.bottom) - box.overlap(_Box(0, 0, *size)) for box in candidates]
        costs = [
            outside + sum(box.overlap(other) for other in taken) for box, outside in zip(candidates, frame, strict=True)
        ]
        best = costs.index(min(costs))
        box = candidates[best]
        taken.append(box)
        axes.annotate(
            point.text,
            ((box.left + box.right) / 2 / size[0], (box.bottom + box.top) / 2 / size[1]),
            xycoords="axes fraction",
            ha="center",
            va="center",
            fontsize=8,
            zorder=4,
        )


_PLACES = (("middle", "high"), ("middle", "low"), *product(("right", "left"), ("point", "high", "low")))


def _inches(axes: Axes, x: float, y: float, size: tuple[float, float]) -> tuple[float, float]:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return (x - left) / (right - left) * size[0], (y - bottom) / (top - bottom) * size[1]


def _bar(axes: Axes, point: Labelled, size: tuple[float, float]) -> _Box:
    x, low = _inches(axes, point.x, point.low, size)
    _, high = _inches(axes, point.x, point.high, size)
    return _Box(x - 0.06, low, x + 0.06, high)


def _box(axes: Axes, point: Labelled, size: tuple[float, float], across: str, along: str) -> _Box:
    """The place of a label in inches from the panel's corner."""
    width, height = _LETTER[0] * len(point.text), _LETTER[1]
    x, y = _inches(axes, point.x, {"high": point.high, "low": point.low, "point": point.y}[along], size)
    left = {"middle": x - width / 2, "right": x + 2 * _GAP, "left": x - 2 * _GAP - width}[across]
    bottom = {"high": y + _GAP, "low": y - _GAP - height, "point": y - height / 2}[along]
    return _Box(left, bottom, left + width, bottom + height)
