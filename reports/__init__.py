"""Everything shown: tables of the paper beside ours. Never imports torch.

`load` reads records into one tidy frame (a row per value), `table` makes a table of the paper from it, `markdown`,
`document` and `terminal` show tables. `paper` holds the published numbers.
"""

from reports.frame import load
from reports.layout import Table, document, markdown, terminal
from reports.tables import TABLES, table

__all__ = ["TABLES", "Table", "document", "load", "markdown", "table", "terminal"]
