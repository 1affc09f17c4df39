"""A table as a value: unrounded cells, and all that its appearances in `reports.renderers` have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Literal

CellValue = str | float | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of text, or of numbers with `digits` decimals; `signed` numbers show their plus.

    `best` says which of its numbers is bold. `show_as` says how else its numbers are written. `tinted` numbers
    have a colour on the page where their interval leaves out 0, one for each sign.
    """

    name: str
    digits: int | None = None
    signed: bool = False
    best: Literal["highest", "lowest"] | None = None
    show_as: Callable[[float], str] | None = None
    tinted: bool = False

    def show(self, value: CellValue) -> str:
        """Text of a value of this column; nothing measured is empty."""
        if value is None or isinstance(value, str):
            return value or ""
        if self.show_as is not None:
            return self.show_as(value)
        # Adding zero turns the -0.0 of a small negative difference into 0.0.
        return f"{round(value, self.digits) + 0.0:{'+' if self.signed else ''}.{self.digits or 0}f}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Unrounded rows under their columns, with sentences that say what the numbers mean.

    Rows compete for the best number of a column with those that have the same text in the columns `among`.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[CellValue, ...], ...]
    caption: tuple[str, ...]
    among: tuple[str, ...] = ()

    @property
    def has_numbers(self) -> bool:
        """Whether anything was measured."""
        return bool(self.rows) and any(column.digits is not None for column in self.columns)

    def texts(self) -> list[list[str]]:
        """All cells as they are shown."""
        return [[column.show(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]

    def _repr_html_(self) -> str:
        """The table as a notebook shows it: the best numbers bold, the caption below."""
        best = self.best()
        head = "".join(f"<th>{escape(column.name)}</th>" for column in self.columns)
        body = "".join(
            f"<tr>{''.join(_html(text, bold=(row, place) in best) for place, text in enumerate(texts))}</tr>"
            for row, texts in enumerate(self.texts())
        )
        notes = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.caption)
        return f"<h4>{escape(self.title)}</h4><table><tr>{head}</tr>{body}</table>{notes}"

    def best(self) -> frozenset[tuple[int, int]]:
        """Row and column of every number that is the best of its column, all that look like it included.

        None is best where all look alike, or where there is nothing to compare with.
        """
        found = set()
        for place, column in enumerate(self.columns):
            if column.best is not None:
                for group in self.groups():
                    found |= {(row, place) for row in _best(column, {row: self.rows[row][place] for row in group})}
        return frozenset(found)

    def groups(self) -> list[list[int]]:
        """The rows that compete with each other, in the order of their first ones."""
        places = [place for place, column in enumerate(self.columns) if column.name in self.among]
        groups: dict[tuple[CellValue, ...], list[int]] = {}
        for number, row in enumerate(self.rows):
            groups.setdefault(tuple(row[place] for place in places), []).append(number)
        return list(groups.values())


def _html(text: str, *, bold: bool) -> str:
    return f"<td><b>{escape(text)}</b></td>" if bold else f"<td>{escape(text)}</td>"


def _best(column: Column, values: Mapping[int, CellValue]) -> list[int]:
    """The rows whose number looks like the best one."""
    numbers = {row: value for row, value in values.items() if isinstance(value, float | int)}
    texts = {row: column.show(value) for row, value in numbers.items()}
    if len(set(texts.values())) < 2:
        return []
    best = (max if column.best == "highest" else min)(numbers, key=lambda row: numbers[row])
    return [row for row, text in texts.items() if text == texts[best]]
