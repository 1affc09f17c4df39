"""Pictures of what was measured: SVG for the page, in one style.

`all_figures` draws every figure that has something to show: masks side by side, accuracy against cost, the budget curve
and the losses of the trainings.
"""

from collections.abc import Sequence

from bench.store import Entry
from reports.figures.budget import budget
from reports.figures.cost import cost
from reports.figures.losses import losses
from reports.figures.masks import masks
from reports.figures.style import Figure
from reports.trainings import Training

__all__ = ["Figure", "all_figures"]


def all_figures(entries: Sequence[Entry], trainings: Sequence[Training]) -> list[Figure]:
    """The figures of a store and of the trainings whose weights it may have measured, in the order of the page."""
    found = (masks(entries), cost(entries), budget(entries), losses(trainings))
    return [figure for figure in found if figure is not None]
