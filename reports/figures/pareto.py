"""Which head is worth its cost: APB* against multiply-adds and time of the head, with the Pareto front.

At equal regions the heads alone are compared; at their own, what a detector leaves to each of them counts too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullLocator

from bench.names import METRICS
from bench.record import Subject
from reports.cells import mean
from reports.figures.places import Labelled, label_points
from reports.figures.style import INK, Figure, colour, house_style, marker, pdf, svg
from reports.select.comparable import Comparable, comparable
from reports.select.field import Field
from reports.select.front import front
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import (
    AGNOSTIC,
    BOXES,
    any_seed,
    by_seed,
    first_seeds,
    in_order,
    numbers,
    of_models,
    seeds_in_words,
)

_PANEL = (3.3, 2.7)
"""About the size of a panel, in inches."""

_PALE = 0.45
_OUTLINES = ("apb_star", "apb")

_EQUAL = (
    Field(heading="GMACs", probe="region_cost", name="macs_head", scale=1e9),
    Field(heading="ms", probe="region_cost", name="latency_ms_median", at={"phase": "head"}),
)
_OWN = (
    Field(heading="GMACs", probe="flops", name="macs_head", scale=1e9),
    Field(heading="ms", probe="speed", name="latency_ms_median", at={"phase": "head"}),
)


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """Accuracy against cost on one kind of boxes, by model."""

    costs: Mapping[Subject, float]
    accuracies: Mapping[Subject, float]

    @property
    def places(self) -> dict[Subject, tuple[float, float]]:
        """Where the models are that have both."""
        return {of: (self.costs[of], accuracy) for of, accuracy in self.accuracies.items() if of in self.costs}


def at_equal_regions(found: Sequence[Measured]) -> Figure | None:
    """Draw the heads at the highest number of regions that all were given; None for fewer than two heads."""
    chosen = comparable(_heads(found), "region_cost")
    known = [int(number) for each in chosen.shown for number in each.axes("regions")]
    if not known:
        return None
    regions = max(known)
    fields = [replace(each, at={**each.at, "regions": regions}) for each in _EQUAL]
    return _figure(
        found,
        fields,
        name="pareto-equal",
        title=f"Which head is worth its cost, at {regions} regions?",
        at=f"at {regions} regions",
        reading=(
            f"Costs of the head alone, which gets the same {regions} random regions as every other. Fewer regions are "
            "in the table of costs.",
        ),
    )


def at_own_regions(found: Sequence[Measured]) -> Figure | None:
    """Draw the heads at the regions that the detector leaves to each; None for fewer than two heads."""
    chosen = comparable(_heads(found), "flops")
    return _figure(
        found,
        _OWN,
        name="pareto-own",
        title="Which head is worth its cost, at its own regions?",
        at="at its own regions",
        reading=(
            "Costs of the head alone on the regions that the detector leaves to it; a head with masks per class has "
            f"one for each prediction.{_regions(chosen)}",
        ),
    )


def _regions(found: Comparable) -> str:
    """A sentence about the mean number of regions, the one that most heads have first; empty where none is known."""
    heads: dict[str, list[str]] = {}
    for each in first_seeds(found.shown):
        number = each.number("regions")
        if number is not None:
            heads.setdefault(f"{number:.0f}", []).append(each.head)
    if not heads:
        return ""
    (most, _), *others = sorted(heads.items(), key=lambda of: -len(of[1]))
    told = "; ".join(f"{number}: {', '.join(names)}" for number, names in others)
    return f" These are {most} on average{f', but {told}' if told else ''}."


def _heads(found: Sequence[Measured]) -> list[Measured]:
    """What was measured of trained heads that differ in nothing else: of those whose accuracy was measured last."""
    known = [
        each
        for each in of_models(found)
        if each.subject.weights != "random" and each.subject.module in (None, "sfm") and each.subject.preset != AGNOSTIC
    ]
    setting = next((_setting(each.subject) for each in reversed(known) if each.probe in BOXES), None)
    return [each for each in known if _setting(each.subject) == setting]


def _setting(subject: Subject) -> tuple[str | None, ...]:
    return subject.backbone, subject.detector, subject.preset, subject.schedule


def _figure(
    found: Sequence[Measured],
    fields: Sequence[Field],
    *,
    name: str,
    title: str,
    at: str,
    reading: Sequence[str],
) -> Figure | None:
    trained = _heads(found)
    accuracies = {probe: comparable(trained, probe) for probe in BOXES}
    costs = [comparable(trained, str(field.probe)) for field in fields]
    metric = _metric(accuracies)
    of_costs = [_first(of, field) for of, field in zip(costs, fields, strict=True)]
    of_boxes = {probe: _means(of, metric) for probe, of in accuracies.items()}
    grid = {probe: [_Panel(costs=of, accuracies=means) for of in of_costs] for probe, means in of_boxes.items()}
    columns = [place for place in range(len(fields)) if any(len(of[place].places) > 1 for of in grid.values())]
    grid = {
        probe: [of[place] for place in columns]
        for probe, of in grid.items()
        if any(len(of[place].places) > 1 for place in columns)
    }
    if not grid:
        return None
    models = list(dict.fromkeys(model for of in grid.values() for panel in of for model in panel.places))
    called = dict(zip(models, names(models), strict=True))
    with house_style():
        width, height = (_PANEL[0] + 0.15) * len(columns) + 0.4, (_PANEL[1] + 0.2) * len(grid) + 0.3
        drawing = Drawing(figsize=(width, height))
        axes = drawing.subplots(len(grid), len(columns), squeeze=False, sharex="col", sharey="row")
        for row, (probe, panels) in zip(axes, grid.items(), strict=True):
            row[0].set_ylabel(f"{METRICS[metric]}, {BOXES[probe]}")
            for panel, drawn in zip(row, panels, strict=True):
                _points(panel, drawn)
        for panel, place in zip(axes[-1], columns, strict=True):
            panel.set_xlabel(f"{fields[place].heading} of the head {at}")
        # Once all panels of a row and column have their limits.
        for row, panels in zip(axes, grid.values(), strict=True):
            for panel, drawn in zip(row, panels, strict=True):
                _front_and_labels(panel, drawn, called)
        spoken = "; ".join(
            f"{METRICS[metric]} on {BOXES[probe]} by {fields[place].heading}, on the front: "
            f"{', '.join(called[model] for model in _undominated(panel))}"
            for probe, panels in grid.items()
            for place, panel in zip(columns, panels, strict=True)
        )
        picture = svg(drawing, name, f"Accuracy against cost, {at}. {spoken}")
        printed = pdf(drawing)
    timed = [of.newest.machine for of in costs if of.newest is not None and of.newest.has("latency_ms_median")]
    left_out = dict.fromkeys(each for of in (*accuracies.values(), *costs) for each in of.sentences())
    return Figure(
        name=name,
        title=title,
        svg=picture,
        pdf=printed,
        caption=(
            "Up and left is better; costs are on a logarithmic scale. Line: the Pareto front. Pale: another head is at "
            "least as accurate and as cheap. Whether heads of near heights differ, the paired differences say.",
            *reading,
            *(
                f"On {BOXES[probe]}: {sentence[0].lower()}{sentence[1:]}"
                for probe, of in accuracies.items()
                for sentence in seeds_in_words(by_seed(in_order(of.shown)).values())
            ),
            *(f"Times: {machine}." for machine in dict.fromkeys(timed)),
            *left_out,
        ),
    )


def _metric(accuracies: Mapping[str, Comparable]) -> str:
    shown = [each for of in accuracies.values() for each in of.shown]
    return next((name for name in _OUTLINES if any(each.has(name) for each in shown)), _OUTLINES[0])


def _first(found: Comparable, field: Field) -> dict[Subject, float]:
    """The cost of the first seed of every model: other seeds cost the same."""
    return {
        any_seed(each.subject): cost for each in first_seeds(found.shown) if (cost := field.number(each)) is not None
    }


def _means(found: Comparable, metric: str) -> dict[Subject, float]:
    """The mean over the seeds of every model."""
    means = {model: mean(numbers(seeds, metric)) for model, seeds in by_seed(in_order(found.shown)).items()}
    return {model: value for model, value in means.items() if value is not None}


def _undominated(panel: _Panel) -> list[Subject]:
    """The models on the front, the cheapest first."""
    on_front = set(front([*panel.places.values()]))
    return sorted((model for model, place in panel.places.items() if place in on_front), key=panel.places.__getitem__)


def _points(axes: Axes, panel: _Panel) -> None:
    best = _undominated(panel)
    for model, (x, y) in panel.places.items():
        axes.plot(
            x,
            y,
            linestyle="",
            marker=marker(model.head),
            color=colour(model.head),
            markersize=7,
            alpha=1.0 if model in best else _PALE,
        )
    axes.set_xscale("log")
    axes.margins(x=0.22, y=0.16)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda cost, _: f"{cost:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _front_and_labels(axes: Axes, panel: _Panel, called: Mapping[Subject, str]) -> None:
    """The front as steps, from its cheapest point to the right, then the labels, which keep off it."""
    (_, right), limits = axes.get_xlim(), axes.get_ylim()
    points = front([*panel.places.values()])
    steps = points[:1]
    for x, y in points[1:]:
        steps += [(x, steps[-1][1]), (x, y)]
    steps.append((right, steps[-1][1]))
    axes.plot(*zip(*steps, strict=True), color=INK, linewidth=0.8, alpha=0.6, zorder=1)
    axes.set(xlim=(axes.get_xlim()[0], right), ylim=limits)
    best = _undominated(panel)
    label_points(
        axes,
        [
            Labelled(text=called[model], x=x, y=y, low=y, high=y, faint=model not in best)
            for model, (x, y) in panel.places.items()
        ],
        _PANEL,
        steps,
    )
