"""Where sparse methods stop being cheaper than Dense: time and bytes beside Dense's, by active fraction and stage."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from bench.names import STAGES
from reports.cells import Number
from reports.figures.style import INK, Figure, colour_of, house_style, line_of, pdf, svg
from reports.select.backends import of_backends, over_dense
from reports.select.measured import Measured

_COSTS = {"time": "time / Dense's", "bytes": "bytes / Dense's"}


def break_even(found: Sequence[Measured]) -> Figure | None:
    """Draw the sweep over the active fraction of every backend and kernel; None where none was measured."""
    chosen = of_backends(found, "break_even")
    backends = chosen.shown
    if not any(_points(each, stage, "time") for each in backends for stage in STAGES):
        return None
    with house_style():
        drawing = Drawing(figsize=(7.6, 4.8))
        grid = drawing.subplots(len(_COSTS), len(STAGES), squeeze=False, sharex=True, sharey="row")
        for panels, (cost, label) in zip(grid, _COSTS.items(), strict=True):
            for panel, stage in zip(panels, STAGES, strict=True):
                _draw(panel, backends, stage, cost)
            panels[0].set_ylabel(label)
        for panel, stage in zip(grid[0], STAGES, strict=True):
            panel.set_title(f"Stage {stage}")
        for panel in grid[-1]:
            panel.set_xlabel("active cells, %")
        drawing.legend(handles=_legend(backends), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
        description = f"Time and bytes beside Dense by active fraction. {'; '.join(_spoken(backends))}"
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
            f"Medians on {backends[0].machine}; bands: quartiles.",
            *chosen.sentences(),
        ),
    )


def _points(measured: Measured, stage: int, cost: str) -> list[tuple[float, float, float, float]]:
    """Active fraction in percent, ratio to Dense, and the quartiles of that, ascending."""
    points = []
    for place in measured.numbers("ratio", "place", stage=stage, sweep="fraction"):
        found = over_dense(measured, cost, stage=stage, sweep="fraction", place=place)
        if found is not None:
            points.append((float(place), float(found), *(found.interval or (found, found))))
    return sorted(points)


def _draw(panel: Axes, backends: Sequence[Measured], stage: int, cost: str) -> None:
    panel.axhline(1, color=INK, linewidth=0.8)
    stored: set[str | None] = set()
    for measured in backends:
        points = _points(measured, stage, cost)
        # Kernels of one backend store the same.
        if not points or (cost == "bytes" and measured.subject.backend in stored):
            continue
        stored.add(measured.subject.backend)
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
    place = _crossing(measured, stage)
    if place is not None:
        panel.plot([place], [1], "o", color=shade, markersize=5, markeredgecolor=INK, markeredgewidth=0.6)
        panel.plot(place.interval or (place, place), [1, 1], "-", color=shade, linewidth=3, alpha=0.6)


def _crossing(measured: Measured, stage: int) -> Number | None:
    return measured.number("crossing", stage=stage, sweep="fraction", cost="time")


def _legend(backends: Sequence[Measured]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour_of(each), linestyle=line_of(each, backends), linewidth=1.3, label=each.backend)
        for each in backends
    ]


def _spoken(backends: Sequence[Measured]) -> Iterator[str]:
    for measured in backends:
        for stage in STAGES:
            place = _crossing(measured, stage)
            told = "no crossing" if place is None else f"crosses at {place:.3g} %"
            yield f"{measured.backend}, stage {stage}: {told}"
