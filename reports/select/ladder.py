"""What stands on the oracle ladder: grids of true masks, and trained heads on the same data."""

import re
from collections.abc import Iterable

from bench.record import Scalar
from reports.select.comparable import Comparable, comparable
from reports.select.measured import Measured

KINDS = ("binary", "soft")


def rungs(found: Iterable[Measured]) -> Comparable:
    """The grids that may be compared."""
    return comparable((each for each in found if _grid(each) is not None), "ceiling")


def by_grid(chosen: Comparable) -> dict[tuple[int, str], Measured]:
    """Rungs by the side of their grid in cells, the coarsest first, and its kind."""
    grids = {grid: each for each in chosen.shown if (grid := _grid(each)) is not None}
    return dict(sorted(grids.items()))


def data(measured: Measured) -> tuple[Scalar, ...]:
    """On which images and annotations something was measured: records of two probes stand on one ladder if on these."""
    return tuple(measured.protocol.get(name) for name in ("images", "annotations", "lvis"))


def _grid(measured: Measured) -> tuple[int, str] | None:
    """Side and kind of the grid that a subject such as `grid28_soft` names; None for another one."""
    match = re.fullmatch(rf"grid(\d+)_({'|'.join(KINDS)})", measured.subject.head or "")
    return None if match is None else (int(match[1]), match[2])
