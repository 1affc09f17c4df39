"""What accuracy costs: APB* of one head with more and fewer refined cells, against cells and against time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.names import METRICS
from reports.cells import Number
from reports.figures.style import Figure, colour, house_style, label_bar, pdf, svg
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import first_seeds

_AXES = {"cells": "refined cells of an image and stage", "latency_ms": "ms of the head for an image, median"}
_TRAINED = "trained"

_SHORT = {"eighth": "1/8", "quarter": "1/4", "half": "1/2", "double": "2 x", "fourfold": "4 x"}
"""Names of budgets as the table has them, for labels that are near each other."""


@dataclass(frozen=True, kw_only=True)
class _Point:
    """A budget of a record: its name, its accuracy, and where it is on the axes."""

    budget: str
    accuracy: Number
    places: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """The budgets of one record, from the fewest cells to the most."""

    name: str
    head: str | None
    metric: str
    points: tuple[_Point, ...]


def budget(found: Sequence[Measured]) -> Figure | None:
    """Draw the study of budgets of every head; None where there is none."""
    chosen = comparable(found, "budget")
    studies = first_seeds(chosen.shown)
    called = names([study.subject for study in studies])
    curves = [curve for name, study in zip(called, studies, strict=True) if (curve := _curve(name, study)) is not None]
    if not curves:
        return None
    with house_style():
        drawing = Drawing(figsize=(7.2, 3.0))
        panels = drawing.subplots(1, len(_AXES), sharey=True)
        for panel, (axis, label) in zip(panels, _AXES.items(), strict=True):
            for curve in curves:
                _draw(panel, curve, axis, is_alone=len(curves) == 1)
            panel.set_xlabel(label)
            panel.margins(x=0.14, y=0.16)
        # The budgets are powers of two, and the smallest is as good as none.
        panels[0].set_xscale("log", base=2)
        panels[0].xaxis.set_major_formatter(lambda cells, _: f"{cells:.0f}")
        panels[0].set_ylabel(METRICS[curves[0].metric])
        picture = svg(drawing, "budget", "Accuracy by budget. " + "; ".join(map(_spoken, curves)))
        printed = pdf(drawing)
    return Figure(
        name="budget",
        title="What does refining buy?",
        svg=picture,
        pdf=printed,
        caption=(
            "One trained head with more and fewer refined cells than in training, on true boxes, all budgets on the "
            "same regions.",
            "Bars: 95 % intervals of each accuracy. Differences between budgets, with paired intervals, are in the "
            "table: they are far narrower than the bars.",
            *chosen.sentences(),
        ),
    )


def _curve(name: str, study: Measured) -> _Curve | None:
    axes = {axis: study.numbers(axis, "budget") for axis in _AXES}
    for metric in ("apb_star", "apb"):
        points = [
            _Point(budget=str(each), accuracy=accuracy, places={axis: known[each] for axis, known in axes.items()})
            for each, accuracy in study.numbers(metric, "budget").items()
            if all(each in known for known in axes.values())
        ]
        if points:
            points.sort(key=lambda point: point.places["cells"])
            return _Curve(name=name, head=study.subject.head, metric=metric, points=tuple(points))
    return None


def _draw(panel: Axes, curve: _Curve, axis: str, *, is_alone: bool) -> None:
    # A logarithmic axis has no place for no cells.
    places = [max(1.0, point.places[axis]) if axis == "cells" else point.places[axis] for point in curve.points]
    accuracies = [point.accuracy for point in curve.points]
    bounds = [accuracy.interval or (accuracy, accuracy) for accuracy in accuracies]
    errors = [
        [max(0.0, accuracy - low) for accuracy, (low, _) in zip(accuracies, bounds, strict=True)],
        [max(0.0, high - accuracy) for accuracy, (_, high) in zip(accuracies, bounds, strict=True)],
    ]
    shade = colour(curve.head)
    panel.errorbar(places, accuracies, yerr=errors, color=shade, fmt="o-", capsize=2, elinewidth=0.8, markersize=5)
    for number, (point, x, (low, high)) in enumerate(zip(curve.points, places, bounds, strict=True)):
        bold = point.budget == _TRAINED
        if is_alone or bold:
            below = number % 2 == 1  # in turn, because budgets can be near each other
            text = _SHORT.get(point.budget, point.budget)
            label_bar(panel, text, x, low if below else high, below=below, bold=bold)
    if not is_alone:
        panel.annotate(curve.name, (places[-1], accuracies[-1]), xytext=(5, 4), textcoords="offset points", fontsize=8)


def _spoken(curve: _Curve) -> str:
    return f"{curve.name}: " + ", ".join(f"{point.budget} {point.accuracy:.1f}" for point in curve.points)
