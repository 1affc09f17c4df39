"""A table for a rich console."""

import rich.box
import rich.table
from rich.text import Text

from reports.layout import Table


def terminal(table: Table) -> rich.table.Table:
    """The table as rich prints it, the best numbers bold; nothing in it is taken for rich's markup."""
    shown = rich.table.Table(
        title=Text(table.title),
        caption=Text("\n".join(table.caption)),
        caption_justify="left",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in table.columns:
        # One word a line keeps the many columns narrow; rich would break inside words.
        name = Text("\n".join(column.name.split()))
        shown.add_column(name, justify="left" if column.digits is None else "right", no_wrap=True)
    best = table.best()
    for number, row in enumerate(table.texts()):
        shown.add_row(*(Text(text, "bold" if (number, at) in best else "") for at, text in enumerate(row)))
    return shown
