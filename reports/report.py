"""A report from Python: all tables and figures of a store into a folder (`write`), or one figure (`curve`)."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import write_whole
from bench.store import Entry, Store
from reports.layout import Table

if TYPE_CHECKING:
    import reports.figures.style


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `write` made: the tables, and the paths of its files, the page first, then the Markdown of all tables."""

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
    from reports.select.frame import frame_of_entries
    from reports.select.trainings import read_trainings
    from reports.summary import in_short
    from reports.tables.provenance import provenance

    folder = Path(out)
    store = Store(Path(results))
    entries = list(store)
    frame = frame_of_entries(entries)
    if frame.empty:
        raise ValueError(
            f"There is no record with values in {results}. A report needs measurements. "
            "Make some, for example: run_bench.py run heads --probes params flops."
        )
    gc.freeze()  # of a large store, to look for garbage among its records again and again took a tenth of the time
    try:
        tables = all_tables(frame, [entry.record for entry in entries if entry.record.error is not None])
        trained = [] if trainings is None else read_trainings(trainings)
        figures = all_figures(entries, trained)
        folder.mkdir(parents=True, exist_ok=True)
        files = write_tables(tables, folder) + write_figures(figures, folder)
        index = folder / "index.html"
        text = page(
            short=in_short(frame),
            tables=tables,
            figures=figures,
            made=provenance(entries, trained, store.skipped),
            entries=entries,
            folder=folder,
        )
        write_whole(index, text.encode())
    finally:
        gc.unfreeze()
    return Report(tables=tables, files=[index, *files])


def curve(name: str, results: Path | str = "results") -> "reports.figures.style.Figure":
    """Draw accuracy against cost (`cost`) or against the number of refined cells (`budget`).

    The figure has its SVG text and a caption. Raises ValueError for another name, and where nothing measured belongs
    into it.
    """
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
