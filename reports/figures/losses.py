"""Losses on the way: a panel for the detector and for every head, a line for every training."""

from collections.abc import Sequence
from itertools import cycle, zip_longest

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullLocator

from bench.model.weights_folder import DETECTOR
from reports import paper
from reports.figures.style import Figure, colour, house_style, pdf, svg
from reports.select.trainings import Training

_PER_ROW = 3
_LINES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
_OF_DETECTOR = ("box", "class", "selection")
"""Losses that stay as they are while a head learns on a finished detector."""


def losses(trainings: Sequence[Training]) -> Figure | None:
    """Draw the sum of the losses of every training; None where there is no training."""
    panels = _panels([each for each in trainings if each.steps and each.curve])
    if not panels:
        return None
    num_rows = -(-len(panels) // _PER_ROW)
    with house_style():
        drawing = Drawing(figsize=(2.5 * min(_PER_ROW, len(panels)), 2.0 * num_rows))
        grid = drawing.subplots(num_rows, min(_PER_ROW, len(panels)), squeeze=False).ravel()
        for axes, panel in zip_longest(grid, panels.items()):
            if panel is None:
                axes.set_axis_off()
            else:
                _draw(axes, *panel)
        spoken = "; ".join(f"{each.name} ends at {_total(each)[-1]:.3g}" for of in panels.values() for each in of)
        picture = svg(drawing, "losses", f"Losses of {len(trainings)} trainings. {spoken}")
        printed = pdf(drawing)
    return Figure(
        name="losses",
        title="Losses of the trainings",
        is_origin=True,
        svg=picture,
        pdf=printed,
        caption=(
            "Sum of the losses that a training learns from, as means over a hundredth of it; a line for every file of "
            "weights. Heads have different losses: compare the lines of a panel, not panels.",
        ),
    )


def _panels(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    """The trainings by the title of their panel, the detector first and heads in the paper's order."""
    titles = ["Detector", *paper.HEADS.values()]
    found: dict[str, list[Training]] = {}
    for each in trainings:
        head = each.subject.head or ""
        title = titles[0] if each.name == DETECTOR else paper.HEADS.get(head, head)
        found.setdefault(title, []).append(each)
    return dict(sorted(found.items(), key=lambda panel: titles.index(panel[0]) if panel[0] in titles else len(titles)))


def _draw(axes: Axes, title: str, trainings: Sequence[Training]) -> None:
    variants = list(dict.fromkeys(_variant(each) for each in trainings))
    head = None if trainings[0].name == DETECTOR else trainings[0].subject.head
    for each in trainings:
        line = _LINES[variants.index(_variant(each)) % len(_LINES)]
        axes.plot(each.steps, _total(each), linestyle=line, color=colour(head), linewidth=1.0, alpha=0.8)
    axes.set_title(title)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("step", labelpad=0)
    if len(variants) > 1:
        for variant, line in zip(variants, cycle(_LINES), strict=False):
            axes.plot([], [], linestyle=line, color=colour(head), linewidth=1.0, label=variant)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * 1.5)  # room for the legend
        axes.legend(frameon=False, fontsize=7, handlelength=2.2, ncols=2, loc="upper right", columnspacing=1)


def _variant(training: Training) -> str:
    """Name of what tells trainings of a head apart, beside the seed."""
    module = training.subject.module or ""
    return paper.MODULES.get(module, module) or (training.subject.preset or "")


def _total(training: Training) -> list[float]:
    """The sum of the losses that are learned from, at every step of the curve."""
    left_out = () if training.detector is None else _OF_DETECTOR
    learned = [values for name, values in training.curve.items() if name not in left_out]
    return [sum(values) for values in zip(*learned, strict=True)]
