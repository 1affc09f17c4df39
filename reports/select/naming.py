"""Names of subjects: the head or backend as the paper calls it, and what tells it apart from the others."""

from collections.abc import Sequence

from bench.record import Subject
from reports import paper

_FIELDS = ("module", "backend", "kernel", "backbone", "detector", "preset", "schedule", "seed", "weights")


def names(subjects: Sequence[Subject]) -> list[str]:
    """A name for every subject; equal subjects have equal names, and others differ."""
    told = [[_what(subject)] for subject in subjects]
    for field in _FIELDS:
        more = [[*words, _word(subject, field)] for words, subject in zip(told, subjects, strict=True)]
        if _count(more) > _count(told):
            told = more
    return [" ".join(filter(None, words)) for words in told]


def _what(subject: Subject) -> str:
    if subject.head is not None:
        return paper.HEADS.get(subject.head, subject.head)
    backend = paper.BACKENDS.get(str(subject.backend), str(subject.backend))
    return f"{backend}:{subject.kernel}" if subject.kernel else backend


def _word(subject: Subject, field: str) -> str:
    """What a field says, or nothing; a backend without a head is what the subject is called by."""
    value = getattr(subject, field)
    if value is None or (subject.head is None and field in ("backend", "kernel")):
        return ""
    if field == "seed":
        return f"seed {value}"
    text = str(value)
    if text.startswith("sha256:"):
        return text[7:15]  # the first digits tell files apart
    return (paper.MODULES | paper.BACKBONES | paper.DETECTORS).get(text, text)


def _count(told: Sequence[Sequence[str]]) -> int:
    return len({tuple(words) for words in told})
