"""Accuracy against cost: what a head reaches, by the parameters, multiply-adds and rate of the whole model."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from bench.names import METRICS
from bench.record import Subject
from reports.cells import Number
from reports.figures.places import Labelled, label_points
from reports.figures.style import INK, Figure, colour, house_style, marker, pdf, svg
from reports.select.comparable import comparable
from reports.select.field import Field, measured_of
from reports.select.front import front
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import BOXES, any_seed, first_seeds, of_models

_PANEL = (2.4, 2.2)
"""About the size of a panel, in inches."""

_ROOM = 5
"""So many models have their names beside their points; of more, a legend has them."""

_COSTS = {
    "params": Field(heading="million parameters", name="params_total", scale=1e6),
    "flops": Field(heading="GMACs of an image (paper: GFLOPs)", name="macs", scale=1e9),
    "speed": Field(heading="images per second (FPS)", name="fps_paper", best="highest"),
}
"""Kinds of cost by their probe: the value, and what to write at its axis."""

_OUTLINES = tuple(Field(heading=METRICS[name], name=name) for name in ("apb_star", "apb"))
"""The accuracies that can be shown: the first that was measured is."""


def cost(found: Sequence[Measured]) -> Figure | None:
    """Draw APB* with its interval against all costs, a row of panels for either kind of boxes; None without any.

    A model has the point of its first seed. It needs an accuracy and a cost, and must have been measured by as many
    costs as any other: variants of which only the parameters are known would crowd the panel of these.
    """
    trained = [each for each in of_models(found) if each.subject.weights != "random"]
    costs = {probe: comparable(trained, probe) for probe in _COSTS}
    accuracies = {probe: comparable(trained, probe) for probe in BOXES}
    places = {probe: _numbers(of.shown, _COSTS[probe]) for probe, of in costs.items()}
    num_costs = Counter(
        model for of in costs.values() for model in {any_seed(each.subject) for each in (*of.shown, *of.left_out)}
    )
    outlines = {probe: (measured_of(_OUTLINES, of.shown) or _OUTLINES)[0] for probe, of in accuracies.items()}
    rows = {probe: _numbers(of.shown, outlines[probe]) for probe, of in accuracies.items()}
    known = {model for of in places.values() for model in of}
    most = max((num_costs[model] for of in rows.values() for model in of if model in known), default=0)
    rows = {
        probe: {model: number for model, number in of.items() if model in known and num_costs[model] == most}
        for probe, of in rows.items()
    }
    rows = {probe: of for probe, of in rows.items() if of}
    models = list(dict.fromkeys(model for of in rows.values() for model in of))
    shown = [probe for probe, of in places.items() if not of.keys().isdisjoint(models)]
    if not shown:
        return None
    called = dict(zip(models, names(models), strict=True))
    with house_style():
        height = (_PANEL[1] + 0.3) * len(rows) + 0.3 + 0.6 * (len(models) > _ROOM)
        drawing = Drawing(figsize=(0.5 + (_PANEL[0] + 0.15) * len(shown), height))
        grid = drawing.subplots(len(rows), len(shown), squeeze=False, sharex="col", sharey="row")
        points = []
        for panels, (boxes, of_row) in zip(grid, rows.items(), strict=True):
            for panel, probe in zip(panels, shown, strict=True):
                is_rate = _COSTS[probe].best == "highest"
                points.append((panel, _draw(panel, of_row, places[probe], called, is_rate=is_rate)))
            panels[0].set_ylabel(f"{outlines[boxes].heading}, {BOXES[boxes]}")
        for panel, probe in zip(grid[-1], shown, strict=True):
            panel.set_xlabel(_COSTS[probe].heading)
        if len(models) > _ROOM:
            _legend(drawing, called)
        else:
            for panel, of_panel in points:
                label_points(panel, of_panel, _PANEL)
        spoken = "; ".join(f"{BOXES[probe]}: {_spoken(of_row, called)}" for probe, of_row in rows.items())
        picture = svg(drawing, "cost", f"Accuracy against cost. {spoken}")
        printed = pdf(drawing)
    newest = costs["speed"].newest
    left_out = dict.fromkeys(each for of in (*accuracies.values(), *costs.values()) for each in of.sentences())
    return Figure(
        name="cost",
        title="Accuracy against cost",
        svg=picture,
        pdf=printed,
        caption=(
            "Up is better; so is left for parameters and multiply-adds, and right for the rate. Bars: 95 % intervals "
            "from resampled images; they speak of the choice of images, not of the training seed.",
            "Dotted: the Pareto front, what no other head beats in both accuracy and cost.",
            "Costs are those of the whole model on detected boxes. Models of which fewer are known are in the tables.",
            *([] if newest is None else [f"Rates: {newest.machine}."]),
            *left_out,
        ),
    )


def _numbers(found: Iterable[Measured], field: Field) -> dict[Subject, Number]:
    """The value of the first seed of every model."""
    return {any_seed(each.subject): number for each in first_seeds(found) if (number := field.number(each)) is not None}


def _draw(
    panel: Axes,
    accuracies: Mapping[Subject, Number],
    costs: Mapping[Subject, Number],
    called: Mapping[Subject, str],
    *,
    is_rate: bool,
) -> list[Labelled]:
    """Draw points, bars and Pareto front; what is to be labelled, once the panels of a row have the same limits."""
    places = {model: (costs[model], y) for model, y in accuracies.items() if model in costs}
    best = front([*places.values()], is_rate=is_rate)
    panel.plot(*zip(*best, strict=True), linestyle=":", color=INK, linewidth=1, zorder=1)
    points = []
    for model, (x, y) in places.items():
        low, high = accuracies[model].interval or (y, y)
        panel.errorbar(
            x,
            y,
            yerr=[[max(0.0, y - low)], [max(0.0, high - y)]],
            fmt=marker(model.head),
            color=colour(model.head),
            capsize=3,
            elinewidth=1,
        )
        points.append(Labelled(text=called[model], x=x, y=y, low=low, high=high))
    panel.margins(x=0.3, y=0.2)
    return points


def _legend(drawing: Drawing, called: Mapping[Subject, str]) -> None:
    """Say which marker is whose, below all panels."""
    handles = [
        Line2D([], [], linestyle="", marker=marker(model.head), color=colour(model.head), label=name)
        for model, name in called.items()
    ]
    drawing.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8, handletextpad=0.2)


def _spoken(accuracies: Mapping[Subject, Number], called: Mapping[Subject, str]) -> str:
    return ", ".join(f"{called[model]} {number:.1f}" for model, number in accuracies.items())
