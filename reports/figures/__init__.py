"""Pictures of what was measured: SVG for the page, in one style.

`all_figures` draws every figure that has something to show: Pareto fronts, accuracy against cost,
masks side by side, where the time goes, the budget curve, where heads refine, the oracle ladder, what backends store
and when they pay off, how near kernels come to the machine's limits, and the losses of the trainings.
"""

from collections.abc import Callable, Sequence

from reports.figures.activity import activity
from reports.figures.break_even import break_even
from reports.figures.budget import budget
from reports.figures.cost import cost
from reports.figures.ladder import ladder
from reports.figures.losses import losses
from reports.figures.masks import masks
from reports.figures.pareto import at_equal_regions, at_own_regions
from reports.figures.roofline import roofline
from reports.figures.storage import storage
from reports.figures.style import Figure
from reports.figures.time_budget import time_budget
from reports.select.guard import Guard
from reports.select.measured import Measured
from reports.select.trainings import Training

__all__ = ["Figure", "all_figures"]


_DRAWERS: tuple[Callable[[Sequence[Measured]], Figure | None], ...] = (
    *(at_equal_regions, at_own_regions, cost, masks, time_budget, budget, activity),
    *(ladder, storage, break_even, roofline),
)


def all_figures(found: Sequence[Measured], trainings: Sequence[Training], guard: Guard | None = None) -> list[Figure]:
    """The figures of a store and of the trainings whose weights it may have measured, in the order of the page."""
    guard = guard or Guard()
    drawn = [guard.make(f"The figure {drawer.__name__}", drawer, found, None) for drawer in _DRAWERS]
    return [figure for figure in (*drawn, losses(trainings)) if figure is not None]
