"""`report`: tables and figures of what was measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.output import COMPLETE, check_folder, print_table, tell

if TYPE_CHECKING:
    import reports.layout

_NUM_PRINTED = 30
"""How many tables of a report go to the terminal. Nobody scrolls through more, and printing takes its time."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make tables and figures of all records."""

    results: Path = Path("results")
    """Where records are kept."""
    out: Path = Path("report")
    """Where to write index.html, tables.md, tables/ (LaTeX, CSV) and figures/ (PDF)."""

    def __call__(self) -> int:
        """Print the tables and write them, as Markdown and in a page with the figures."""
        from reports.renderers.terminal import terminal

        tables = self.write()
        for shown in tables[:_NUM_PRINTED]:
            print_table(terminal(shown), stderr=False)
        if len(tables) > _NUM_PRINTED:
            written = self.out / "tables.md"
            tell(f"Printed: the first {_NUM_PRINTED} of {len(tables)} tables; all of them are in {written}")
        return COMPLETE

    def write(self) -> "list[reports.layout.Table]":
        """Write page, tables and figures, say where, and give the tables."""
        from bench.planning.own_data import SHIPPED
        from reports.report import write

        check_folder("--out", self.out)
        written = write(self.results, self.out, trainings=SHIPPED)
        index, markdown, *others = written.files
        tell(f"Written: {markdown}, and {len(others)} files for LaTeX and spreadsheets")
        tell(f"Written: {index}")
        return written.tables
