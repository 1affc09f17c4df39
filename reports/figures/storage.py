"""What every method stores between operations: bars of its features and its indices, stage by stage."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.names import STAGES
from reports.figures.style import INK, Figure, colour_of, house_style, pdf, svg
from reports.select.backends import of_backends, origin
from reports.select.measured import Measured


def storage(found: Sequence[Measured]) -> Figure | None:
    """Draw the newest bytes of every backend under one protocol, a bar for each of its storages; None without any."""
    chosen = of_backends(found, "backend_cost")
    if not chosen.shown:
        return None
    # Kernels of one backend store the same.
    shown = list({each.subject.backend: each for each in reversed(chosen.shown)}.values())[::-1]
    with house_style():
        drawing = Drawing(figsize=(7.6, 0.8 + 0.28 * len(shown)))
        panels = drawing.subplots(1, len(STAGES), sharey=True)
        for panel, stage in zip(panels, STAGES, strict=True):
            _draw(panel, shown, stage)
        panels[0].set_yticks(range(len(shown)), [each.backend.partition(":")[0] for each in shown])
        panels[0].invert_yaxis()
        spoken = "; ".join(
            f"{each.backend}: " + ", ".join(f"{_total_mb(each, stage):.1f} MB" for stage in STAGES) for each in shown
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
            *origin(chosen),
        ),
    )


def _draw(panel: Axes, shown: Sequence[Measured], stage: int) -> None:
    for place, measured in enumerate(shown):
        index = (measured.number("bytes", stage=stage, part="index") or 0) / 1e6
        total = _total_mb(measured, stage)
        shade = colour_of(measured)
        panel.barh(place, total - index, color=shade, height=0.7)
        panel.barh(place, index, left=total - index, color=shade, height=0.7, alpha=0.45)
        panel.annotate(
            f"{total:.1f}", (total, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
        )
    active = 100 * shown[0].record.get("active_fraction", stage=stage).value
    panel.set_title(f"Stage {stage}, {active:.1f} % active")
    panel.set_xlabel("MB")
    panel.margins(x=0.2)
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_color(INK)


def _total_mb(measured: Measured, stage: int) -> float:
    return measured.record.get("bytes", stage=stage).value / 1e6
