"""What the verbs print: results to standard output, everything else to standard error."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import ranks
from bench.cli.outputs import opened

COMPLETE, INCOMPLETE, USAGE = 0, 1, 2
"""Exit codes."""

_WIDEST = 1000
"""Columns of the widest table. One that is narrower takes only the room that it needs."""


def console(*, stderr: bool = False) -> Console:
    """A console that prints lines as they are: rich's markup and emoji stand in paths, too (`[red]`, `a:b:c`)."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def tell(text: str | Text, *, mark: str = "", style: str = "red") -> None:
    """Print a line to standard error; `mark` is the word before it, in a colour."""
    console(stderr=True).print(Text.assemble((mark, style), " " if mark else "", text))


def print_table(shown: Table, *, stderr: bool = False) -> None:
    """Print a table in full: rich would cut off what is wider than the terminal, or than 80 where there is none."""
    Console(stderr=stderr, width=_WIDEST, markup=False, emoji=False).print(shown)


def check_folder(option: str, path: Path) -> None:
    """Raise ValueError, before anything is computed, where a folder cannot be made or nothing be written into it."""
    nearest = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        fault = "is not writable" if nearest.is_dir() else "is a file"
        raise ValueError(
            f"{option} {path} cannot be written: {nearest} {fault}. It must be a folder, or a place for one. Name "
            "another."
        )


def json_file(target: str | None) -> Path | None:
    """The file that `json_lines` writes, if it does."""
    return None if target in (None, "-") else Path(str(target))


@contextlib.contextmanager
def json_lines(target: str | None) -> Iterator[TextIO | None]:
    """Where records go as lines: standard output for `-`, a file, or nowhere; of ranks, the first one writes.

    A file appears when all is done, and one that was there stays until then.
    """
    if target is None or ranks.rank() > 0:
        yield None
    elif target == "-":
        yield sys.stdout
    else:
        with opened(Path(target)) as file:
            yield file
