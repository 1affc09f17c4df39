"""The page of a report: one HTML file with figures, tables that sort, and how all of it was made.

Nothing is loaded from elsewhere, and whatever comes from records is escaped.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from reports.figures import Figure
from reports.layout import CellValue, Column, Table

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_TITLE = "Fine-grained instance-segmentation heads, measured"


def page(tables: Sequence[Table], figures: Sequence[Figure], made: Sequence[Table]) -> str:
    """Give the text of index.html; `made` are the tables of the card that says how everything was made."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(groups=_groups, sort_key=_sort_key)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        title=_TITLE,
        tables=tables,
        figures=[(figure, Markup(figure.svg)) for figure in figures],  # ours: matplotlib has escaped its texts
        made=made,
    )


def _groups(table: Table) -> list[list[list[tuple[Column, CellValue, str]]]]:
    """Rows that stay together when a table is sorted: one with a first cell, and those below it without one.

    Every cell comes with its column and its text.
    """
    rows = [
        list(zip(table.columns, row, texts, strict=True)) for row, texts in zip(table.rows, table.texts(), strict=True)
    ]
    number = 0
    numbered = []
    for row in rows:
        number += bool(row[0][2])
        numbered.append((number, row))
    return [[row for _, row in group] for _, group in groupby(numbered, key=lambda each: each[0])]


def _sort_key(value: CellValue) -> str:
    """What a cell is sorted by: the unrounded number, else its text; empty for nothing, which comes last."""
    return "" if value is None else str(value)
