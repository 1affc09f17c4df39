"""What was measured of the backends without a head: what may stand side by side, in the order of the paper."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bench.record import Record, Subject
from reports import paper
from reports.cells import Number
from reports.select.comparable import Comparable, comparable
from reports.select.measured import Measured
from reports.select.naming import names


def of_backends(found: Iterable[Measured], probe: str) -> Comparable:
    """Comparable records of every backend with its kernel: in the paper's order, then kernels and new backends."""
    alone = (each for each in found if is_alone(each.subject))
    chosen = comparable(alone, probe, of=lambda subject: (subject.backend, subject.kernel))
    return replace(chosen, shown=tuple(sorted(chosen.shown, key=_order)))


def of_kernels(found: Iterable[Measured]) -> list[Comparable]:
    """Comparable records of the kernels on every device in every precision, by the names of these."""
    settings: dict[tuple[str, str], list[Measured]] = {}
    for each in found:
        if each.probe == "kernels" and is_alone(each.subject):
            setting = (str(each.protocol["device"]), str(each.protocol["dtype"]))
            settings.setdefault(setting, []).append(each)
    return [of_backends(settings[setting], "kernels") for setting in sorted(settings)]


def failed(failures: Iterable[Record], probe: str) -> Iterator[tuple[str, Record]]:
    """How tables call a backend that a probe could not measure, with the record that says why."""
    for each in failures:
        if each.probe == probe and is_alone(each.subject):
            yield names([each.subject])[0], each


def is_alone(subject: Subject) -> bool:
    """Whether a subject is a backend without a head."""
    return subject.head is None and subject.backend is not None


def share_a_point(first: Comparable, second: Comparable) -> bool:
    """Whether two probes measured the same: all that both protocols mention is equal."""
    if first.newest is None or second.newest is None:
        return False
    ours, theirs = first.newest.protocol, second.newest.protocol
    return all(ours[name] == theirs[name] for name in (ours.keys() & theirs.keys()) - {"probe", "version"})


def origin(found: Comparable, *, names_machine: bool = False) -> Iterator[str]:
    """The last sentences of a caption: by which protocol, perhaps on which machine, and what is left out."""
    newest = found.newest
    if newest is not None:
        told = (f"{name} {value}" for name, value in newest.protocol.items() if name != "probe" and value is not None)
        machine = f"On {newest.machine}. " if names_machine else ""
        yield f"{machine}Protocol of {newest.probe}: {'; '.join(told)}."
        yield from found.sentences()


def ratio(ours: Number | None, reference: Number | None) -> Number | None:
    """One exact number over another; None where either is missing."""
    return None if ours is None or reference is None else ours.over(reference)


def over_dense(measured: Measured, cost: str, **at: str | int) -> Number | None:
    """A cost - time, macs, bytes - at a place of a sweep over that of Dense; that of time has its quartiles."""
    if cost == "time":
        return measured.number("ratio", **at)
    return ratio(measured.number(cost, **at), measured.number(f"dense_{cost}", **at))


def _order(measured: Measured) -> tuple[int, str]:
    known = list(paper.BACKENDS)
    backend = measured.subject.backend
    return known.index(backend) if backend in known else len(known), measured.backend
