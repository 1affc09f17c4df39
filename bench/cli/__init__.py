"""The command line: one dataclass per verb, a printer around `recipes`, `plan`, `accuracy`, `doctor` and `reports`.

The only place that knows all packages. What imports torch or pandas is imported inside the verbs, so that the help
appears at once. Standard output carries results, standard error everything else.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from tyro.conf import FlagCreatePairsOff, subcommand

from bench.cli.look import Doctor, List, Report
from bench.cli.output import USAGE, tell
from bench.cli.run import Run

_DESCRIPTION = "Fair measurements of fine-grained instance-segmentation heads and their sparse backends."

Verb: TypeAlias = (
    Annotated[Run, subcommand("run")]
    | Annotated[List, subcommand("list")]
    | Annotated[Doctor, subcommand("doctor")]
    | Annotated[Report, subcommand("report")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and give its exit code: 0 complete, 1 some cells failed, 2 usage.

    Without arguments, measure what needs neither images nor weights and report it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_time=False, show_path=False)],
    )
    try:
        if not given:
            code = Run(recipe="heads", probes=("params", "flops"))()
            Report().write()
            return code
        verb = tyro.cli(Verb, config=(FlagCreatePairsOff,), prog="run_bench.py", description=_DESCRIPTION, args=given)
        return verb()
    except ValueError as error:
        tell(f"[red]error:[/red] {escape(str(error))}")
        return USAGE
