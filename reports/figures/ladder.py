"""The oracle ladder: what true masks reach through a grid of each resolution, and how far the heads are from it."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.names import METRICS
from reports.cells import Number
from reports.figures.style import INK, Figure, colour, house_style, label_bar, pdf, svg
from reports.select.comparable import Comparable, comparable
from reports.select.ladder import by_grid, data, rungs
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import first_seeds, of_models

_METRICS = ("ap", "apb", "ap_star", "apb_star")
_KINDS = {"soft": "-", "binary": "--"}


def ladder(found: Sequence[Measured]) -> Figure | None:
    """Draw the grids of the probe `ceiling`, a panel for each accuracy; None without any.

    Heads on true boxes are lines beside it where they were measured on the same data.
    """
    grids, trained = rungs(found), comparable(of_models(found), "accuracy_true_boxes")
    metrics = [metric for metric in _METRICS if any(each.has(metric) for each in grids.shown)]
    if grids.newest is None or not metrics:
        return None
    is_on_same_data = trained.newest is not None and data(trained.newest) == data(grids.newest)
    heads = first_seeds(trained.shown) if is_on_same_data else []
    called = dict(zip(heads, names([each.subject for each in heads]), strict=True))
    curves = {(metric, kind): _curve(grids, kind, metric) for metric in metrics for kind in _KINDS}
    with house_style():
        drawing = Drawing(figsize=(0.8 + 2.7 * len(metrics), 3.0))
        for panel, metric in zip(drawing.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            for kind in _KINDS:
                _draw(panel, curves[metric, kind], kind)
            for each, name in called.items():
                _draw_head(panel, each, name, metric)
            panel.set_title(METRICS[metric])
            panel.set_xlabel("cells on a side of the grid")
        spoken = "; ".join(
            f"{METRICS[metric]}, {kind}: " + ", ".join(f"{side} {number:.1f}" for side, number in curve.items())
            for (metric, kind), curve in curves.items()
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
            *grids.sentences(),
            *(trained.sentences() if heads else []),
        ),
    )


def _curve(grids: Comparable, kind: str, metric: str) -> dict[int, Number]:
    """An accuracy by the side of the grid, ascending."""
    return {
        side: number
        for (side, of_kind), each in by_grid(grids).items()
        if of_kind == kind and (number := each.number(metric)) is not None
    }


def _draw(panel: Axes, curve: Mapping[int, Number], kind: str) -> None:
    if not curve:
        return
    sides, values = list(curve), list(curve.values())
    bounds = [value.interval or (value, value) for value in values]
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


def _draw_head(panel: Axes, head: Measured, name: str, metric: str) -> None:
    value = head.number(metric)
    if value is not None:
        panel.axhline(value, color=colour(head.subject.head), linewidth=1.2)
        panel.annotate(
            name, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8, color=INK
        )
