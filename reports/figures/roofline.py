"""How near the kernels of SPS come to what the machine can do: a roofline (Williams et al. 2009), a point per stage."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullFormatter

from bench.names import STAGES
from reports.figures.style import FAINT, INK, Figure, house_style, pdf, svg
from reports.select.backends import of_kernels
from reports.select.measured import Measured

_CLOCKS = {"thread": "one thread", "wall": "all threads"}
_PANEL_INCHES = (3.8, 2.7)

# Of Okabe and Ito's colours for all kinds of colour vision, and markers for where colours do not tell.
_LOOKS = {
    "native": ("#009E73", "o"),
    "triton": ("#CC79A7", "D"),
    "blocked": ("#0072B2", "s"),
    "reference": ("#D55E00", "^"),
}
_OTHER_LOOK = ("#7F7F7F", "X")


@dataclass(frozen=True, kw_only=True)
class _Point:
    """A kernel in a stage: FLOP per byte, and GFLOP/s with their quartiles."""

    stage: int
    intensity: float
    rate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """Measurements in one precision on one device by one clock; the roof is the best that any record found."""

    title: str
    peak: float
    bandwidth: float
    kernels: tuple[tuple[str, tuple[_Point, ...]], ...]

    def roof(self, intensity: float) -> float:
        """The most GFLOP/s that can be had at so many FLOP per byte."""
        return min(self.peak, self.bandwidth * intensity)

    @property
    def ridge(self) -> float:
        """FLOP per byte from which on memory is fast enough."""
        return self.peak / self.bandwidth


def roofline(found: Sequence[Measured]) -> Figure | None:
    """Draw a panel for every precision, device and clock; None without a record that holds the limits of its machine.

    Of the passes, forward ones at the operating point.
    """
    chosen = sorted(of_kernels(found), key=lambda each: _setting(each.shown))
    drawn = [(each, row) for each in chosen if (row := list(_panels(each.shown)))]
    if not drawn:
        return None
    rows = [row for _, row in drawn]
    panels = [panel for row in rows for panel in row]
    num_columns = max(map(len, rows))
    with house_style():
        drawing = Drawing(figsize=(_PANEL_INCHES[0] * num_columns, _PANEL_INCHES[1] * len(rows)))
        grid = drawing.subplots(len(rows), num_columns, squeeze=False, sharex=True)
        for axes_of_row, row in zip(grid, rows, strict=True):
            for axes, panel in zip(axes_of_row, row, strict=False):
                _draw(axes, panel)
            for axes in axes_of_row[len(row) :]:
                axes.set_axis_off()
            axes_of_row[0].set_ylabel("GFLOP/s")
        for axes in grid[-1]:
            axes.set_xlabel("FLOP per necessary byte")
        grid[0, 0].set_xlim(min(panel.ridge for panel in panels) / 14, 6 * max(map(_last_intensity, panels)))
        picture = svg(drawing, "roofline", f"Roofline of the kernels. {'; '.join(map(_spoken, panels))}")
        printed = pdf(drawing)
    return Figure(
        name="roofline",
        title="How near do kernels come to the machine's limits?",
        svg=picture,
        pdf=printed,
        caption=(
            "Line: the most that this machine reaches, measured in the same precision: the bytes of a large copy on "
            "the slope, a large dense product on the level.",
            "Points: the SFM of a stage at EffSeg's operating point, forward; bars are quartiles. "
            "FLOP (2 for a multiply-add) are those of the convolutions as they are defined: a kernel that gets by with "
            "fewer multiplications, as Winograd's way does, may lie above the line. Necessary bytes: features, their "
            "index and weights read once, the result written once.",
            *dict.fromkeys(f"On {of.shown[0].machine}: {of.shown[0].protocol['roof']}." for of, _ in drawn),
            *dict.fromkeys(sentence for of, _ in drawn for sentence in of.sentences()),
        ),
    )


def _setting(kernels: Sequence[Measured]) -> tuple[str, bool, str]:
    """Device and precision of a panel, float32 first."""
    device, dtype = (str(kernels[0].protocol[name]) for name in ("device", "dtype"))
    return device, dtype != "float32", dtype


def _panels(kernels: Sequence[Measured]) -> Iterator[_Panel]:
    """A panel for every clock by which both the limits and some kernel were measured."""
    device, _, dtype = _setting(kernels)
    for clock, threads in _CLOCKS.items():
        peak, bandwidth = (
            max(each.number(f"roof_{rate}_per_s", clock=clock) or 0.0 for each in kernels) for rate in ("macs", "bytes")
        )
        drawn = tuple((_kernel(each), points) for each in kernels if (points := tuple(_points(each, clock))))
        if drawn and peak > 0 and bandwidth > 0:
            yield _Panel(
                title=f"{dtype}, {threads if device == 'cpu' else device}",
                peak=2 * peak / 1e9,
                bandwidth=bandwidth / 1e9,
                kernels=drawn,
            )


def _points(measured: Measured, clock: str) -> Iterator[_Point]:
    """From the last stage, which does least with a byte, to the first."""
    for stage in reversed(STAGES):
        macs, needed = (measured.number(name, stage=stage, place="point") for name in ("macs", "needed_bytes"))
        ms = measured.number("ms", stage=stage, place="point", passes="forward", clock=clock)
        if macs is not None and needed is not None and ms is not None:
            flop = 2 * macs
            fast, slow = ms.interval or (ms, ms)
            yield _Point(
                stage=stage,
                intensity=flop / needed,
                rate=flop / ms / 1e6,
                low=flop / slow / 1e6,
                high=flop / fast / 1e6,
            )


def _kernel(measured: Measured) -> str:
    return measured.subject.kernel or "default"


def _last_intensity(panel: _Panel) -> float:
    return max(point.intensity for _, points in panel.kernels for point in points)


def _draw(axes: Axes, panel: _Panel) -> None:
    axes.set_title(panel.title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    reach = [panel.ridge / 100, panel.ridge, _last_intensity(panel) * 100]
    axes.plot(reach, [panel.roof(intensity) for intensity in reach], color=INK, linewidth=1.2)
    _note(axes, f"{panel.peak:,.0f} GFLOP/s", (panel.ridge, panel.peak), (-3, 0), ha="right")
    _note(axes, f"{panel.bandwidth:,.0f} GB/s", (panel.ridge / 3, panel.peak / 3), (6, -3), va="top")
    for kernel, points in panel.kernels:
        shade, mark = _LOOKS.get(kernel, _OTHER_LOOK)
        intensities, rates = ([getattr(point, name) for point in points] for name in ("intensity", "rate"))
        bars = [[point.rate - point.low for point in points], [point.high - point.rate for point in points]]
        axes.errorbar(intensities, rates, bars, color=shade, marker=mark, linewidth=1, elinewidth=0.8)
        # Away from the line, which a name could not be read on.
        _note(axes, kernel, (intensities[-1], rates[-1]), (5, 7 if rates[-1] > panel.peak else -7))
    rates = [point.rate for _, points in panel.kernels for point in points]
    axes.set_ylim(min(rates) / 3, 2 * max(panel.peak, *rates))
    _, first = panel.kernels[0]
    for point in first:  # kernels differ in nothing but their rates
        axes.axvline(point.intensity, color=FAINT, linewidth=0.6, linestyle=":")
        stage = f"stage {point.stage}" if point is first[0] else str(point.stage)
        axes.text(point.intensity, axes.get_ylim()[0] * 1.05, stage, ha="center", va="bottom", fontsize=8)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda number, _: f"{number:g}")
        axis.set_minor_formatter(NullFormatter())


def _note(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    shift: tuple[float, float],
    *,
    ha: Literal["left", "right"] = "left",
    va: Literal["center", "top"] = "center",
) -> None:
    """Write beside a place, shifted by so many points."""
    axes.annotate(text, place, xytext=shift, textcoords="offset points", ha=ha, va=va, fontsize=8)


def _spoken(panel: _Panel) -> str:
    told = (
        f"{kernel}, stage {point.stage}: {point.rate:.0f} of {panel.roof(point.intensity):.0f} GFLOP/s"
        for kernel, points in panel.kernels
        for point in points
    )
    return f"{panel.title}: {', '.join(told)}"
