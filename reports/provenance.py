"""How a report was made, as tables: code, machines, probes, data, weights, trainings, and what failed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from bench.record import Code, Machine, Record
from bench.store import Entry
from reports.layout import Column, Table
from reports.trainings import Training

_DATA = {
    "annotations": "COCO annotations",
    "lvis": "LVIS or fine annotations",
    "predictions": "predictions",
}
"""The parts of a protocol that hold the checksum of a file of data."""


def provenance(entries: Sequence[Entry], trainings: Sequence[Training]) -> list[Table]:
    """The tables of the card; those without a row are left out."""
    records = [entry.record for entry in entries]
    tables = (
        _code(records),
        _machines(records),
        _probes(records),
        _data(records),
        _weights(records),
        _trainings(trainings),
        _failures(entries),
    )
    return [table for table in tables if table.rows]


def _code(records: Sequence[Record]) -> Table:
    counts = Counter(_commit(record.code) for record in records)
    return Table(
        title="Code",
        columns=(Column(name="Commit"), Column(name="Records", digits=0)),
        rows=tuple((commit, float(count)) for commit, count in counts.items()),
        caption=(),
    )


def _machines(records: Sequence[Record]) -> Table:
    counts = Counter(record.machine for record in records)
    return Table(
        title="Machines",
        columns=(
            *(Column(name=name) for name in ("Machine", "Processor", "GPU", "System", "Python", "torch")),
            *(Column(name=name, digits=0) for name in ("Cores", "Threads", "GiB", "Records")),
        ),
        rows=tuple(
            (
                *(of.name, of.cpu, of.gpu or "none", of.os, of.python, of.torch or "none"),
                *(float(of.cores), None if of.threads is None else float(of.threads), _gib(of), float(count)),
            )
            for of, count in counts.items()
        ),
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
            (entry.recipe, entry.record.subject.name, entry.record.probe, f"{error.type}: {error.message}")
            for entry in entries
            if (error := entry.record.error) is not None
        ),
        caption=("These have no values above.",),
    )


def _commit(code: Code) -> str:
    if code.commit is None:
        return "not from a git checkout"
    return code.commit + (" with changes" if code.dirty else "")


def _gib(machine: Machine) -> float | None:
    return None if machine.memory_bytes is None else machine.memory_bytes / 2**30
