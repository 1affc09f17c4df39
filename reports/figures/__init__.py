"""Pictures of what was measured: SVG for the page, in one style.

`all_figures` draws every figure that has something to show: Pareto fronts, accuracy against cost,
masks side by side, where the time goes, the budget curve, where heads refine, the oracle ladder, what backends store
and when they pay off, how near kernels come to the machine's limits, and the losses of the trainings.
"""

from collections.abc import Sequence

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
from reports.select.measured import Measured
from reports.select.trainings import Training

__all__ = ["Figure", "all_figures"]


def all_figures(found: Sequence[Measured], trainings: Sequence[Training]) -> list[Figure]:
    """The figures of a store and of the trainings whose weights it may have measured, in the order of the page."""
    drawn = (
        at_equal_regions(found),
        at_own_regions(found),
        cost(found),
        masks(found),
        time_budget(found),
        budget(found),
        activity(found),
        ladder(found),
        storage(found),
        break_even(found),
        roofline(found),
        losses(trainings),
    )
    return [figure for figure in drawn if figure is not None]
