"""`explain`: what a number is, how it was measured, and what could bias it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from rich.console import Console
from rich.text import Text
from tyro.conf import Positional, arg

from bench.cli.output import COMPLETE, console
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
    page = console()
    entry = explanation.entry
    record = entry.record
    page.print(Text(entry.cell, "bold"))
    page.print(f"{explanation.what}\n" if explanation.what else "")
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
        _print_section(page, title, lines)
    page.print(Text("what to know before using it", "bold"))
    for caution in explanation.cautions or ("Nothing in the record asks for caution.",):
        page.print(f"  * {caution}")
    if explanation.others:
        page.print(Text("\nthe same cell, measured otherwise or elsewhere", "bold"))
        for other in explanation.others:
            page.print(f"  {other.path}")


def _print_section(page: Console, title: str, lines: Mapping[str, object]) -> None:
    shown = {name: value for name, value in lines.items() if value is not None}
    if not shown:
        return
    page.print(Text(title, "bold"))
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        page.print(f"  {name:<{width}}  {value}")
    page.print()


def _label(value: Value) -> str:
    """Name of a value, and where it stands on its axes."""
    places = ", ".join(f"{axis} {place}" for axis, place in value.at.items())
    return f"{value.name} ({places})" if places else value.name


def _number(value: Value) -> str:
    bounds = "" if value.interval is None else "  [{:.6g}, {:.6g}]".format(*value.interval)
    number = str(value.value) if isinstance(value.value, int) else f"{value.value:.6g}"
    return f"{number} {value.unit}".rstrip() + bounds
