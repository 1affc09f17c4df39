"""Studies of EffSeg on trained weights: where should it refine, and how much? On true boxes, without retraining."""

from collections.abc import Iterator, Mapping, Sequence

from reports.cells import Number
from reports.layout import CellValue, Column, Table
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.trained import MAIN_METRICS, in_order
from reports.tables.differences import PairedDifference, not_significant, with_interval

_POLICIES = {
    "predicted": "predicted (in training)",
    "uncertainty": "uncertainty",
    "boundary": "boundary",
    "random": "random",
    "oracle": "oracle",
    "all": "all cells",
}
_PREDICTED = "predicted"
_TRAINED = "trained"


def policies(found: Sequence[Measured]) -> list[Table]:
    """For every EffSeg that was measured: a row per rule by which the refined cells are chosen."""
    chosen = comparable(found, "policies")
    return [_policies(each, [*chosen.sentences()], several=len(chosen.shown) > 1) for each in in_order(chosen.shown)]


def budgets(found: Sequence[Measured]) -> list[Table]:
    """For every EffSeg that was measured: a row per number of refined cells, the fewest first."""
    chosen = comparable(found, "budget")
    return [_budgets(each, [*chosen.sentences()], several=len(chosen.shown) > 1) for each in in_order(chosen.shown)]


def _policies(study: Measured, left_out: Sequence[str], *, several: bool) -> Table:
    metrics = _metrics(study, policy=_PREDICTED)
    return Table(
        title=_title("Where should EffSeg refine?", study, several=several),
        columns=(Column(name="Rule"), *_accuracy_columns(metrics, _PREDICTED)),
        rows=tuple(
            (label, *_accuracies(study, metrics, _PREDICTED, policy=rule))
            for rule, label in _POLICIES.items()
            if any(study.number(metric, policy=rule) is not None for metric in metrics)
        ),
        caption=(
            "The weights were trained with the rule 'predicted': this is about the choice of cells at inference. A "
            "head trained with another rule may do better with it.",
            f"All rules refine {_count(study.number('cells_per_stage'), 'as many')} cells of an image and stage "
            "(mean), but 'all cells', which has no budget. The oracle knows which cells the object covers in part; no "
            "head can.",
            _reading(study, _PREDICTED),
            *left_out,
        ),
    )


def _budgets(study: Measured, left_out: Sequence[str], *, several: bool) -> Table:
    metrics = _metrics(study, budget=_TRAINED)
    cells, milliseconds = study.numbers("cells", "budget"), study.numbers("latency_ms", "budget")
    return Table(
        title=_title("What does accuracy cost?", study, several=several),
        columns=(
            Column(name="Budget"),
            Column(name="cells", digits=0),
            Column(name="head ms", digits=1),
            *_accuracy_columns(metrics, _TRAINED),
        ),
        rows=tuple(
            (str(name), cells[name], milliseconds.get(name), *_accuracies(study, metrics, _TRAINED, budget=name))
            for name in sorted(cells, key=lambda name: cells[name])
        ),
        caption=(
            "Budgets are multiples of the one that the weights were trained with; 'none' refines one cell a stage. "
            "cells: refined in an image and stage (mean), fewer than asked for where there are no more.",
            f"head ms: median time of the head alone for the objects of an image, on {study.machine}.",
            _reading(study, _TRAINED),
            *left_out,
        ),
    )


def _title(question: str, study: Measured, *, several: bool) -> str:
    return f"{question} {study.head}, {study.module}, seed {study.subject.seed}" if several else question


def _metrics(study: Measured, **reference: str) -> dict[str, str]:
    """The main metrics that the study has."""
    return {metric: label for metric, label in MAIN_METRICS.items() if study.number(metric, **reference) is not None}


def _accuracy_columns(metrics: Mapping[str, str], reference: str) -> Iterator[Column]:
    for label in metrics.values():
        yield Column(name=label, digits=1)
        yield Column(name=f"vs {reference}", digits=1, show_as=with_interval)
    yield Column(name="Not significant")


def _accuracies(study: Measured, metrics: Mapping[str, str], reference: str, **way: str | int) -> Iterator[CellValue]:
    """Every metric of a way with its difference from the reference, then the differences that mean nothing."""
    changes = {}
    for metric, label in metrics.items():
        change = study.number(f"{metric}_difference", **way, reference=reference)
        if change is not None:
            changes[label] = PairedDifference(points=change, interval=change.interval)
        yield study.number(metric, **way)
        yield change
    yield not_significant(changes)


def _reading(study: Measured, reference: str) -> str:
    images = _count(study.number("images"), "the")
    return (
        f"On {images} images with true boxes. 'vs {reference}': what is gained or lost, with the 95 % interval of the "
        "paired difference; it speaks of the choice of images, not of training."
    )


def _count(number: Number | None, unknown: str) -> str:
    return unknown if number is None else f"{number:.0f}"
