"""The page of a report: one HTML file with figures, tables that sort, the records behind them, and how it was made.

Nothing is loaded from elsewhere, and whatever comes from records is escaped. A reader who got only this file can check
every number: it leads to the record that it is from, which the page holds in full.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.record import encode
from bench.store import Entry
from reports.cells import Number, record_of, title_of
from reports.figures import Figure
from reports.layout import CellValue, Column, Table

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_LONG = 40
"""Letters of a text that need not fit into one line: those of a commit do."""

_TITLE = "Fine-grained instance-segmentation heads, measured"


@dataclass(frozen=True, kw_only=True)
class _Card:
    """A record as the page shows it: its anchor, the cell that it is of, its file as a link, and its content."""

    anchor: str
    cell: str
    link: str
    content: str


@dataclass(frozen=True, kw_only=True)
class _TableCell:
    """A value in its column: `anchor` is that of its record's card, `title` what is shown on demand.

    Text that `is_long` may be broken into lines; `tint` is a class of the page, or empty.
    """

    column: Column
    text: str
    sort_key: str
    is_best: bool
    is_long: bool
    tint: str
    anchor: str | None
    title: str | None


def page(
    *,
    short: Sequence[str],
    tables: Sequence[Table],
    figures: Sequence[Figure],
    made: Sequence[Table],
    entries: Sequence[Entry],
    folder: Path,
) -> str:
    """Give the text of index.html.

    `short` are sentences that come first, `made` the tables of the card that says how everything was made. `entries`
    are the records that were reported. The page holds those that a cell is from, and links to their files as seen from
    `folder`, where the page is going to lie.
    """
    cards = _cards([*tables, *made], entries, folder)
    anchors = {name: card.anchor for name, card in cards.items()}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(groups=lambda table: _groups(table, anchors))
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        title=_TITLE,
        measured=_measured(entries),
        machines=sorted({entry.record.machine.name for entry in entries}),
        short=short,
        tables=tables,
        figures=[(figure, Markup(figure.svg)) for figure in figures],  # ours: matplotlib has escaped its texts
        made=made,
        cards=list(cards.values()),
    )


def _measured(entries: Sequence[Entry]) -> str:
    """How many measurements there are, and of which days."""
    days = sorted({entry.record.started[:10] for entry in entries})
    if not days:
        return "No measurements."
    when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
    return f"{len(entries)} measurement{'' if len(entries) == 1 else 's'}, made {when}."


def _cards(tables: Sequence[Table], entries: Sequence[Entry], folder: Path) -> dict[str, _Card]:
    """The records that some cell is from, by their path in the store, in the order of these."""
    cited = {record_of(value) for table in tables for row in table.rows for value in row}
    found = sorted((entry.place, entry) for entry in entries if entry.place in cited)
    return {
        name: _Card(
            anchor=f"record-{number}",
            cell=entry.cell,
            link=quote(Path(os.path.relpath(entry.path, folder)).as_posix()),
            content=encode(entry.record, indent=1).decode(),
        )
        for number, (name, entry) in enumerate(found, start=1)
    }


def _groups(table: Table, anchors: dict[str, str]) -> list[list[list[_TableCell]]]:
    """Rows that stay together when a table is sorted.

    A row whose first cell is empty or indented belongs to the one above.
    """
    best = table.best()
    number = 0
    numbered = []
    for place_of_row, (row, texts) in enumerate(zip(table.rows, table.texts(), strict=True)):
        number += bool(texts[0]) and not texts[0].startswith(" ")
        cells = [
            _TableCell(
                column=column,
                text=text,
                sort_key=_sort_key(value),
                is_best=(place_of_row, place_of_column) in best,
                is_long=len(text) > _LONG,
                tint=_tint(column, value),
                anchor=anchors.get(record_of(value) or ""),
                title=title_of(value),
            )
            for place_of_column, (column, value, text) in enumerate(zip(table.columns, row, texts, strict=True))
        ]
        numbered.append((number, cells))
    return [[cells for _, cells in group] for _, group in groupby(numbered, key=lambda each: each[0])]


def _tint(column: Column, value: CellValue) -> str:
    """The class of a number whose interval leaves out 0, in a column that has its numbers tinted."""
    interval = value.interval if column.tinted and isinstance(value, Number) else None
    return "" if interval is None else "better" if interval[0] > 0 else "worse" if interval[1] < 0 else ""


def _sort_key(value: CellValue) -> str:
    """Sort key of a cell: the unrounded number, else its text; empty for nothing, which comes last."""
    return "" if value is None else str(value)
