"""Studies of EffSeg on trained weights: where should it refine, and how much? On true boxes, without retraining."""

from collections.abc import Iterator, Mapping

import pandas as pd

from reports.cells import source_of
from reports.layout import CellValue, Column, Table
from reports.select.trained import MAIN_METRICS, Result, in_order, results
from reports.tables.differences import Difference, not_significant, with_interval

_POLICIES = {
    "predicted": "predicted (in training)",
    "uncertainty": "uncertainty",
    "boundary": "boundary",
    "random": "random",
    "oracle": "oracle",
    "all": "all cells",
}
_TRAINED = "trained"


def policies(frame: pd.DataFrame) -> list[Table]:
    """For every EffSeg that was measured: a row per rule by which the refined cells are chosen."""
    found = in_order(results(frame, "policies"))
    return [_policies(each, several=len(found) > 1) for each in found]


def budgets(frame: pd.DataFrame) -> list[Table]:
    """For every EffSeg that was measured: a row per number of refined cells, the fewest first."""
    found = in_order(results(frame, "budget"))
    return [_budgets(each, several=len(found) > 1) for each in found]


def _policies(result: Result, *, several: bool) -> Table:
    metrics = _metrics(result, "predicted")
    return Table(
        title=_title("Where should EffSeg refine?", result, several=several),
        columns=(Column(name="Rule"), *_accuracy_columns(metrics, "predicted")),
        rows=tuple(
            (label, *_accuracies(result, metrics, rule, "predicted"))
            for rule, label in _POLICIES.items()
            if any(f"{metric}_{rule}" in result.values for metric in metrics)
        ),
        caption=(
            "The weights were trained with the rule 'predicted': this is about the choice of cells at inference. A "
            "head trained with another rule may do better with it.",
            f"All rules refine {_cells(result)} cells of an image and stage (mean), but 'all cells', which has no "
            "budget. The oracle knows which cells the object covers in part; no head can.",
            *_reading(result, "predicted"),
        ),
    )


def _cells(result: Result) -> str:
    known = result.values.get("cells_per_stage")
    return "as many" if known is None else f"{known:.0f}"


def _budgets(result: Result, *, several: bool) -> Table:
    metrics = _metrics(result, _TRAINED)
    cells = {name.removeprefix("cells_"): value for name, value in result.values.items() if name.startswith("cells_")}
    rows: list[tuple[CellValue, ...]] = []
    for name in sorted(cells, key=lambda name: cells[name]):
        milliseconds = result.values.get(f"latency_ms_{name}")
        rows.append((name, cells[name], milliseconds, *_accuracies(result, metrics, name, _TRAINED)))
    return Table(
        title=_title("What does accuracy cost?", result, several=several),
        columns=(
            Column(name="Budget"),
            Column(name="cells", digits=0),
            Column(name="head ms", digits=1),
            *_accuracy_columns(metrics, _TRAINED),
        ),
        rows=tuple(rows),
        caption=(
            "Budgets are multiples of the one that the weights were trained with; 'none' refines one cell a stage. "
            "cells: refined in an image and stage (mean), fewer than asked for where there are no more.",
            f"head ms: median time of the head alone for the objects of an image, on {result.machine}.",
            *_reading(result, _TRAINED),
        ),
    )


def _title(question: str, result: Result, *, several: bool) -> str:
    return f"{question} {result.head}, {result.module}, seed {result.subject.seed}" if several else question


def _metrics(result: Result, reference: str) -> dict[str, str]:
    """The main metrics that the study has."""
    return {metric: label for metric, label in MAIN_METRICS.items() if f"{metric}_{reference}" in result.values}


def _accuracy_columns(metrics: Mapping[str, str], reference: str) -> Iterator[Column]:
    for label in metrics.values():
        yield Column(name=label, digits=1)
        yield Column(name=f"vs {reference}", digits=1, show_as=with_interval)
    yield Column(name="Not significant")


def _accuracies(result: Result, metrics: Mapping[str, str], way: str, reference: str) -> Iterator[CellValue]:
    """Every metric of a way with its difference from the reference, then the differences that mean nothing."""
    changes = {}
    for metric, label in metrics.items():
        name = f"{metric}_{way}_minus_{reference}"
        if name in result.values:
            changes[label] = Difference(points=result.values[name], interval=result.intervals.get(name))
        yield result.values.get(f"{metric}_{way}")
        yield changes[label].number(source_of(result.values[name])) if label in changes else None
    yield not_significant(changes)


def _reading(result: Result, reference: str) -> Iterator[str]:
    images = result.values.get("images")
    yield (
        f"On {'the' if images is None else f'{images:.0f}'} images with true boxes. 'vs {reference}': what is gained "
        "or lost, with the 95 % interval of the paired difference; it speaks of the choice of images, not of training."
    )
