"""A report from Python: all of a store in a folder (`write`), its values (`load`), one table, one figure (`curve`)."""

import gc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import write_whole
from bench.record import Record
from bench.store import Entry, Store
from reports.layout import Table
from reports.select.guard import Guard
from reports.select.measured import Measured, failures, measured
from reports.tables import of_paper

if TYPE_CHECKING:
    import pandas as pd

    import reports.figures.style


@dataclass(frozen=True, kw_only=True)
class Report:
    """Outcome of `write`: the tables, and the paths of its files, the page first, then the Markdown of all tables."""

    tables: list[Table]
    files: list[Path]


def write(results: Path | str = "results", out: Path | str = "report", *, trainings: Path | None = None) -> Report:
    """Make tables and figures of all records of a store: `index.html`, `tables.md`, `tables/` and `figures/` in `out`.

    `trainings` is a folder of weights with their training records, whose losses are drawn; without it, none are.
    Raises ValueError where nothing was measured.
    """
    # Drawing takes matplotlib, and tables do not: they should not wait for it.
    from reports.choice import all_tables
    from reports.figures import all_figures
    from reports.files import write_figures, write_tables
    from reports.page import page
    from reports.select.trainings import read_trainings
    from reports.summary import in_short
    from reports.tables.provenance import provenance

    folder = Path(out)
    store = Store(Path(results))
    entries = list(store)
    found, failed = measured(entries), failures(entries)
    if not any(each.record.values for each in found):
        raise ValueError(
            f"There is no record with values in {results}. A report needs measurements. "
            "Make some, for example: run_bench.py run heads --probes params flops."
        )
    collects = gc.isenabled()
    gc.disable()  # to look for garbage among the records of a large store, again and again, took a seventh of the time
    try:
        guard = Guard()
        tables = all_tables(found, failed, guard)
        trained = [] if trainings is None else read_trainings(trainings)
        figures = all_figures(found, trained, guard)
        folder.mkdir(parents=True, exist_ok=True)
        files = write_tables(tables, folder) + write_figures(figures, folder)
        index = folder / "index.html"
        text = page(
            short=guard.make("The summary", in_short, found, []),
            tables=tables,
            figures=figures,
            made=provenance(entries, trained, {**store.skipped, **guard.left_out}),
            entries=entries,
            folder=folder,
        )
        write_whole(index, text.encode())
    finally:
        if collects:
            gc.enable()
    return Report(tables=tables, files=[index, *files])


def load(results: Path | str = "results") -> "pd.DataFrame":
    """Read the newest record of every cell of a store into a tidy frame; see `reports.select.frame.frame`."""
    from reports.select.frame import frame  # pandas takes half a second, and nothing else needs it

    return frame(Store(Path(results)))


def table(recipe: str, results: Path | str | Iterable[Entry | Record] = "results") -> Table:
    """Make the table of the paper that a recipe measures (see `TABLES`) from a store, or from records of `bench.run`.

    Raises ValueError for a recipe without a table.
    """
    records = list(Store(Path(results)) if isinstance(results, (Path, str)) else results)
    return of_paper.table(recipe, measured(records), failures(records))


def curve(name: str, results: Path | str = "results") -> "reports.figures.style.Figure":
    """Draw accuracy against cost (`cost`) or against the number of refined cells (`budget`).

    The figure has its SVG text and a caption. Raises ValueError for another name, and where nothing measured belongs
    into it.
    """
    from reports.figures.budget import budget
    from reports.figures.cost import cost

    drawers: dict[str, Callable[[Sequence[Measured]], reports.figures.style.Figure | None]]
    drawers = {"cost": cost, "budget": budget}
    if name not in drawers:
        raise ValueError(f"There is no curve named {name!r}. Known: {', '.join(drawers)}. Use one of these.")
    drawn = drawers[name](measured(Store(Path(results))))
    if drawn is None:
        raise ValueError(
            f"No record in {results} belongs into the curve {name!r}. It needs the accuracy of trained weights, and "
            f"{'the costs of the same' if name == 'cost' else 'the probe budget'}. Make it: run_bench.py run demo."
        )
    return drawn
