"""Tables as CSV for other programs (RFC 4180): numbers with all their digits, intervals as columns of their own."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence

from reports.cells import Bounds, Number
from reports.layout import CellValue, Column, Table


def comma_separated(table: Table) -> str:
    """A line for the names of the columns, then one for every row; nothing measured is an empty field.

    The bounds of a number follow it as `low` and `high`. What shows intervals to people has no place beside them: rows
    and columns with nothing else are left out. A column whose name another one has, too, is named after the one before
    it that has a name of its own.
    """
    kept = [row for row in table.rows if not _shows_intervals(row)]
    columns = [
        (name, [row[place] for row in kept])
        for place, name in enumerate(_names(table.columns))
        if not kept or not _shows_intervals([row[place] for row in table.rows])
    ]
    fields = [field for name, values in columns for field in _fields(name, values)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([name for name, _ in fields])
    writer.writerows(zip(*(values for _, values in fields), strict=True))
    return text.getvalue()


def _shows_intervals(values: Sequence[CellValue]) -> bool:
    """Whether all that these say is how far numbers elsewhere reach."""
    return any(isinstance(value, Bounds) for value in values) and all(
        isinstance(value, Bounds) or value in (None, "") for value in values
    )


def _fields(name: str, values: Sequence[CellValue]) -> Iterator[tuple[str, list[str]]]:
    yield name, [_text(value) for value in values]
    intervals = [value.interval if isinstance(value, Number) else None for value in values]
    if any(intervals):
        yield f"{name} low", ["" if each is None else _text(each[0]) for each in intervals]
        yield f"{name} high", ["" if each is None else _text(each[1]) for each in intervals]


def _text(value: CellValue) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return repr(float(value))


def _names(columns: Sequence[Column]) -> Iterator[str]:
    counts = Counter(column.name for column in columns)
    of = ""
    for column in columns:
        if counts[column.name] == 1:
            of = column.name
            yield column.name
        else:
            yield f"{of} {column.name}".strip()
