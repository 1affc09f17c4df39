"""What one probe measured of every model, as values: the newest record of each, and which of them may be compared."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from jaxtyping import Float64

from bench.record import Scalar, Subject
from reports import paper
from reports.cells import Bounds, source_of
from reports.select.frame import number, rows_of

PRESET = "small"

_MEANS_NOTHING_UNTRAINED = ("accuracy", "accuracy_true_boxes", "box_accuracy", "policies", "budget")

MAIN_METRICS = {"ap_star": "AP*", "apb_star": "APB*", "ap": "AP"}
"""The accuracies that tables of trained heads show, those on fine annotations first, by their names in records."""

COMPARED_METRICS = {**MAIN_METRICS, "apb": "APB"}
"""The accuracies whose differences they show."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """Values and intervals of one model by one probe; `samples` is the npz file beside the record, if it is there.

    Equal to nothing but itself.
    """

    subject: Subject
    protocol: dict[str, Scalar]
    machine: str
    started: str
    samples: Path | None
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]

    @property
    def storage(self) -> str:
        """Another backend or kernel than EffSeg's own, as on the command line; empty for all other heads."""
        of = self.subject
        found = ":".join(part for part in (of.backend, of.kernel) if part is not None)
        return "" if found == "sps" else found

    @property
    def head(self) -> str:
        """How tables call the head."""
        name = paper.HEADS.get(str(self.subject.head), str(self.subject.head))
        return f"{name} ({self.storage})" if self.storage else name

    @cached_property
    def resampled(self) -> dict[str, Float64[np.ndarray, "B"]]:
        """What the record keeps of the compared metrics on resampled images, by metric; read when first asked for."""
        if self.samples is None:
            return {}
        with np.load(self.samples, allow_pickle=False) as arrays:
            return {
                metric: np.asarray(arrays[name], dtype=np.float64)
                for metric in COMPARED_METRICS
                if (name := f"resampled_{metric}") in arrays
            }

    @property
    def module(self) -> str:
        """How tables call EffSeg's processing module; empty for the other heads."""
        return "" if self.subject.module is None else paper.MODULES.get(self.subject.module, self.subject.module)


def model(subject: Subject) -> Subject:
    """What a subject remains when it is trained again: all of it but its weights."""
    return msgspec.structs.replace(subject, weights="")


def results(frame: pd.DataFrame, probe: str) -> list[Result]:
    """The newest result of every model, in the order in which they were measured first.

    A model trained again, or measured on other images, is still the same model. The accuracy of random weights is left
    out.
    """
    found = frame[frame["probe"] == probe]
    if probe in _MEANS_NOTHING_UNTRAINED:
        found = found[found["weights"] != "random"]
    newest: dict[Subject, Result] = {}
    for _, of_record in groupby(rows_of(found), key=lambda row: id(row["source"])):
        first, *others = of_record
        subject = Subject(**{name: first[name] for name in Subject.__struct_fields__})
        of = model(subject)
        if of not in newest or newest[of].started != first["started"]:
            newest[of] = Result(
                subject=subject,
                protocol=first["protocol"],
                machine=first["machine"],
                started=first["started"],
                samples=first["samples"],
                values={},
                intervals={},
            )
        for row in (first, *others):
            newest[of].values[row["name"]] = number(row)
            if row["low"] is not None:
                newest[of].intervals[row["name"]] = float(row["low"]), float(row["high"])
    return list(newest.values())


def usual(found: Iterable[Result]) -> list[Result]:
    """The heads as the small preset has them, EffSeg with the paper's module, in the paper's order."""
    return in_order(each for each in found if each.subject.preset == PRESET and each.subject.module in (None, "sfm"))


def what_differs(first: Result, second: Result) -> list[str]:
    """The parts of the protocol that keep two results from being compared; none where they can be.

    What weights a model was started from says nothing about how it was measured. Images that could not be read are
    missing: as many of them as there are must have been measured for both.
    """
    conditions = [
        {**result.protocol, "initial": None, "number of images": result.values.get("images")}
        for result in (first, second)
    ]
    names = dict.fromkeys([*conditions[0], *conditions[1]])
    return [name for name in names if conditions[0].get(name) != conditions[1].get(name)]


def of_one_run(found: Iterable[Result]) -> tuple[list[Result], list[Result]]:
    """The results that compare with the newest one, and the others: two rows of a table must be of the same images."""
    known = list(found)
    newest = max(known, key=lambda result: result.started, default=None)
    alike: list[Result] = []
    others: list[Result] = []
    for result in known:
        assert newest is not None
        (others if what_differs(newest, result) else alike).append(result)
    return alike, others


def by_seed(found: Iterable[Result]) -> dict[Subject, list[Result]]:
    """The results of each model, whose seeds are its repetitions, ascending; its name in the keys is that of seed 0."""
    groups: dict[Subject, list[Result]] = {}
    for result in sorted(found, key=lambda result: result.subject.seed):
        groups.setdefault(msgspec.structs.replace(model(result.subject), seed=0), []).append(result)
    return groups


def in_order(found: Iterable[Result]) -> list[Result]:
    """Sorted by head as in the paper, then by module as in the paper; what the paper does not have comes last."""
    heads, modules = list(paper.HEADS), [None, *paper.MODULES]

    def place(result: Result) -> tuple[int, int]:
        head, module = result.subject.head, result.subject.module
        return (
            heads.index(head) if head in heads else len(heads),
            modules.index(module) if module in modules else len(modules),
        )

    return sorted(found, key=place)


def interval(result: Result, name: str) -> str:
    """The interval of a value as tables show it; empty without one."""
    if name not in result.intervals:
        return ""
    low, high = result.intervals[name]
    # Without its decimal, 100 keeps tables narrow enough for a terminal.
    text = f"{low:.1f}-{high:.1f}".replace("100.0", "100")
    return Bounds(text, source=source_of(result.values.get(name)))


def left_out(others: Iterable[Result]) -> Iterator[str]:
    """Say what `of_one_run` did not keep."""
    names = dict.fromkeys(f"{each.head} seed {each.subject.seed}" for each in others)
    if names:
        yield f"Left out, because measured on other images or by other rules than the newest: {', '.join(names)}."
