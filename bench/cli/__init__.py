"""The command line: one dataclass per verb, a printer around `recipes`, `plan`, `accuracy`, `doctor` and `reports`.

The only place that knows all packages. What imports torch or pandas is imported inside the verbs, so that the help
appears at once. Standard output carries results, standard error everything else.
"""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import tyro
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from tyro.conf import FlagCreatePairsOff, subcommand

from bench import machine, ranks
from bench.cli import faults
from bench.cli.certify import Certify
from bench.cli.doctor import Doctor
from bench.cli.examples import COMPLETION, epilogue
from bench.cli.explain import Explain
from bench.cli.import_weights import Import
from bench.cli.listing import List
from bench.cli.output import COMPLETE, INCOMPLETE, USAGE, tell
from bench.cli.predict import Predict
from bench.cli.prepare import Prepare
from bench.cli.report import Report
from bench.cli.run import Run
from bench.cli.score import Compare, Evaluate
from bench.cli.train import Train

_MOST_PROCESSES = 4
"""Of the embedded benchmark, each of which takes most of a gigabyte."""

_INSTALLED = "run-bench"

_DESCRIPTION = (
    "Fair measurements of fine-grained instance-segmentation heads and their sparse backends. Without a verb: run "
    "demo, then report. Exit codes: 0 complete, 1 some cells failed or it was stopped, 2 usage. " + COMPLETION
)

Verb: TypeAlias = (
    Annotated[Run, subcommand("run")]
    | Annotated[List, subcommand("list")]
    | Annotated[Doctor, subcommand("doctor")]
    | Annotated[Certify, subcommand("certify")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Explain, subcommand("explain")]
    | Annotated[Predict, subcommand("predict")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Prepare, subcommand("prepare")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Import, subcommand("import")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and give its exit code: 0 complete, 1 some cells failed or it was stopped, 2 usage.

    Without arguments, measure the embedded benchmark and report it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[
            # Its own highlighter takes minutes for a long word.
            RichHandler(console=Console(stderr=True), show_time=False, show_path=False, highlighter=NullHighlighter())
        ],
    )
    with contextlib.ExitStack() as stack:
        if ranks.rank() > 0:  # every rank runs the whole program, and the first one speaks for all
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        try:
            code = _run(given)
            sys.stdout.flush()
            return code
        except ValueError as error:
            tell(str(error), mark="error:")
            return USAGE
        except KeyboardInterrupt:
            tell(faults.INTERRUPTED, mark="stopped:")
            return INCOMPLETE
        except BrokenPipeError:
            _lose_output()
            return INCOMPLETE
        except Exception as error:
            said = faults.explained(error)
            if said is None:
                raise
            tell(said, mark="error:")
            return INCOMPLETE


def _lose_output() -> None:
    """Nobody reads the output any more, as after `| head`: what Python still writes at its end goes nowhere."""
    with contextlib.suppress(OSError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(given: Sequence[str]) -> int:
    if not given:
        return _embedded_benchmark()
    return parse(given)()


def parse(given: Sequence[str]) -> Verb:
    """Read a command line. Raises SystemExit after the help, which ends with examples, and for a wrong line."""
    # A shell completes the command that it was told of: the installed one, where that is what runs.
    command = _INSTALLED if Path(sys.argv[0]).name == _INSTALLED else "run_bench.py"
    try:
        return tyro.cli(Verb, config=(FlagCreatePairsOff,), prog=command, description=_DESCRIPTION, args=given)
    except SystemExit as stop:
        if not stop.code and any(argument in ("-h", "--help") for argument in given):
            print(epilogue(given))
        raise


def _embedded_benchmark() -> int:
    """Run the recipe demo, its images shared by a process per core, then report it, where it was not broken off."""
    processes = min(machine.card().cores, _MOST_PROCESSES)
    run = ["run", "demo"]
    code = main(run) if processes == 1 else ranks.launch(processes, main, run)
    if code not in (COMPLETE, INCOMPLETE, USAGE):
        tell(_died(code, processes), mark="error:")
        return INCOMPLETE
    if code != USAGE:
        Report().write()
    return code


def _died(code: int, processes: int) -> str:
    """Say how a process ended that did not end by itself, and how to go on."""
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    memory = ", as a system does that is out of memory" if code == -signal.SIGKILL else ""
    return (
        f"One of {processes} processes {how}{memory}. All should end by themselves. The cells that were finished are "
        "kept: repeat the command to go on, or let one process do it, with less memory: run_bench.py run demo, then "
        "run_bench.py report."
    )
