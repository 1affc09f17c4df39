"""The heads that were trained on the embedded data: accuracy on either kind of boxes, what separates them, cost.

Beside the four heads, their class-agnostic variants and EffSeg's processing modules.
"""

from collections.abc import Iterator, Sequence

from reports.cells import mean
from reports.layout import CellValue, Column, Table
from reports.select.comparable import Comparable, comparable
from reports.select.measured import Measured
from reports.select.trained import MAIN_METRICS, by_seed, interval, numbers, seeds_in_words, usual
from reports.tables.costs import costs
from reports.tables.differences import claim, differences
from reports.tables.matrix import matrix
from reports.tables.region_cost import region_cost
from reports.tables.variants import agnostic, modules

_SIZES = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_s": "APS", "ap_m": "APM", "ap_l": "APL"}
_TRUE_BOXES = "Heads get the boxes and classes of the objects: what better detection could give."


def tables(found: Sequence[Measured]) -> list[Table]:
    """Accuracy, differences, cost, class-agnostic variants, modules; a table of what was not measured has no rows."""
    params, every_true = comparable(found, "params"), comparable(found, "accuracy_true_boxes")
    true, detected = usual(every_true), usual(comparable(found, "accuracy"))
    return [
        _accuracy("Heads on true boxes", true, _TRUE_BOXES),
        _accuracy("Heads on detected boxes", detected, "All heads get the boxes of one common detector."),
        _sizes("Heads on detected boxes, AP by overlap and size", detected),
        matrix("true boxes", true),
        matrix("detected boxes", detected),
        differences("What separates the heads, on true boxes", claim(true.shown), true.sentences()),
        differences("What separates the heads, on detected boxes", claim(detected.shown), detected.sentences()),
        costs(usual(params), usual(comparable(found, "flops")), usual(comparable(found, "speed"))),
        region_cost(usual(comparable(found, "region_cost"))),
        _boxes(comparable(found, "box_accuracy")),
        *agnostic(every_true, params),
        *modules(every_true, params),
    ]


def _accuracy(title: str, found: Comparable, note: str) -> Table:
    """Means over seeds, their spread, and the interval of the first seed."""
    models = list(by_seed(found.shown).values())
    metrics = {name: label for name, label in MAIN_METRICS.items() if any(each.has(name) for each in found.shown)}
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
            values = numbers(seeds, name)
            cells.append(mean(values))
            cells += [f"{min(values):.1f}..{max(values):.1f}" if len(values) > 1 else ""] * several
            cells.append(interval(seeds[0].number(name)))
        rows.append(tuple(cells))
    caption = [note, *_data(found), *seeds_in_words(models)]
    if several:
        caption.append("'seeds': lowest..highest seed, the noise of training; '95%': interval of the first seed.")
    caption += ["Intervals are from resampled images and speak of their choice, not of the training seed."]
    caption += found.sentences()
    return Table(title=title, columns=tuple(columns), rows=tuple(rows), caption=tuple(caption))


def _boxes(found: Comparable) -> Table:
    """AP of the boxes that all heads get; whichever head was behind the detector, they are the same."""
    rows = []
    for each in found.shown[-1:]:
        values = [each.number(f"box_{name}") for name in _SIZES]
        rows.append((str(each.subject.backbone), *values, interval(values[0])))
    columns = [Column(name="Backbone"), *(Column(name=label, digits=1) for label in _SIZES.values())]
    return Table(
        title="Boxes of the common detector",
        columns=(*columns, Column(name="95% of AP")),
        rows=tuple(rows),
        caption=("Rules of COCO for boxes, on coarse annotations.", *found.sentences()),
    )


def _sizes(title: str, found: Comparable) -> Table:
    """AP at two overlaps and for objects of three sizes: means over seeds."""
    models = list(by_seed(found.shown).values())
    columns = [Column(name="Head"), *(Column(name=label, digits=1, best="highest") for label in _SIZES.values())]
    return Table(
        title=title,
        columns=tuple(columns),
        rows=tuple((seeds[0].head, *(mean(numbers(seeds, name)) for name in _SIZES)) for seeds in models),
        caption=(
            "S, M, L: objects of less than 32 x 32, up to 96 x 96, and more pixels.",
            *seeds_in_words(models),
            *found.sentences(),
        ),
    )


def _data(found: Comparable) -> Iterator[str]:
    """On how many images and classes, of which annotation files. All records are of the same ones."""
    for prefix, file, what in (
        ("ap_star", "lvis", "AP*, APB*: fine annotations, rules of LVIS"),
        ("ap", "annotations", "AP, APB: coarse annotations, rules of COCO"),
    ):
        for each in found.shown[:1]:
            images, classes = each.number(f"{prefix}_images"), each.number(f"{prefix}_classes")
            if images is not None and classes is not None:
                # A checksum's first digits tell data sets apart; the record has all of it.
                file_name = str(each.protocol.get(file))[:15]
                yield f"{what}, {file_name}, {images:.0f} images, {classes:.0f} classes."
