"""What every method stores between operations: bars of its features and its indices, stage by stage."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.store import Entry
from reports.figures.style import INK, Figure, colour_of, house_style, pdf, svg
from reports.select.backends import Measured, compare
from reports.select.frame import frame_of_entries

_STAGES = (1, 2, 3)


def storage(entries: Sequence[Entry]) -> Figure | None:
    """Draw the newest bytes of every backend under one protocol, a bar for each of its storages; None without any."""
    found = compare(
        frame_of_entries(entry for entry in entries if entry.record.probe == "backend_cost"),
        "backend_cost",
        same_machine=False,
    )
    if found is None:
        return None
    # Kernels of one backend store the same.
    shown = list({each.backend: each for each in reversed(found.backends)}.values())[::-1]
    with house_style():
        drawing = Drawing(figsize=(7.6, 0.8 + 0.28 * len(shown)))
        panels = drawing.subplots(1, len(_STAGES), sharey=True)
        for panel, stage in zip(panels, _STAGES, strict=True):
            _draw(panel, shown, stage)
        panels[0].set_yticks(range(len(shown)), [each.label.partition(":")[0] for each in shown])
        panels[0].invert_yaxis()
        spoken = "; ".join(
            f"{each.label}: " + ", ".join(f"{_total_mb(each, stage):.1f} MB" for stage in _STAGES) for each in shown
        )
        picture = svg(drawing, "storage", f"Bytes stored by stage. {spoken}")
        printed = pdf(drawing)
    return Figure(
        name="storage",
        title="What does a method store?",
        svg=picture,
        pdf=printed,
        caption=(
            "10^6 bytes between operations: features, and in light colour the indices that find them. The title says "
            "how much of a stage is active.",
            found.protocol_sentence(),
        ),
    )


def _draw(panel: Axes, shown: Sequence[Measured], stage: int) -> None:
    for place, measured in enumerate(shown):
        index = measured.values.get(f"stage{stage}_bytes_index", 0.0) / 1e6
        total = _total_mb(measured, stage)
        shade = colour_of(measured)
        panel.barh(place, total - index, color=shade, height=0.7)
        panel.barh(place, index, left=total - index, color=shade, height=0.7, alpha=0.45)
        panel.annotate(
            f"{total:.1f}", (total, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
        )
    active = 100 * shown[0].values[f"stage{stage}_active_fraction"]
    panel.set_title(f"Stage {stage}, {active:.1f} % active")
    panel.set_xlabel("MB")
    panel.margins(x=0.2)
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_color(INK)


def _total_mb(measured: Measured, stage: int) -> float:
    return measured.values[f"stage{stage}_bytes"] / 1e6
