"""Names of subjects in figures: the head as the paper calls it, and what tells it apart from the others."""

from collections.abc import Iterable, Sequence

import msgspec

from bench.record import Subject
from bench.store import Entry
from reports import paper
from reports.select.trained import model

_FIELDS = ("module", "backend", "kernel", "backbone", "preset", "schedule", "seed", "weights")
_DATA = ("images", "annotations", "lvis")
"""The parts of a protocol that say on which data it was measured."""


def names(subjects: Sequence[Subject]) -> list[str]:
    """A name for every subject; equal subjects have equal names, and others differ."""
    telling: list[str] = []
    for field in _FIELDS:
        if _count(subjects, ("head", *telling, field)) > _count(subjects, ("head", *telling)):
            telling.append(field)
    return [_name(subject, telling) for subject in subjects]


def newest_of_each(entries: Iterable[Entry], probe: str) -> list[Entry]:
    """The newest good record of every trained model under a probe, of those on the data that was measured last.

    Of a model with several seeds, the first one: figures show one point for each, and its interval. In the order of the
    paper's heads.
    """
    found = [
        entry
        for entry in entries
        if entry.record.probe == probe and entry.record.error is None and entry.record.subject.weights != "random"
    ]
    found.sort(key=lambda entry: entry.record.started)
    newest = {model(entry.record.subject): entry for entry in found}
    alike = [entry for entry in newest.values() if _data(entry) == _data(found[-1])]
    first: dict[Subject, Entry] = {}
    for entry in sorted(alike, key=lambda entry: entry.record.subject.seed):
        first.setdefault(msgspec.structs.replace(model(entry.record.subject), seed=0), entry)
    order = list(paper.HEADS)
    return sorted(first.values(), key=lambda entry: _place(order, entry.record.subject))


def _data(entry: Entry) -> tuple[object, ...]:
    return tuple(entry.record.protocol.get(name) for name in _DATA)


def _place(order: Sequence[str], subject: Subject) -> tuple[int, str]:
    head = subject.head or ""
    return (order.index(head) if head in order else len(order), subject.name)


def _count(subjects: Sequence[Subject], fields: Sequence[str]) -> int:
    return len({tuple(getattr(subject, field) for field in fields) for subject in subjects})


def _name(subject: Subject, telling: Sequence[str]) -> str:
    parts = [paper.HEADS.get(subject.head or "", subject.head or "")]
    for field in telling:
        value = getattr(subject, field)
        if field == "seed":
            parts.append(f"seed {value}")
        elif value is not None:
            text = str(value)
            parts.append(paper.MODULES.get(text, paper.BACKBONES.get(text, text.removeprefix("sha256:")[:8])))
    return " ".join(parts)
