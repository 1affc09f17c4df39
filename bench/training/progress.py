"""The progress bar of a training: on standard error where that is a terminal, and on the first rank alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import ranks


@contextmanager
def progress(name: str, num_steps: int, done: int) -> Iterator[Callable[[float], None]]:
    """Show a bar of steps with the time left; call what it yields with the loss of every step."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    silent = ranks.rank() > 0 or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=silent) as bar:
        shown = bar.add_task(name, total=num_steps, completed=done, loss=float("nan"))
        yield lambda loss: bar.update(shown, advance=1, loss=loss)
