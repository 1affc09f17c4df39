"""Where sparse methods stop being cheaper than Dense: time and bytes beside Dense's, by active fraction and stage."""

import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from bench.store import Entry
from reports.figures.style import INK, Figure, colour_of, house_style, line_of, pdf, svg
from reports.select.backends import Comparison, Measured, compare
from reports.select.frame import frame_of_entries

_STAGES = (1, 2, 3)
_COSTS = {"time": "time / Dense's", "bytes": "bytes / Dense's"}


def break_even(entries: Sequence[Entry]) -> Figure | None:
    """Draw the sweep over the active fraction of every backend and kernel; None where none was measured."""
    found = compare(
        frame_of_entries(entry for entry in entries if entry.record.probe == "break_even"),
        "break_even",
        same_machine=True,
    )
    if found is None or not any(_points(each, stage, "time") for each in found.backends for stage in _STAGES):
        return None
    with house_style():
        drawing = Drawing(figsize=(7.6, 4.8))
        grid = drawing.subplots(len(_COSTS), len(_STAGES), squeeze=False, sharex=True, sharey="row")
        for panels, (cost, label) in zip(grid, _COSTS.items(), strict=True):
            for panel, stage in zip(panels, _STAGES, strict=True):
                _draw(panel, found.backends, stage, cost)
            panels[0].set_ylabel(label)
        for panel, stage in zip(grid[0], _STAGES, strict=True):
            panel.set_title(f"Stage {stage}")
        for panel in grid[-1]:
            panel.set_xlabel("active cells, %")
        drawing.legend(handles=_legend(found.backends), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
        description = f"Time and bytes beside Dense by active fraction. {'; '.join(_spoken(found))}"
        picture = svg(drawing, "break-even", description)
        printed = pdf(drawing)
    return Figure(
        name="break-even",
        title="How sparse must it be to pay off?",
        svg=picture,
        pdf=printed,
        caption=(
            "Below 1, a method is cheaper than Dense. Circles: where its time crosses Dense's, a line for the 95 % "
            "interval. Each method does the hardest operation that it can.",
            f"Medians on {found.machine}; bands: quartiles.",
        ),
    )


def _points(measured: Measured, stage: int, cost: str) -> list[tuple[float, float, float, float]]:
    """Active fraction in percent, ratio to Dense, and the quartiles of that, ascending."""
    points = []
    for name in measured.values:
        match = re.fullmatch(rf"stage{stage}_fraction(\d+)_ratio", name)
        if match is None:
            continue
        start = f"stage{stage}_fraction{match[1]}"
        if cost == "time":
            ratio: float | None = measured.values[name]
            low, high = measured.intervals.get(name, (ratio, ratio))
        else:
            ratio = measured.ratio(f"{start}_bytes", f"{start}_dense_bytes")
            low = high = ratio
        if ratio is not None and low is not None and high is not None:
            points.append((float(match[1]), ratio, low, high))
    return sorted(points)


def _draw(panel: Axes, backends: Sequence[Measured], stage: int, cost: str) -> None:
    panel.axhline(1, color=INK, linewidth=0.8)
    stored: set[str] = set()
    for measured in backends:
        points = _points(measured, stage, cost)
        # Kernels of one backend store the same.
        if not points or (cost == "bytes" and measured.backend in stored):
            continue
        stored.add(measured.backend)
        places, ratios, lows, highs = zip(*points, strict=True)
        shade, line = colour_of(measured), line_of(measured, backends)
        panel.plot(places, ratios, linestyle=line, color=shade, linewidth=1.3)
        if cost == "time":
            panel.fill_between(places, lows, highs, color=shade, alpha=0.15, linewidth=0)
            _draw_crossing(panel, measured, stage, shade)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks([1, 10, 100], ["1", "10", "100"])
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    panel.yaxis.set_minor_formatter(NullFormatter())


def _draw_crossing(panel: Axes, measured: Measured, stage: int, shade: str) -> None:
    name = f"stage{stage}_fraction_time_crossing"
    if name in measured.values:
        place = measured.values[name]
        panel.plot([place], [1], "o", color=shade, markersize=5, markeredgecolor=INK, markeredgewidth=0.6)
        panel.plot(measured.intervals.get(name, (place, place)), [1, 1], "-", color=shade, linewidth=3, alpha=0.6)


def _legend(backends: Sequence[Measured]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour_of(each), linestyle=line_of(each, backends), linewidth=1.3, label=each.label)
        for each in backends
    ]


def _spoken(found: Comparison) -> list[str]:
    told = []
    for measured in found.backends:
        for stage in _STAGES:
            crossing = measured.values.get(f"stage{stage}_fraction_time_crossing")
            told.append(
                f"{measured.label}, stage {stage}: "
                + ("no crossing" if crossing is None else f"crosses at {crossing:.3g} %")
            )
    return told
