"""What accuracy costs: APB* of one head with more and fewer refined cells, against cells and against time."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.record import Record
from bench.store import Entry
from reports.figures.style import Figure, colour, house_style, label_bar, pdf, svg
from reports.figures.subjects import names, newest_of_each

_AXES = {"cells": "refined cells of an image and stage", "latency_ms": "ms of the head for an image, median"}
_TRAINED = "trained"

_SHORT = {"eighth": "1/8", "quarter": "1/4", "half": "1/2", "double": "2 x", "fourfold": "4 x"}
"""Names of budgets as the table has them, for labels that are near each other."""


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """The budgets of one record by name, from the fewest cells to the most."""

    name: str
    head: str | None
    record: Record
    budgets: tuple[str, ...]
    metric: str


def budget(entries: Sequence[Entry]) -> Figure | None:
    """Draw every record of the probe `budget`; None where there is none."""
    found = newest_of_each(entries, "budget")
    called = names([entry.record.subject for entry in found])
    curves = [
        curve for name, entry in zip(called, found, strict=True) if (curve := _curve(name, entry.record)) is not None
    ]
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
        panels[0].set_ylabel("APB*" if curves[0].metric == "apb_star" else "APB")
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
        ),
    )


def _curve(name: str, record: Record) -> _Curve | None:
    values = record.values
    budgets = sorted(
        (key.removeprefix("cells_") for key in values if key.startswith("cells_")),
        key=lambda each: values[f"cells_{each}"],
    )
    for metric in ("apb_star", "apb"):
        known = tuple(each for each in budgets if f"{metric}_{each}" in values and f"latency_ms_{each}" in values)
        if known:
            return _Curve(name=name, head=record.subject.head, record=record, budgets=known, metric=metric)
    return None


def _draw(panel: Axes, curve: _Curve, axis: str, *, is_alone: bool) -> None:
    values = curve.record.values
    places = [
        max(1.0, float(values[f"{axis}_{each}"])) if axis == "cells" else values[f"{axis}_{each}"]
        for each in curve.budgets
    ]
    accuracies = [float(values[f"{curve.metric}_{each}"]) for each in curve.budgets]
    bounds = [
        curve.record.intervals.get(f"{curve.metric}_{each}", (accuracy, accuracy))
        for each, accuracy in zip(curve.budgets, accuracies, strict=True)
    ]
    errors = [
        [max(0.0, accuracy - low) for accuracy, (low, _) in zip(accuracies, bounds, strict=True)],
        [max(0.0, high - accuracy) for accuracy, (_, high) in zip(accuracies, bounds, strict=True)],
    ]
    shade = colour(curve.head)
    panel.errorbar(places, accuracies, yerr=errors, color=shade, fmt="o-", capsize=2, elinewidth=0.8, markersize=5)
    for number, (each, x, (low, high)) in enumerate(zip(curve.budgets, places, bounds, strict=True)):
        if is_alone or each == _TRAINED:
            below = number % 2 == 1  # in turn, because budgets can be near each other
            label_bar(panel, _SHORT.get(each, each), x, low if below else high, below=below, bold=each == _TRAINED)
    if not is_alone:
        panel.annotate(curve.name, (places[-1], accuracies[-1]), xytext=(5, 4), textcoords="offset points", fontsize=8)


def _spoken(curve: _Curve) -> str:
    values = curve.record.values
    return f"{curve.name}: " + ", ".join(f"{each} {values[f'{curve.metric}_{each}']:.1f}" for each in curve.budgets)
