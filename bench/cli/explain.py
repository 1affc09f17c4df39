"""`explain`: what a number is, how it was measured, and what could bias it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from bench.cli.output import COMPLETE
from bench.explanation import Explanation, explain
from bench.record import Value


@dataclass(frozen=True, kw_only=True)
class Explain:
    """What was measured in a cell, how, by which code, and what could bias it."""

    cell: Annotated[Positional[str], arg(metavar="CELL")]
    """A cell as `list recipes` prints it: recipe/subject/probe."""
    results: Path = Path("results")
    """Where records are kept."""

    def __call__(self) -> int:
        """Print the newest record of the cell in words."""
        _print(explain(self.cell, self.results))
        return COMPLETE


def _print(explanation: Explanation) -> None:
    console = Console(highlight=False, soft_wrap=True)
    entry = explanation.entry
    record = entry.record
    console.print(f"[bold]{escape(entry.cell)}[/bold]")
    console.print(f"{escape(explanation.what)}\n" if explanation.what else "")
    sections: dict[str, Mapping[str, object]] = {
        "values": {_label(value): _number(value) for value in record.values},
        "how": record.protocol,
        "subject": msgspec.structs.asdict(record.subject),
        "machine": msgspec.structs.asdict(record.machine),
        "made by": {
            "commit": f"{record.code.commit or 'unknown'}{', with changed files' if record.code.dirty else ''}",
            "started": record.started,
            "seconds": f"{record.seconds:.1f}",
            "record": entry.path,
            "samples": record.samples,
            **record.files,
        },
    }
    for title, lines in sections.items():
        _print_section(console, title, lines)
    console.print("[bold]what to know before using it[/bold]")
    for caution in explanation.cautions or ("Nothing in the record asks for caution.",):
        console.print(f"  * {escape(caution)}")
    if explanation.others:
        console.print("\n[bold]the same cell, measured otherwise or elsewhere[/bold]")
        for other in explanation.others:
            console.print(f"  {escape(str(other.path))}")


def _print_section(console: Console, title: str, lines: Mapping[str, object]) -> None:
    shown = {name: value for name, value in lines.items() if value is not None}
    if not shown:
        return
    console.print(f"[bold]{title}[/bold]")
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        console.print(f"  {escape(name):<{width}}  {escape(str(value))}")
    console.print()


def _label(value: Value) -> str:
    """Name of a value, and where it stands on its axes."""
    places = ", ".join(f"{axis} {place}" for axis, place in value.at.items())
    return f"{value.name} ({places})" if places else value.name


def _number(value: Value) -> str:
    bounds = "" if value.interval is None else "  [{:.6g}, {:.6g}]".format(*value.interval)
    number = str(value.value) if isinstance(value.value, int) else f"{value.value:.6g}"
    return f"{number} {value.unit}".rstrip() + bounds
