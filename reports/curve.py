"""A figure of a store by its name, for notebooks and programs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.store import Entry, Store

if TYPE_CHECKING:
    import reports.figures.style


def curve(name: str, results: Path | str = "results") -> "reports.figures.style.Figure":
    """Draw accuracy against cost (`cost`) or against the number of refined cells (`budget`).

    The figure has its SVG text and a caption. Raises ValueError for another name, and where nothing measured belongs
    into it.
    """
    # Drawing takes matplotlib, and tables do not: they should not wait for it.
    from reports.figures.budget import budget
    from reports.figures.cost import cost

    drawers: dict[str, Callable[[Sequence[Entry]], reports.figures.style.Figure | None]]
    drawers = {"cost": cost, "budget": budget}
    if name not in drawers:
        raise ValueError(f"There is no curve named {name!r}. Known: {', '.join(drawers)}. Use one of these.")
    drawn = drawers[name](list(Store(Path(results))))
    if drawn is None:
        raise ValueError(
            f"No record in {results} belongs into the curve {name!r}. It needs the accuracy of trained weights, and "
            f"{'the costs of the same' if name == 'cost' else 'the probe budget'}. Make it: run_bench.py run demo."
        )
    return drawn
