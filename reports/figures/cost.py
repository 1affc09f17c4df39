"""Accuracy against cost: what a head reaches, by the parameters, multiply-adds and rate of the whole model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.record import Record, Subject
from bench.store import Entry
from reports.figures.places import Labelled, label_points
from reports.figures.style import INK, Figure, colour, house_style, marker, pdf, svg
from reports.figures.subjects import names, newest_of_each

_BOXES = {"accuracy_true_boxes": "true boxes", "accuracy": "detected boxes"}


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """A kind of cost: the probe and the value that say it, and what to write at the axis; of a rate, more is better."""

    probe: str
    name: str
    per_unit: float
    label: str
    is_rate: bool = False


_PANEL = (2.4, 2.2)
"""About the size of a panel, in inches."""

_COSTS = (
    _Axis(probe="params", name="params_total", per_unit=1e6, label="million parameters"),
    _Axis(probe="flops", name="macs", per_unit=1e9, label="GMACs of an image (paper: GFLOPs)"),
    _Axis(probe="speed", name="fps_paper", per_unit=1, label="images per second (FPS)", is_rate=True),
)


def cost(entries: Sequence[Entry]) -> Figure | None:
    """Draw APB* with its interval against all costs, a row of panels for either kind of boxes; None without any.

    A subject needs an accuracy and a cost to have a point, and as many costs as any other: variants of which only the
    parameters are known would crowd the panel of these.
    """
    costs = {axis: _newest(entries, axis.probe) for axis in _COSTS}
    rows = {probe: _newest(entries, probe) for probe in _BOXES}
    rows = {
        probe: {
            of: record
            for of, record in found.items()
            if _metric(record) is not None and any(of in known for known in costs.values())
        }
        for probe, found in rows.items()
    }
    known_of = {of: sum(of in known for known in costs.values()) for found in rows.values() for of in found}
    most = max(known_of.values(), default=0)
    rows = {probe: {of: each for of, each in found.items() if known_of[of] == most} for probe, found in rows.items()}
    rows = {probe: found for probe, found in rows.items() if found}
    axes_shown = [axis for axis in _COSTS if any(of in costs[axis] for found in rows.values() for of in found)]
    if not rows or not axes_shown:
        return None
    subjects = list(dict.fromkeys(of for found in rows.values() for of in found))
    called = dict(zip(subjects, names(subjects), strict=True))
    with house_style():
        drawing = Drawing(figsize=(0.5 + (_PANEL[0] + 0.15) * len(axes_shown), (_PANEL[1] + 0.3) * len(rows) + 0.3))
        grid = drawing.subplots(len(rows), len(axes_shown), squeeze=False, sharex="col", sharey="row")
        points = []
        for panels, (probe, found) in zip(grid, rows.items(), strict=True):
            for panel, axis in zip(panels, axes_shown, strict=True):
                points.append((panel, _draw(panel, found, costs[axis], axis, called)))
            panels[0].set_ylabel(f"{_label(found)}, {_BOXES[probe]}")
        for panel, axis in zip(grid[-1], axes_shown, strict=True):
            panel.set_xlabel(axis.label)
        for panel, of_panel in points:
            label_points(panel, of_panel, _PANEL)
        spoken = "; ".join(f"{_BOXES[probe]}: {_spoken(found, called)}" for probe, found in rows.items())
        picture = svg(drawing, "cost", f"Accuracy against cost. {spoken}")
        printed = pdf(drawing)
    machines = sorted({record.machine.name for record in costs[_COSTS[2]].values()})
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
            *([f"Rates: {', '.join(machines)}."] if machines else []),
        ),
    )


def _newest(entries: Sequence[Entry], probe: str) -> dict[Subject, Record]:
    return {entry.record.subject: entry.record for entry in newest_of_each(entries, probe)}


def _metric(record: Record) -> str | None:
    """APB* where it was measured, otherwise APB."""
    return next((name for name in ("apb_star", "apb") if name in record.values), None)


def _draw(
    panel: Axes,
    found: Mapping[Subject, Record],
    known: Mapping[Subject, Record],
    axis: _Axis,
    called: Mapping[Subject, str],
) -> list[Labelled]:
    """Draw points, bars and Pareto front; what is to be labelled, once the panels of a row have the same limits."""
    places = {of: known[of].values[axis.name] / axis.per_unit for of in found if of in known}
    front = _pareto([(x, _accuracy(found[of])) for of, x in places.items()], is_rate=axis.is_rate)
    panel.plot(*zip(*front, strict=True), linestyle=":", color=INK, linewidth=1, zorder=1)
    points = []
    for subject, x in places.items():
        record = found[subject]
        y = _accuracy(record)
        low, high = record.intervals.get(_metric(record) or "", (y, y))
        panel.errorbar(
            x,
            y,
            yerr=[[max(0.0, y - low)], [max(0.0, high - y)]],
            fmt=marker(subject.head),
            color=colour(subject.head),
            capsize=3,
            elinewidth=1,
        )
        points.append(Labelled(text=called[subject], x=x, y=y, low=low, high=high))
    panel.margins(x=0.3, y=0.2)
    return points


def _accuracy(record: Record) -> float:
    return float(record.values[_metric(record) or ""])


def _pareto(points: Sequence[tuple[float, float]], *, is_rate: bool) -> list[tuple[float, float]]:
    """The points (cost, accuracy) that no other one beats in both, by cost."""

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        is_cheaper = one[0] >= other[0] if is_rate else one[0] <= other[0]
        return is_cheaper and one[1] >= other[1] and one != other

    return sorted(point for point in points if not any(beats(other, point) for other in points))


def _label(found: Mapping[Subject, Record]) -> str:
    return "APB*" if any(_metric(record) == "apb_star" for record in found.values()) else "APB"


def _spoken(found: Mapping[Subject, Record], called: Mapping[Subject, str]) -> str:
    return ", ".join(f"{called[of]} {_accuracy(record):.1f}" for of, record in found.items())
