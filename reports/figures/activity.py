"""Where heads refine: of every stage, how often each cell of a box was refined, as maps (the paper's Figure 1)."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure as Drawing

from bench.store import Entry
from reports.figures.style import FAINT, Figure, colour, house_style, pdf, svg
from reports.figures.subjects import names, newest_of_each


def activity(entries: Sequence[Entry]) -> Figure | None:
    """Draw the newest maps of the probe `trace`, a row for every head; None where there is nothing to draw.

    Records whose arrays are not beside them any more are left out.
    """
    found = [
        entry
        for entry in newest_of_each(entries, "trace")
        if entry.record.samples is not None and entry.path.with_name(entry.record.samples).is_file() and _stages(entry)
    ]
    if not found:
        return None
    called = names([entry.record.subject for entry in found])
    most = max(len(_stages(entry)) for entry in found)
    with house_style():
        drawing = Drawing(figsize=(0.4 + 1.75 * most, 1.95 * len(found)))
        grid = drawing.subplots(len(found), most, squeeze=False)
        for row, entry, name in zip(grid, found, called, strict=True):
            arrays = entry.arrays()
            for panel, stage in zip(row, range(1, most + 1), strict=True):
                if stage in _stages(entry):
                    _draw(panel, arrays[f"stage{stage}_active_map"], entry, stage)
                else:
                    panel.set_axis_off()
            row[0].set_ylabel("\n".join(name.split(" ", 1)), fontsize=9)
        spoken = "; ".join(
            f"{name}: "
            + ", ".join(f"stage {stage} {_percent(entry, stage):.1f} % of the boxes" for stage in _stages(entry))
            for name, entry in zip(called, found, strict=True)
        )
        picture = svg(drawing, "activity", f"Where heads refine. {spoken}")
        printed = pdf(drawing)
    images = ", ".join(dict.fromkeys(f"{entry.record.values['images']:.0f}" for entry in found))
    return Figure(
        name="activity",
        title="Where do heads refine?",
        svg=picture,
        pdf=printed,
        caption=(
            "All boxes laid over each other: the stronger the colour, the more of them had this cell refined, from "
            "none to all; faint colours are strengthened (square root).",
            "Percent: the share of the boxes that a stage refines, the mean over images.",
            f"Over {images} images. The paper's Figure 1 gives 65, 35 and 20 % for the one object it shows.",
        ),
    )


def _stages(entry: Entry) -> list[int]:
    matches = (re.fullmatch(r"stage(\d+)_active_fraction", name) for name in entry.record.values)
    return sorted(int(match[1]) for match in matches if match)


def _percent(entry: Entry, stage: int) -> float:
    return 100 * entry.record.values[f"stage{stage}_active_fraction"]


def _draw(panel: Axes, active: Float[np.ndarray, "S S"], entry: Entry, stage: int) -> None:
    shade = colour(entry.record.subject.head)
    ramp = LinearSegmentedColormap.from_list(shade, [f"{shade}00", shade])
    panel.imshow(active, cmap=ramp, norm=PowerNorm(0.5, vmin=0, vmax=1))
    side = len(active)
    panel.set_title(f"{side} x {side}: {_percent(entry, stage):.0f} %", fontsize=8, fontweight="normal", loc="center")
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set(visible=True, color=FAINT)
