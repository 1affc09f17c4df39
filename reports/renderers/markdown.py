"""Tables as Markdown, by the rules that GitHub renders it with (GitHub Flavored Markdown, which adds tables)."""

import re
from collections.abc import Iterable

from tabulate import tabulate

from reports.layout import Table

_SPECIAL = re.compile(
    r"[\\`<>&|$~]"
    # A star or underscore is only special where emphasis can begin: `AP*` and `fps_paper` stay readable.
    r"|\*(?=\w)|(?<![^\W_])[*_](?=\S)"
)


def markdown(table: Table) -> str:
    """The table as a section, the best numbers bold."""
    best = table.best()
    rows = [
        [f"**{escaped(text)}**" if (number, at) in best else escaped(text) for at, text in enumerate(row)]
        for number, row in enumerate(table.texts())
    ]
    headers = [escaped(column.name) for column in table.columns]
    align = ["left" if column.digits is None else "right" for column in table.columns]
    body = tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align if rows else None)
    notes = "\n".join(f"* {escaped(sentence)}" for sentence in table.caption)
    return f"## {escaped(table.title)}\n\n{body}\n\n{notes}\n"


def document(tables: Iterable[Table]) -> str:
    """Several tables as one file."""
    return "\n".join(["# Results\n", *(markdown(table) for table in tables)])


def escaped(text: str) -> str:
    """The text as Markdown that shows it, on one line."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.splitlines()))
