"""The heads that were trained on the embedded data: accuracy on either kind of boxes, what separates them, cost.

Beside the four heads, their class-agnostic variants and EffSeg's processing modules.
"""

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from reports.cells import mean
from reports.layout import CellValue, Column, Table
from reports.select.trained import MAIN_METRICS, Result, by_seed, interval, left_out, of_one_run, results, usual
from reports.tables.costs import costs
from reports.tables.differences import claim, differences
from reports.tables.variants import agnostic, modules

_SIZES = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_s": "APS", "ap_m": "APM", "ap_l": "APL"}
_TRUE_BOXES = "Heads get the boxes and classes of the objects: what better detection could give."


def tables(frame: pd.DataFrame) -> list[Table]:
    """Accuracy, differences, cost, class-agnostic variants, modules; a table of what was not measured has no rows."""
    params = results(frame, "params")
    every_true = results(frame, "accuracy_true_boxes")
    true, detected = usual(every_true), usual(results(frame, "accuracy"))
    return [
        _accuracy("Heads on true boxes", true, _TRUE_BOXES),
        _accuracy("Heads on detected boxes", detected, "All heads get the boxes of one common detector."),
        _sizes("Heads on detected boxes, AP by overlap and size", detected),
        differences("What separates the heads, on true boxes", claim(true)),
        differences("What separates the heads, on detected boxes", claim(detected)),
        costs(usual(params), usual(results(frame, "flops")), usual(results(frame, "speed"))),
        _boxes(results(frame, "box_accuracy")),
        *agnostic(every_true, params),
        *modules(every_true, params),
    ]


def _accuracy(title: str, found: Iterable[Result], note: str) -> Table:
    """Means over seeds, their spread, and the interval of the first seed."""
    alike, others = of_one_run(found)
    models = list(by_seed(alike).values())
    metrics = {name: label for name, label in MAIN_METRICS.items() if any(name in each.values for each in alike)}
    several = any(len(seeds) > 1 for seeds in models)
    columns = [Column(name="Head")]
    for label in metrics.values():
        columns.append(Column(name=label, digits=1, best="highest"))
        columns += [Column(name="seeds")] * several
        columns.append(Column(name="95%"))
    rows: list[tuple[CellValue, ...]] = []
    for seeds in models:
        cells: list[CellValue] = [seeds[0].head]
        for name in metrics:
            values = [each.values[name] for each in seeds if name in each.values]
            cells.append(mean(values))
            cells += [f"{min(values):.1f}..{max(values):.1f}" if len(values) > 1 else ""] * several
            cells.append(interval(seeds[0], name))
        rows.append(tuple(cells))
    caption = [note, *_data(alike), *_seeds(models)]
    if several:
        caption.append("'seeds': lowest..highest seed, the noise of training; '95%': interval of the first seed.")
    caption += ["Intervals are from resampled images and speak of their choice, not of the training seed."]
    caption += left_out(others)
    return Table(title=title, columns=tuple(columns), rows=tuple(rows), caption=tuple(caption))


def _boxes(found: Iterable[Result]) -> Table:
    """AP of the boxes that all heads get; whichever head was behind the detector, they are the same."""
    alike, others = of_one_run(found)
    rows = []
    for each in alike[-1:]:
        values = (each.values.get(f"box_{name}") for name in _SIZES)
        rows.append((str(each.subject.backbone), *values, interval(each, "box_ap")))
    columns = [Column(name="Backbone"), *(Column(name=label, digits=1) for label in _SIZES.values())]
    return Table(
        title="Boxes of the common detector",
        columns=(*columns, Column(name="95% of AP")),
        rows=tuple(rows),
        caption=("Rules of COCO for boxes, on coarse annotations.", *left_out(others)),
    )


def _sizes(title: str, found: Iterable[Result]) -> Table:
    """AP at two overlaps and for objects of three sizes: means over seeds."""
    alike, others = of_one_run(found)
    rows = []
    for seeds in by_seed(alike).values():
        known = [[each.values[name] for each in seeds if name in each.values] for name in _SIZES]
        rows.append((seeds[0].head, *(mean(values) for values in known)))
    columns = [Column(name="Head"), *(Column(name=label, digits=1, best="highest") for label in _SIZES.values())]
    caption = [
        "S, M, L: objects of less than 32 x 32, up to 96 x 96, and more pixels.",
        *_seeds(list(by_seed(alike).values())),
        *left_out(others),
    ]
    return Table(title=title, columns=tuple(columns), rows=tuple(rows), caption=tuple(caption))


def _data(alike: Sequence[Result]) -> Iterator[str]:
    """On how many images and classes, of which annotation files. All results are of the same ones."""
    for prefix, file, what in (
        ("ap_star", "lvis", "AP*, APB*: fine annotations, rules of LVIS"),
        ("ap", "annotations", "AP, APB: coarse annotations, rules of COCO"),
    ):
        for each in alike[:1]:
            if f"{prefix}_images" in each.values:
                images, classes = (round(each.values[f"{prefix}_{counted}"]) for counted in ("images", "classes"))
                # A checksum's first digits tell data sets apart; the record has all of it.
                yield f"{what}, {str(each.protocol.get(file))[:15]}, {images} images, {classes} classes."


def _seeds(models: Sequence[Sequence[Result]]) -> Iterator[str]:
    """Which seeds the means are of."""
    seeds = {", ".join(str(each.subject.seed) for each in of_model) for of_model in models}
    if len(seeds) == 1:
        yield f"{'Means of seeds' if ',' in min(seeds) else 'Seed'} {min(seeds)}."
    elif models:
        by_head = (f"{of[0].head} {', '.join(str(each.subject.seed) for each in of)}" for of in models)
        yield f"Means of seeds: {'; '.join(by_head)}."
