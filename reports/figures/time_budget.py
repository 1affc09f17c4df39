"""Where the time of an image goes: bars of the medians of every phase, a bar for every head."""

from collections.abc import Sequence

from matplotlib.figure import Figure as Drawing

from reports.figures.style import Figure, house_style, pdf, svg
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import first_seeds

# Neighbours differ in lightness, too, for those who print in grey.
_PHASES = {
    "backbone": "#0072B2",
    "neck": "#9BD3F5",
    "detector": "#7F7F7F",
    "head": "#009E73",
    "assemble": "#F0C75E",
}
_OTHER_COLOUR = "#CC79A7"
_OUTSIDE = ("encode",)
"""Phases that the rate of images does not contain."""


def time_budget(found: Sequence[Measured]) -> Figure | None:
    """Draw the phases of the first seed of every trained model by the probe `speed`; None without any."""
    chosen = comparable((each for each in found if each.subject.weights != "random"), "speed")
    shown = [each for each in first_seeds(chosen.shown) if _phases(each)]
    if not shown:
        return None
    called = names([each.subject for each in shown])
    phases = list(dict.fromkeys(phase for each in shown for phase in _phases(each)))
    with house_style():
        drawing = Drawing(figsize=(7.2, 1.1 + 0.32 * len(shown)))
        panel = drawing.subplots()
        for place, each in enumerate(shown):
            times, left = _phases(each), 0.0
            for phase in phases:
                width = times.get(phase, 0.0)
                shade = _PHASES.get(phase, _OTHER_COLOUR)
                label = phase if place == 0 else "_"
                panel.barh(place, width, left=left, color=shade, height=0.7, label=label)
                left += width
            panel.annotate(
                f"{left:.0f}", (left, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
            )
        panel.set_yticks(range(len(shown)), called)
        panel.invert_yaxis()
        panel.set_xlabel("ms of an image, sum of the medians of its phases")
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
        drawing.legend(loc="outside upper center", ncols=len(phases), frameon=False, fontsize=8, handlelength=1)
        spoken = "; ".join(
            f"{name}: " + ", ".join(f"{phase} {ms:.1f}" for phase, ms in _phases(each).items())
            for name, each in zip(called, shown, strict=True)
        )
        picture = svg(drawing, "time-budget", f"Milliseconds of an image by phase. {spoken}")
        printed = pdf(drawing)
    return Figure(
        name="time-budget",
        title="Where does the time go?",
        svg=picture,
        pdf=printed,
        caption=(
            f"One image at a time, from pixels to pasted masks, on {shown[0].machine}. A sum of medians is "
            "not the median of the sums, which tables show.",
            *chosen.sentences(),
        ),
    )


def _phases(measured: Measured) -> dict[str, float]:
    """Milliseconds by phase, in the order of the walk."""
    found = measured.numbers("latency_ms_median", "phase")
    return {str(phase): ms for phase, ms in found.items() if phase not in _OUTSIDE}
