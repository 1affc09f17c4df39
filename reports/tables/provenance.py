"""How a report was made, as tables: commands, code, machines, probes, data, weights, trainings, and what is missing."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bench.names import AXES
from bench.record import Code, Machine, Record
from bench.store import Entry
from reports.cells import Source, Text
from reports.layout import CellValue, Column, Table
from reports.select.trainings import Training

_DATA = {
    "annotations": "COCO annotations",
    "lvis": "LVIS or fine annotations",
    "predictions": "predictions",
}
"""The parts of a protocol that hold the checksum of a file of data."""

_COMMANDS = {
    "certify": "run_bench.py certify",
    "evaluate": "run_bench.py evaluate --predictions FILE",
}
"""The verbs that leave records under their own name; recipes are run."""

_NUM_SKIPPED = 20
"""How many of the files that are no records are named, so that a page stays one."""


def provenance(
    entries: Sequence[Entry], trainings: Sequence[Training], skipped: Mapping[Path, str] | None = None
) -> list[Table]:
    """The tables of the card; those without a row are left out. `skipped` is what `Store` has of its name."""
    records = [entry.record for entry in entries]
    tables = (
        _commands(entries),
        _code(records),
        _machines(records),
        _probes(records),
        _data(records),
        _weights(records),
        _trainings(trainings),
        _failures(entries),
        _unknown_axes(records),
        _skipped(skipped or {}),
    )
    return [table for table in tables if table.rows]


def _commands(entries: Sequence[Entry]) -> Table:
    counts = Counter(entry.recipe for entry in entries)
    minutes = dict.fromkeys(counts, 0.0)
    for entry in entries:
        minutes[entry.recipe] += entry.record.seconds / 60
    return Table(
        title="Commands",
        columns=(
            Column(name="Recipe"),
            Column(name="Command"),
            Column(name="Records", digits=0),
            Column(name="Minutes", digits=1),
        ),
        rows=tuple(
            (recipe, f"python {_COMMANDS.get(recipe, f'run_bench.py run {recipe}')}", float(count), minutes[recipe])
            for recipe, count in sorted(counts.items())
        ),
        caption=(
            "What measures the same again, given the same data and weights; their checksums are below, and the device, "
            "the number of images and all other limits are in the protocol of every record. Minutes: the time of the "
            "probes. Then python run_bench.py report makes this page of the records.",
        ),
    )


def _code(records: Sequence[Record]) -> Table:
    counts = Counter(_commit(record.code) for record in records)
    return Table(
        title="Code",
        columns=(Column(name="Commit"), Column(name="Records", digits=0)),
        rows=tuple((commit, float(count)) for commit, count in counts.items()),
        caption=(),
    )


def _machines(records: Sequence[Record]) -> Table:
    """A row for each machine and number of threads, with the columns that some machine could tell."""
    counts = Counter(record.machine for record in records)
    of_machine: dict[Column, Callable[[Machine], CellValue]] = {
        Column(name="Machine"): lambda of: of.name,
        Column(name="Processor"): lambda of: of.cpu,
        Column(name="Cores", digits=0): lambda of: of.cores,
        Column(name="Threads", digits=0): lambda of: of.threads,
        Column(name="MHz, highest", digits=0): lambda of: of.clock_mhz,
        Column(name="GiB", digits=0): lambda of: _gib(of.memory_bytes),
        Column(name="GPU"): lambda of: of.gpu or "none",
        Column(name="GPU GiB", digits=0): lambda of: _gib(of.gpu_memory_bytes),
        Column(name="GPU MHz, highest", digits=0): lambda of: of.gpu_clock_mhz,
        Column(name="GPU W, limit", digits=0): lambda of: of.gpu_power_limit_w,
        Column(name="System"): lambda of: of.os,
        Column(name="Python"): lambda of: of.python,
        Column(name="torch"): lambda of: of.torch or "none",
    }
    shown = {column: tell for column, tell in of_machine.items() if any(tell(of) is not None for of in counts)}
    return Table(
        title="Machines",
        columns=(*shown, Column(name="Records", digits=0)),
        rows=tuple((*(tell(of) for tell in shown.values()), float(count)) for of, count in counts.items()),
        caption=(),
    )


def _probes(records: Sequence[Record]) -> Table:
    counts = Counter((record.probe, str(record.protocol["version"])) for record in records)
    uncounted: dict[tuple[str, str], set[str]] = {}
    for record in records:
        uncounted.setdefault((record.probe, str(record.protocol["version"])), set()).update(record.uncounted)
    return Table(
        title="Probes",
        columns=(
            *(Column(name="Probe"), Column(name="Version"), Column(name="Records", digits=0)),
            Column(name="Uncounted operations"),
        ),
        rows=tuple(
            (probe, version, float(count), ", ".join(sorted(uncounted[probe, version])))
            for (probe, version), count in sorted(counts.items())
        ),
        caption=("The whole protocol of every value is in its record.",),
    )


def _data(records: Sequence[Record]) -> Table:
    found = Counter(
        (what, checksum)
        for record in records
        for name, what in _DATA.items()
        if isinstance(checksum := record.protocol.get(name), str)
    )
    return Table(
        title="Data",
        columns=(Column(name="File"), Column(name="Checksum"), Column(name="Records", digits=0)),
        rows=tuple((what, checksum, float(count)) for (what, checksum), count in found.items()),
        caption=(),
    )


def _weights(records: Iterable[Record]) -> Table:
    found = Counter(
        (record.subject.head or "", record.subject.name, record.subject.weights)
        for record in records
        if record.subject.weights not in ("none", "random")
    )
    return Table(
        title="Weights that were measured",
        columns=(Column(name="Subject"), Column(name="Checksum"), Column(name="Records", digits=0)),
        rows=tuple((subject, checksum, float(count)) for (_, subject, checksum), count in found.items()),
        caption=("A checksum is that of all files of a model, one after the other: detector, then head.",),
    )


def _trainings(trainings: Sequence[Training]) -> Table:
    names = ("File", "Checksum", "Data", "Command", "Machine", "Commit")
    return Table(
        title="Trainings",
        columns=(*(Column(name=name) for name in names), Column(name="Minutes", digits=0)),
        rows=tuple(
            (
                *(each.name, each.weights, each.data, each.command, each.machine.name, _commit(each.code)),
                each.seconds / 60,
            )
            for each in trainings
        ),
        caption=("The weights that the project ships. Minutes: the time of all steps.",),
    )


def _failures(entries: Sequence[Entry]) -> Table:
    return Table(
        title="Failed measurements",
        columns=tuple(Column(name=name) for name in ("Recipe", "Subject", "Probe", "Error")),
        rows=tuple(
            (
                *(entry.recipe, entry.record.subject.name, entry.record.probe),
                Text(f"{error.type}: {error.message}", source=_source(entry)),
            )
            for entry in entries
            if (error := entry.record.error) is not None
        ),
        caption=("These have no values above.",),
    )


def _source(entry: Entry) -> Source:
    record = entry.record
    return Source(record=entry.place, protocol=record.protocol, machine=record.machine.name, started=record.started)


def _unknown_axes(records: Iterable[Record]) -> Table:
    found = [
        (axis, number)
        for number, record in enumerate(records)
        for value in record.values
        for axis in value.at
        if axis not in AXES
    ]
    num_values, num_records = (Counter(axis for axis, _ in each) for each in (found, set(found)))
    return Table(
        title="Axes of values that this version does not know",
        columns=(Column(name="Axis"), Column(name="Values", digits=0), Column(name="Records", digits=0)),
        rows=tuple((axis, float(count), float(num_records[axis])) for axis, count in num_values.items()),
        caption=(
            "Values with such an axis are shown by name and place: those of probes of one's own, or of a newer version "
            "of the project.",
        ),
    )


def _skipped(skipped: Mapping[Path, str]) -> Table:
    named = list(skipped.items())[:_NUM_SKIPPED]
    caption = [
        f"{len(skipped)} in all, left out as if they were not there: restore them, or delete them and measure again."
    ]
    if len(skipped) > len(named):
        others = len(skipped) - len(named)
        caption.append(f"{others} more are not listed here; the command that made this page names all of them.")
    return Table(
        title="Files that are no readable records, or lack what a table needs",
        columns=(Column(name="File"), Column(name="What is wrong")),
        rows=tuple(("/".join(path.parts[-4:]), reason) for path, reason in named),
        caption=tuple(caption),
    )


def _commit(code: Code) -> str:
    if code.commit is None:
        return "not from a git checkout"
    return code.commit + (" with changes" if code.dirty else "")


def _gib(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / 2**30
