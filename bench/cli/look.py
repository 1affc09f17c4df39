"""`list`, `doctor`, `report`: look at what can be named, at this machine, and at what was measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from bench import catalog
from bench.cli.output import COMPLETE, check_folder, print_table, tell
from bench.planning import recipes

if TYPE_CHECKING:
    import reports.layout

Kind = Literal["heads", "backends", "modules", "probes", "recipes", "datasets"]
_NUM_PRINTED = 30
"""How many tables of a report go to the terminal. Nobody scrolls through more, and printing takes its time."""

_Directory = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(optional)")]


@dataclass(frozen=True, kw_only=True)
class List:
    """What can be named: plug-ins, recipes with their cells, data sets."""

    kind: Positional[Kind | None] = None
    """Which names; all of them without."""

    def __call__(self) -> int:
        """Print the names with one line each."""
        described = {
            "heads": catalog.plugins("heads"),
            "backends": catalog.plugins("sparsity") | {f"sps:{name}": line for name, line in catalog.kernels().items()},
            "modules": catalog.plugins("heads._modules"),
            "probes": catalog.plugins("bench.probes"),
            "recipes": {name: (recipe.__doc__ or "").partition("\n")[0] for name, recipe in recipes.RECIPES.items()},
            "datasets": catalog.DATASETS,
        }
        console = Console(highlight=False, soft_wrap=True)
        for kind, names in described.items():
            if self.kind not in (None, kind):
                continue
            console.print(f"[bold]{kind}[/bold]")
            for name, line in names.items():
                console.print(f"  {name:<16} {escape(line)}")
                if self.kind == "recipes":
                    for cell in recipes.with_weights(recipes.load(name), None):
                        console.print(f"    {cell}")
        return COMPLETE


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """What can be measured here, what is missing, how to get it."""

    coco: _Directory = None
    """A COCO directory to look at."""

    def __call__(self) -> int:
        """Print every finding with its remedy."""
        from bench.planning import doctor

        console = Console(highlight=False, soft_wrap=True)
        for finding in doctor.examine(self.coco):
            mark = "[green]ok     [/green]" if finding.good else "[yellow]missing[/yellow]"
            console.print(f"{mark} {finding.name:<16} {escape(finding.detail)}")
            if not finding.good:
                console.print(f"{'':<8}{'to do:':<16} {escape(finding.remedy)}")
        return COMPLETE


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
            written = escape(str(self.out / "tables.md"))
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
