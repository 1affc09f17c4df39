"""Cells to measure, minus those in the store: measure the rest one by one, keep values or the error.

Imports no torch; probes do.

Under torchrun every rank makes the same plan and runs it: rank 0 looks into the store, measures and writes; the others
wait for it, except at probes that share their work.
"""

import importlib
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench import catalog, machine, memory, ranks
from bench.contract import Context, Finishing, Measurement, Probe
from bench.record import LONGEST_TEXT, Code, Failure, Machine, Record, Scalar, Subject, Value, key
from bench.store import Entry, Store

_FRAMES_KEPT = 5


_NOTHING = Measurement()


class NotStored(Exception):
    """The record of a finished measurement could not be written; it is here, and the cause is what was wrong."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"The record of {record.subject.name}/{record.probe} cannot be written.")
        self.record = record


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One thing to measure for a recipe.

    A recipe for small machines limits what a probe would measure on: `images` at most, and `regions` and `budget` where
    the run does not say how many. `finishing`, where it is given, is that of the masks.
    """

    recipe: str
    subject: Subject
    probe: str
    images: int | None = None
    regions: int | None = None
    budget: int | None = None
    finishing: Finishing | None = None

    def __str__(self) -> str:
        return f"{self.recipe}/{self.subject.name}/{self.probe}"

    def within(self, context: Context) -> Context:
        """The context of a run with the limits of this cell."""
        return replace(
            context,
            images=min((number for number in (self.images, context.images) if number is not None), default=None),
            regions=self.regions if context.regions is None else context.regions,
            budget=self.budget if context.budget is None else context.budget,
            finishing=self.finishing or context.finishing,
        )


