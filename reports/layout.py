"""A table as a value, and its two appearances: for the terminal and as Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass

import rich.box
import rich.table
from tabulate import tabulate

CellValue = str | float | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of text, or of numbers with `digits` decimals; `signed` numbers show their plus."""

    name: str
    digits: int | None = None
    signed: bool = False

    def show(self, value: CellValue) -> str:
        """Text of a value of this column; nothing measured is empty."""
        if value is None or isinstance(value, str):
            return value or ""
        # Adding zero turns the -0.0 of a small negative difference into 0.0.
        return f"{round(value, self.digits) + 0.0:{'+' if self.signed else ''}.{self.digits or 0}f}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Unrounded rows under their columns, with sentences that say what the numbers mean."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[CellValue, ...], ...]
    caption: tuple[str, ...]

    @property
    def has_numbers(self) -> bool:
        """Whether anything was measured."""
        return bool(self.rows) and any(column.digits is not None for column in self.columns)

    def texts(self) -> list[list[str]]:
        """All cells as they are shown."""
        return [[column.show(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]


def markdown(table: Table) -> str:
    """The table as a Markdown section."""
    headers = [column.name for column in table.columns]
    align = ["left" if column.digits is None else "right" for column in table.columns]
    body = tabulate(table.texts(), headers, tablefmt="pipe", disable_numparse=True, colalign=align)
    notes = "\n".join(f"* {sentence}" for sentence in table.caption)
    return f"## {table.title}\n\n{body}\n\n{notes}\n"


def terminal(table: Table) -> rich.table.Table:
    """The table for a rich console."""
    shown = rich.table.Table(
        title=table.title,
        caption="\n".join(table.caption),
        caption_justify="left",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in table.columns:
        # One word a line keeps the many columns narrow; rich would break inside words.
        name = "\n".join(column.name.split())
        shown.add_column(name, justify="left" if column.digits is None else "right", no_wrap=True)
    for row in table.texts():
        shown.add_row(*row)
    return shown


def document(tables: Iterable[Table]) -> str:
    """Several tables as one Markdown file."""
    return "\n".join(["# Results\n", *(markdown(table) for table in tables)])
