"""Where the time of an image goes: bars of the medians of every phase, a bar for every head."""

from collections.abc import Sequence

from matplotlib.figure import Figure as Drawing

from bench.record import Record
from bench.store import Entry
from reports.figures.style import Figure, house_style, pdf, svg
from reports.figures.subjects import names, newest_of_each

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


def time_budget(entries: Sequence[Entry]) -> Figure | None:
    """Draw the newest record of the probe `speed` of every trained subject on the last machine; None without any."""
    found = newest_of_each(entries, "speed")
    last = max(found, key=lambda entry: entry.record.started, default=None)
    found = [
        entry
        for entry in found
        if last is not None and entry.record.machine == last.record.machine and _phases(entry.record)
    ]
    if not found:
        return None
    called = names([entry.record.subject for entry in found])
    phases = list(dict.fromkeys(phase for entry in found for phase in _phases(entry.record)))
    with house_style():
        drawing = Drawing(figsize=(7.2, 1.1 + 0.32 * len(found)))
        panel = drawing.subplots()
        for place, entry in enumerate(found):
            times, left = _phases(entry.record), 0.0
            for phase in phases:
                width = times.get(phase, 0.0)
                shade = _PHASES.get(phase, _OTHER_COLOUR)
                label = phase if place == 0 else "_"
                panel.barh(place, width, left=left, color=shade, height=0.7, label=label)
                left += width
            panel.annotate(
                f"{left:.0f}", (left, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
            )
        panel.set_yticks(range(len(found)), called)
        panel.invert_yaxis()
        panel.set_xlabel("ms of an image, sum of the medians of its phases")
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
        drawing.legend(loc="outside upper center", ncols=len(phases), frameon=False, fontsize=8, handlelength=1)
        spoken = "; ".join(
            f"{name}: " + ", ".join(f"{phase} {ms:.1f}" for phase, ms in _phases(entry.record).items())
            for name, entry in zip(called, found, strict=True)
        )
        picture = svg(drawing, "time-budget", f"Milliseconds of an image by phase. {spoken}")
        printed = pdf(drawing)
    return Figure(
        name="time-budget",
        title="Where does the time go?",
        svg=picture,
        pdf=printed,
        caption=(
            f"One image at a time, from pixels to pasted masks, on {found[0].record.machine.name}. A sum of medians is "
            "not the median of the sums, which tables show.",
        ),
    )


def _phases(record: Record) -> dict[str, float]:
    """Milliseconds by phase, in the order of the walk."""
    found = {
        name.removeprefix("latency_ms_").removesuffix("_median"): float(value)
        for name, value in record.values.items()
        if name.startswith("latency_ms_") and name.endswith("_median") and name != "latency_ms_median"
    }
    return {phase: ms for phase, ms in found.items() if phase not in _OUTSIDE}
