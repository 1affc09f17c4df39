"""Accuracy against cost: what a head reaches, by the multiply-adds and the time that model and head take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.record import Record, Subject
from bench.store import Entry
from reports.figures.style import Figure, colour, house_style, label_bar, marker, svg
from reports.figures.subjects import names, newest_of_each

_BOXES = {"accuracy_true_boxes": "true boxes", "accuracy": "detected boxes"}


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """A kind of cost: the probe and the value that say it, and what to write at the axis."""

    probe: str
    name: str
    per_unit: float
    label: str


_COSTS = (
    _Axis(probe="flops", name="macs", per_unit=1e9, label="GMACs (paper: GFLOPs) of an image"),
    _Axis(probe="speed", name="latency_ms_median", per_unit=1, label="ms of an image, median"),
)


def cost(entries: Sequence[Entry]) -> Figure | None:
    """Draw APB* with its interval against both costs, a row of panels for either kind of boxes; None without any.

    A subject needs an accuracy and a cost to have a point.
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
    rows = {probe: found for probe, found in rows.items() if found}
    axes_shown = [axis for axis in _COSTS if any(of in costs[axis] for found in rows.values() for of in found)]
    if not rows or not axes_shown:
        return None
    subjects = list(dict.fromkeys(of for found in rows.values() for of in found))
    called = dict(zip(subjects, names(subjects), strict=True))
    with house_style():
        drawing = Drawing(figsize=(3.6 * len(axes_shown), 2.7 * len(rows)))
        grid = drawing.subplots(len(rows), len(axes_shown), squeeze=False, sharex="col", sharey="row")
        for panels, (probe, found) in zip(grid, rows.items(), strict=True):
            for panel, axis in zip(panels, axes_shown, strict=True):
                _draw(panel, found, costs[axis], axis, called)
            panels[0].set_ylabel(f"{_label(found)}, {_BOXES[probe]}")
        for panel, axis in zip(grid[-1], axes_shown, strict=True):
            panel.set_xlabel(axis.label)
        spoken = "; ".join(f"{_BOXES[probe]}: {_spoken(found, called)}" for probe, found in rows.items())
        picture = svg(drawing, "cost", f"Accuracy against cost. {spoken}")
    machines = sorted({record.machine.name for record in costs[_COSTS[1]].values()})
    return Figure(
        name="cost",
        title="Accuracy against cost",
        svg=picture,
        caption=(
            "Up and to the left is better. Bars: 95 % intervals from resampled images; they speak of the choice of "
            "images, not of the training seed.",
            "Costs are those of the whole model on detected boxes.",
            *([f"Times: {', '.join(machines)}."] if machines else []),
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
) -> None:
    places = {of: known[of].values[axis.name] / axis.per_unit for of in found if of in known}
    for subject, x in places.items():
        record = found[subject]
        name = _metric(record)
        assert name is not None
        y = record.values[name]
        low, high = record.intervals.get(name, (y, y))
        panel.errorbar(
            x,
            y,
            yerr=[[max(0.0, y - low)], [max(0.0, high - y)]],
            fmt=marker(subject.head),
            color=colour(subject.head),
            capsize=3,
            elinewidth=1,
        )
        label_bar(panel, called[subject], x, high)
    panel.margins(x=0.25, y=0.2)


def _label(found: Mapping[Subject, Record]) -> str:
    return "APB*" if any(_metric(record) == "apb_star" for record in found.values()) else "APB"


def _spoken(found: Mapping[Subject, Record], called: Mapping[Subject, str]) -> str:
    return ", ".join(f"{called[of]} {record.values[_metric(record) or '']:.1f}" for of, record in found.items())
