"""What `run` says around its cells: the plan first, a line for each, a summary and where to look."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from bench import machine
from bench.cli.faults import explained
from bench.cli.output import console, tell
from bench.planning.estimate import duration, estimate
from bench.planning.plan import Cell, NotStored, Outcome, Step
from bench.planning.session import Plan
from bench.record import Record, encode
from bench.store import Store


def tell_data(planned: Plan) -> None:
    """Say which images and objects there are."""
    if planned.data:
        tell(f"Data: {'; '.join(planned.data)}")


def tell_lacking(planned: Plan, *, asked_for: Sequence[str]) -> None:
    """Say what is left out and why. Raises ValueError where a probe that needs images was asked for by name."""
    for name in {cell.probe: None for cell in planned.without_images}:
        if name in asked_for:
            raise ValueError(
                f"The probe {name} needs images and there are none. It reads the validation "
                "images of a data set. Give it: --data DIR."
            )
    for cells, remedy in (
        (planned.without_images, "which need images: --data DIR."),
        (planned.without_weights, "which mean nothing for random weights: --weights FILE, or name them in --probes."),
    ):
        if cells:
            names = ", ".join(dict.fromkeys(cell.probe for cell in cells))
            tell(f"Left out: {names} ({len(cells)} cells), {remedy}")
    for path, cells in planned.without_file.items():
        subjects = ", ".join(dict.fromkeys(cell.subject.name for cell in cells))
        names = ", ".join(dict.fromkeys(cell.probe for cell in cells))
        tell(f"Left out: {subjects} ({names}), without weights: {path} is not there. Train it: run_bench.py train.")


class Progress:
    """Tells the plan, then how every cell went, then the sum.

    On a terminal a line also says what is being measured and how long the rest will take. It is written once, before
    the cell: a display that moves would run beside the measurement of a time.
    """

    def __init__(self, steps: Sequence[Step], store: Store) -> None:
        here = machine.card().name
        self._steps = steps
        self._known: list[Record] = [entry.record for entry in store if entry.record.machine.name == here]
        self._outcomes: list[Outcome] = []
        self._console = console(stderr=True)
        self._begin = time.monotonic()

    def tell_plan(self, *, each: bool) -> None:
        """How many cells there are, how many are still to be measured, and about how long that takes."""
        in_store = sum(step.found is not None for step in self._steps)
        to_do = len(self._steps) - in_store
        judged = f" ({estimate(self._steps, self._known)})" if to_do else ""
        tell(f"{len(self._steps)} cells: {in_store} in store, {to_do} to do{judged}")
        for step in self._steps if each else ():
            tell(f"  {'in store' if step.found else 'to do':<8} {_called(step.cell)}")

    def begin(self) -> None:
        """Say, on a terminal, what is measured next."""
        rest = self._steps[len(self._outcomes) :]
        if self._console.is_terminal and rest and rest[0].found is None:
            text = f"{self._count(1)} {_called(rest[0].cell)}  measuring; left: {estimate(rest, self._known)}"
            self._console.print(text, end="\r", no_wrap=True, overflow="crop")

    def finish(self, outcome: Outcome) -> None:
        """Say how a cell went."""
        self._outcomes.append(outcome)
        self._clear()
        record = outcome.record
        if record.error is not None:
            message = f": {record.error.type}: {record.error.message} ({outcome.entry.path})"
            what = Text.assemble(("failed", "red"), message)
        elif outcome.measured:
            self._known.append(record)
            what = Text(f"{record.seconds:.1f} s")
        else:
            what = Text("in store")
        tell(Text.assemble(f"{self._count(0)} {_called(outcome.cell)}  ", what))

    def interrupted(self) -> None:
        """Say what an interrupted run leaves."""
        self._clear()
        tell(f"Stopped: {len(self._outcomes)} of {len(self._steps)} cells are in the store. Run again to go on.")

    def not_stored(self, stop: NotStored) -> None:
        """Say why a record was not kept, and print it: what it took hours to measure is not lost."""
        self._clear()
        said = explained(stop.__cause__) if isinstance(stop.__cause__, Exception) else None
        tell(f"{stop} {said or ''} It is the next line.", mark="error:")
        tell(encode(stop.record).decode())

    def tell_sum(self, results: Path) -> None:
        """Tell what was found, how long it took, and where to look."""
        if not self._outcomes:
            return
        failed = [outcome for outcome in self._outcomes if outcome.record.error is not None]
        measured = sum(outcome.measured for outcome in self._outcomes)
        seconds = duration(time.monotonic() - self._begin)
        tell(
            f"{len(self._outcomes)} cells: {measured} measured in {seconds}, "
            f"{len(self._outcomes) - measured} from the store, {len(failed)} failed"
        )
        where = "" if results == Path("results") else f" --results {shlex.quote(str(results))}"
        tell(f"Records are in {results}. Tables and figures of all: run_bench.py report{where}")
        asked, first = ("Why it failed", failed[0]) if failed else ("What a number means", self._outcomes[0])
        tell(f"{asked}: run_bench.py explain {shlex.quote(str(first.cell))}{where}")

    def _count(self, ahead: int) -> str:
        return f"[{len(self._outcomes) + ahead}/{len(self._steps)}]"

    def _clear(self) -> None:
        self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))


def _called(cell: Cell) -> str:
    """The name of a cell, with how masks are finished where the recipe says so: cells may differ in nothing else."""
    return str(cell) if cell.finishing is None else f"{cell} ({cell.finishing} masks)"