@dataclass(frozen=True, kw_only=True)
class Step:
    """A cell with how it will be measured, and the good record if the store has one and none newer is asked for."""

    cell: Cell
    probe: Probe
    protocol: dict[str, Scalar]
    key: str
    found: Entry | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished cell; `measured` is False where the record was in the store already."""

    cell: Cell
    entry: Entry
    measured: bool

    @property
    def record(self) -> Record:
        """The record of the cell."""
        return self.entry.record


def load_probes(names: Iterable[str]) -> dict[str, Probe]:
    """Import probes by name. Raises ValueError for an unknown name and for a module that is no probe."""
    loaded: dict[str, Probe] = {}
    for name in dict.fromkeys(names):
        catalog.check("probe", name, catalog.names("bench.probes"))
        module = importlib.import_module(f"bench.probes.{name}")
        if not isinstance(module, Probe):
            raise ValueError(
                f"{module.__name__} is no probe. A probe has VERSION, TIMED, NEEDS_IMAGES, NEEDS_WEIGHTS, protocol and "
                "measure. Add what is missing, as bench.contract.Probe says."
            )
        loaded[name] = module
    return loaded


def lacking_images(cells: Iterable[Cell], probes: Mapping[str, Probe], context: Context) -> list[Cell]:
    """The cells that cannot be measured in this context, for want of images."""
    return [cell for cell in cells if probes[cell.probe].NEEDS_IMAGES and context.data is None]


def lacking_weights(cells: Iterable[Cell], probes: Mapping[str, Probe]) -> list[Cell]:
    """The cells whose values would mean nothing, because the weights are random."""
    return [cell for cell in cells if probes[cell.probe].NEEDS_WEIGHTS and cell.subject.weights == "random"]


def prepare(
    cells: Iterable[Cell], probes: Mapping[str, Probe], context: Context, store: Store, *, force: bool = False
) -> list[Step]:
    """Look up every cell in the store. With `force`, none counts as found. All ranks do what rank 0 finds to do."""
    wanted = list(cells)
    here = machine.card()

    def look_up() -> list[tuple[dict[str, Scalar], str, Entry | None]]:
        return [_look_up(cell, probes[cell.probe], context, store, here, force=force) for cell in wanted]

    return [
        Step(cell=cell, probe=probes[cell.probe], protocol=protocol, key=cell_key, found=found)
        for cell, (protocol, cell_key, found) in zip(wanted, ranks.from_first(look_up), strict=True)
    ]


def run(steps: Iterable[Step], context: Context, store: Store) -> Iterator[Outcome]:
    """Measure what is missing and yield every cell, on every rank, as soon as its record is stored.

    An exception of a probe, on whichever rank, becomes a record and the run goes on. KeyboardInterrupt passes through;
    the cells that finished before it are in the store. Raises NotStored with the record that cannot be written.
    """
    here, code = machine.card(), machine.code()
    context = replace(context, device=ranks.device(context.device))
    for step in steps:
        if step.found is not None:
            yield Outcome(cell=step.cell, entry=step.found, measured=False)
        else:
            yield Outcome(cell=step.cell, entry=_finish(step, context, store, here, code), measured=True)


def _look_up(
    cell: Cell, probe: Probe, context: Context, store: Store, here: Machine, *, force: bool
) -> tuple[dict[str, Scalar], str, Entry | None]:
    """Protocol and key of a cell, and the good record if there is one."""
    depends_on = probe.protocol(cell.subject, cell.within(context))
    protocol = {"probe": cell.probe, "version": probe.VERSION, **depends_on}
    cell_key = key(cell.subject, protocol, here if probe.TIMED else None)
    found = None if force else store.newest(cell.recipe, cell.subject.name, cell.probe, cell_key)
    if found is not None and found.record.error is not None:
        found = None
    return protocol, cell_key, found


def _finish(step: Step, context: Context, store: Store, here: Machine, code: Code) -> Entry:
    """Measure a cell and write its record."""
    started = datetime.now(UTC).isoformat(timespec="microseconds")
    begin = time.perf_counter()
    measurement, failure = _measure(step, context)

    def record(measurement: Measurement, error: Failure | None) -> Record:
        return Record(
            subject=step.cell.subject,
            protocol=step.protocol,
            machine=here,
            code=code,
            values=tuple(map(_plain, measurement.values)),
            uncounted=tuple(measurement.uncounted),
            error=error,
            started=started,
            seconds=time.perf_counter() - begin,
        )

    def write() -> Entry:
        kept = measurement
        try:
            finished = record(kept, failure)
        except Exception as error:  # a measurement that makes no record is a failure of its probe
            kept = _NOTHING
            finished = record(kept, _failure(error))
        try:
            return store.add(step.cell.recipe, step.key, finished, kept.samples, kept.files)
        except OSError as error:
            raise NotStored(finished) from error

    entry = ranks.from_first(write)
    memory.trim_heap()
    return entry


def _measure(step: Step, context: Context) -> tuple[Measurement, Failure | None]:
    """Run the probe on the ranks that take part, and wait for all. Where one fails, the cell has failed on all."""
    takes_part = ranks.rank() == 0 or getattr(step.probe, "SHARED", False)
    try:
        measurement = step.probe.measure(step.cell.subject, step.cell.within(context)) if takes_part else _NOTHING
        ranks.gather(None)
        return measurement, None
    except ranks.RankFailed as other:
        return _NOTHING, other.failure
    except Exception as error:  # whatever a probe raises is a result; the other cells must still be measured
        failure = _failure(error)
        ranks.tell_failure(failure)
        return _NOTHING, failure


def _failure(error: Exception) -> Failure:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_KEPT:]
    # Two parts of the path name a file of any package and leave out whose computer it is on.
    places = [f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} in {frame.name}" for frame in frames]
    return Failure(type=type(error).__name__, message=str(error)[:LONGEST_TEXT], frames=tuple(places))


def _plain(value: Value) -> Value:
    """The same value in plain numbers: counts stay whole, and numpy's float64, which calls itself a float, is one."""
    number = value.value if isinstance(value.value, int) else float(value.value)
    interval = None if value.interval is None else (float(value.interval[0]), float(value.interval[1]))
    return Value(name=value.name, value=number, unit=value.unit, at=value.at, interval=interval)
