"""The oracle ladder: what true masks reach through a grid of each resolution, and how far the heads are from it."""

import re
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.record import Record
from bench.store import Entry
from reports.figures.style import INK, Figure, colour, house_style, label_bar, pdf, svg
from reports.figures.subjects import names, newest_of_each

_METRICS = {"ap": "AP", "apb": "APB", "ap_star": "AP*", "apb_star": "APB*"}
_KINDS = {"soft": "-", "binary": "--"}
_HEADS = "accuracy_true_boxes"


def ladder(entries: Sequence[Entry]) -> Figure | None:
    """Draw the newest records of the probe `ceiling`, a panel for each accuracy; None without any.

    Heads on true boxes are lines beside it where they were measured on the same data.
    """
    rungs = [entry.record for entry in newest_of_each(entries, "ceiling")]
    metrics = [name for name in _METRICS if any(name in record.values for record in rungs)]
    if not metrics:
        return None
    heads = [entry for entry in newest_of_each(entries, _HEADS) if _data(entry.record) == _data(rungs[0])]
    with house_style():
        drawing = Drawing(figsize=(0.8 + 2.7 * len(metrics), 3.0))
        for panel, metric in zip(drawing.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            for kind in _KINDS:
                _draw(panel, _curve(rungs, kind, metric), kind, metric)
            called = names([entry.record.subject for entry in heads])
            for entry, name in zip(heads, called, strict=True):
                _draw_head(panel, entry.record, name, metric)
            panel.set_title(_METRICS[metric])
            panel.set_xlabel("cells on a side of the grid")
        spoken = "; ".join(
            f"{_METRICS[metric]}, {kind}: "
            + ", ".join(f"{side} {record.values[metric]:.1f}" for side, record in _curve(rungs, kind, metric).items())
            for metric in metrics
            for kind in _KINDS
        )
        picture = svg(drawing, "ladder", f"Accuracy of true masks by resolution. {spoken}")
        printed = pdf(drawing)
    return Figure(
        name="ladder",
        title="What could a perfect head reach?",
        svg=picture,
        pdf=printed,
        caption=(
            "True masks through a grid on each object's box, pasted back. Solid: each cell holds the share of it that "
            "the object covers; dashed: whether that is more than half. Bars: 95 % intervals from resampled images.",
            *(["Level lines: heads on the boxes and classes of the true objects."] if heads else []),
        ),
    )


def _data(record: Record) -> tuple[object, ...]:
    return tuple(record.protocol.get(name) for name in ("images", "annotations", "lvis"))


def _curve(rungs: Sequence[Record], kind: str, metric: str) -> dict[int, Record]:
    """Records by side of the grid, ascending."""
    found = {}
    for record in rungs:
        match = re.fullmatch(rf"grid(\d+)_{kind}", record.subject.head or "")
        if match is not None and metric in record.values:
            found[int(match[1])] = record
    return dict(sorted(found.items()))


def _draw(panel: Axes, curve: Mapping[int, Record], kind: str, metric: str) -> None:
    if not curve:
        return
    sides = list(curve)
    values = [float(record.values[metric]) for record in curve.values()]
    bounds = [
        record.intervals.get(metric, (value, value)) for record, value in zip(curve.values(), values, strict=True)
    ]
    errors = [
        [max(0.0, value - low) for value, (low, _) in zip(values, bounds, strict=True)],
        [max(0.0, high - value) for value, (_, high) in zip(values, bounds, strict=True)],
    ]
    panel.errorbar(sides, values, yerr=errors, color=INK, fmt="o", linestyle=_KINDS[kind], capsize=2, markersize=4)
    panel.set_xscale("log", base=2)
    panel.set_xticks(sides, [str(side) for side in sides])
    panel.minorticks_off()
    low, high = bounds[0]
    is_lower = kind == "binary"
    label_bar(panel, kind, sides[0], low if is_lower else high, below=is_lower)
    panel.margins(x=0.1, y=0.15)


def _draw_head(panel: Axes, record: Record, name: str, metric: str) -> None:
    if metric in record.values:
        value = record.values[metric]
        panel.axhline(value, color=colour(record.subject.head), linewidth=1.2)
        panel.annotate(
            name, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8, color=INK
        )
