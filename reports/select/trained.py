"""Trained heads: the usual ones, the seeds of one model, their order, and how the interval of a value is written."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import msgspec

from bench.names import METRICS
from bench.record import Subject
from reports import paper
from reports.cells import Bounds, Number
from reports.select.comparable import Comparable, model
from reports.select.measured import Measured

PRESET = "small"
AGNOSTIC = "small_agnostic"
"""The preset of the heads that predict one mask for all classes."""

MAIN_METRICS = {name: called for name, called in METRICS.items() if name != "apb"}
"""The accuracies that tables of trained heads show, by their names in records; of all METRICS they show differences."""

BOXES = {"accuracy_true_boxes": "true boxes", "accuracy": "detected boxes"}
"""The probes of accuracies by whose boxes the heads get."""


def of_models(found: Iterable[Measured]) -> list[Measured]:
    """Without what was measured of foreign files of predictions: nobody knows what made these."""
    return [each for each in found if "predictions" not in each.protocol]


def is_usual(measured: Measured) -> bool:
    """Whether a head is as the small preset has it: EffSeg with the paper's module."""
    return measured.subject.preset == PRESET and measured.subject.module in (None, "sfm")


def usual(chosen: Comparable) -> Comparable:
    """The usual heads alone, in the paper's order."""
    kept = chosen.only(is_usual)
    return replace(kept, shown=tuple(in_order(kept.shown)))


def any_seed(subject: Subject) -> Subject:
    """The model of which a subject is one seed; its name is that of seed 0."""
    return msgspec.structs.replace(model(subject), seed=0)


def by_seed(found: Iterable[Measured]) -> dict[Subject, list[Measured]]:
    """The records of each model as `any_seed` has it, whose seeds are its repetitions, ascending."""
    groups: dict[Subject, list[Measured]] = {}
    for each in sorted(found, key=lambda each: each.subject.seed):
        groups.setdefault(any_seed(each.subject), []).append(each)
    return groups


def first_seeds(found: Iterable[Measured]) -> list[Measured]:
    """The first seed of each model, in the paper's order: a figure shows one point for each, and its interval."""
    return in_order(seeds[0] for seeds in by_seed(found).values())


def seeds_in_words(models: Iterable[Sequence[Measured]]) -> Iterator[str]:
    """A sentence about which seeds the numbers of models are means of; none without models."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for seeds in models:
        groups.setdefault(tuple(each.subject.seed for each in seeds), []).append(seeds[0].head)
    told = []
    for alike, heads in sorted(groups.items(), key=lambda group: -len(group[0])):
        listed = f"{'means of seeds' if len(alike) > 1 else 'seed'} {', '.join(map(str, alike))}"
        told.append(f"{listed}: {', '.join(heads)}" if len(groups) > 1 else listed)
    if told:
        sentence = "; ".join(told)
        yield f"{sentence[0].upper()}{sentence[1:]}."


def in_order(found: Iterable[Measured]) -> list[Measured]:
    """Sorted by head as in the paper, then by module as in the paper; what the paper does not have comes last."""
    heads, modules = list(paper.HEADS), [None, *paper.MODULES]

    def place(measured: Measured) -> tuple[int, int]:
        head, module = measured.subject.head, measured.subject.module
        return (
            heads.index(head) if head in heads else len(heads),
            modules.index(module) if module in modules else len(modules),
        )

    return sorted(found, key=place)


def numbers(seeds: Iterable[Measured], name: str) -> list[Number]:
    """The values of a name that seeds of a model have."""
    return [number for each in seeds if (number := each.number(name)) is not None]


def interval(number: Number | None) -> str:
    """The interval of a value as tables show it; empty without one."""
    if number is None or number.interval is None:
        return ""
    low, high = number.interval
    # Without its decimal, 100 keeps tables narrow enough for a terminal.
    return Bounds(f"{low:.1f}-{high:.1f}".replace("100.0", "100"), source=number.source)
