"""Everything shown: tables of the paper beside ours. Never imports torch.

`load` reads records into one tidy frame (a row per value), `table` makes a table of the paper from them, `markdown`,
`document` and `terminal` show tables, `curve` draws a figure. `paper` holds the published numbers.
"""

from reports.layout import Table
from reports.renderers.markdown import document, markdown
from reports.renderers.terminal import terminal
from reports.report import curve, load, table, write
from reports.tables.of_paper import TABLES

__all__ = ["TABLES", "Table", "curve", "document", "load", "markdown", "table", "terminal", "write"]
