"""The files of a report beside its page: every table as Markdown, LaTeX and CSV, every figure as PDF."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.files import write_whole
from reports.figures import Figure
from reports.layout import Table
from reports.renderers.csv import comma_separated
from reports.renderers.latex import latex
from reports.renderers.markdown import document


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write `tables.md` with all tables, and for each of them `tables/<its title>.tex` and `.csv`; give the paths."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    written = [_write(folder / "tables.md", document(tables).encode())]
    for name, table in zip(_names(tables), tables, strict=True):
        written.append(_write(folder / "tables" / f"{name}.tex", latex(table, f"tab:{name}").encode()))
        written.append(_write(folder / "tables" / f"{name}.csv", comma_separated(table).encode()))
    return written


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write `figures/<name>.pdf` for each figure; give the paths."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    return [_write(folder / "figures" / f"{figure.name}.pdf", figure.pdf) for figure in figures]


def _names(tables: Sequence[Table]) -> Iterator[str]:
    """A file name for every table, of the words of its title; tables of one title are numbered."""
    known: dict[str, int] = {}
    for table in tables:
        name = "-".join(re.findall(r"[a-z0-9]+", table.title.lower()))[:60].rstrip("-") or "table"
        known[name] = known.get(name, 0) + 1
        yield name if known[name] == 1 else f"{name}-{known[name]}"


def _write(path: Path, content: bytes) -> Path:
    write_whole(path, content)
    return path
