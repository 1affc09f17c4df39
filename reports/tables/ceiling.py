"""The oracle ladder: true masks through grids of rising resolution, and heads with true and with detected boxes."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from reports.layout import CellValue, Column, Table
from reports.select.comparable import comparable
from reports.select.field import Field, measured_of
from reports.select.ladder import by_grid, data, rungs
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import BOXES, interval, of_models

_METRICS = (
    Field(heading="AP", name="ap"),
    Field(heading="AP50", name="ap50"),
    Field(heading="AP75", name="ap75"),
    Field(heading="APS", name="ap_s"),
    Field(heading="APM", name="ap_m"),
    Field(heading="APL", name="ap_l"),
    Field(heading="APB", name="apb"),
    Field(heading="AP*", name="ap_star"),
    Field(heading="APB*", name="apb_star"),
)
_WITH_INTERVALS = ("ap", "apb", "ap_star", "apb_star")


def ceiling(found: Sequence[Measured]) -> Table:
    """Make the ladder: a row per grid, then one per trained head and kind of boxes.

    All rows are about the data that was measured last. Only what was measured has columns.
    """
    chosen = {"grids": rungs(found)}
    chosen |= {f"heads on {boxes}": comparable(of_models(found), probe) for probe, boxes in BOXES.items()}
    newest = [of.newest for of in chosen.values() if of.newest is not None]
    last = data(max(newest, key=lambda each: each.started)) if newest else None
    kept = [of for of in chosen.values() if of.newest is not None and data(of.newest) == last]
    dropped = [what for what, of in chosen.items() if of.newest is not None and data(of.newest) != last]
    grids = by_grid(chosen["grids"]) if chosen["grids"] in kept else {}
    heads = sorted(
        (each for of in kept if of is not chosen["grids"] for each in of.shown), key=lambda each: each.started
    )
    called = names([each.subject for each in heads])
    rows = {each: f"{side} {kind}" for (side, kind), each in grids.items()}
    rows |= {each: f"{name}, {BOXES[each.probe]}" for each, name in zip(heads, called, strict=True)}
    metrics = measured_of(_METRICS, rows)
    columns = [Column(name="Masks")]
    for metric in metrics:
        columns += [metric.column(), *[Column(name="interval")] * (metric.name in _WITH_INTERVALS)]
    caption = [*_reading(rows, grids=bool(grids), heads=bool(heads)), *(each for of in kept for each in of.sentences())]
    if dropped:
        caption.append(f"Left out, because measured on other data than the newest: {', '.join(dropped)}.")
    return Table(
        title="The oracle ladder: true masks through a grid per object, pasted back",
        columns=tuple(columns),
        rows=tuple((label, *_cells(each, metrics)) for each, label in rows.items()),
        caption=tuple(caption),
    )


def _cells(measured: Measured, metrics: Iterable[Field]) -> Iterator[CellValue]:
    """All metrics, the main ones followed by their interval."""
    for metric in metrics:
        number = metric.number(measured)
        yield number
        if metric.name in _WITH_INTERVALS:
            yield interval(number)


def _reading(known: Collection[Measured], *, grids: bool, heads: bool) -> Iterator[str]:
    if grids:
        yield (
            "28 soft: a grid of 28 x 28 cells on the object's box holds the share of each cell that it covers; binary: "
            "whether it is more than half. Scores are 1, classes are the object's, crowds are no predictions."
        )
    for prefix, what in (("ap", "AP and APB: COCO's masks"), ("ap_star", "AP* and APB*: LVIS's masks")):
        images, classes = (_counts(known, f"{prefix}_{counted}") for counted in ("images", "classes"))
        if images and classes and max(images) > 0:
            yield f"{what} on {_range(images)} images, mean over {_range(classes)} classes."
    yield "Intervals: 95 %, from resampled images."
    if heads:
        yield "Heads with true boxes get the boxes and classes of COCO's objects: what better detection would give."


def _counts(known: Iterable[Measured], name: str) -> list[float]:
    return [number for each in known if (number := each.number(name)) is not None]


def _range(counts: Sequence[float]) -> str:
    """The values of a count, one if all rows have the same."""
    low, high = min(counts), max(counts)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
