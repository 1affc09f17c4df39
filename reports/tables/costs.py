"""What the trained heads cost: parameters, multiply-adds and time of an image."""

from collections.abc import Iterator

from reports.layout import CellValue, Column, Table
from reports.select.comparable import Comparable
from reports.select.field import Field
from reports.select.measured import Measured
from reports.select.trained import any_seed, first_seeds, in_order

_FIELDS = (
    Field(heading="Params M", probe="params", name="params_total", digits=2, best="lowest", scale=1e6),
    Field(heading="head M", probe="params", name="params_head", digits=2, best="lowest", scale=1e6),
    Field(heading="GMACs", probe="flops", name="macs", digits=2, best="lowest", scale=1e9),
    Field(heading="head GMACs", probe="flops", name="macs_head", digits=2, best="lowest", scale=1e9),
    Field(heading="Regions", probe="flops", name="regions"),
    Field(heading="FPS", probe="speed", name="fps_paper", digits=2, best="highest"),
    Field(heading="ms", probe="speed", name="latency_ms_median", best="lowest"),
    Field(heading="ms (95th)", probe="speed", name="latency_ms_p95", best="lowest"),
    Field(heading="head ms", probe="speed", name="latency_ms_median", at={"phase": "head"}, best="lowest"),
)


def costs(params: Comparable, flops: Comparable, speed: Comparable) -> Table:
    """A row per head, of its first seed; only what was measured has columns. Times are those of one machine."""
    chosen: dict[str | None, Comparable] = {"params": params, "flops": flops, "speed": speed}
    first = {probe: {any_seed(each.subject): each for each in first_seeds(of.shown)} for probe, of in chosen.items()}
    models = {model: each for of in first.values() for model, each in of.items()}
    fields = [field for field in _FIELDS if any(field.number(each) is not None for each in first[field.probe].values())]
    rows: list[tuple[CellValue, ...]] = []
    for each in in_order(models.values()):
        found = (field.number(first[field.probe].get(any_seed(each.subject))) for field in fields)
        rows.append((each.head, *found))
    return Table(
        title="Cost of the heads",
        columns=(Column(name="Head"), *(field.column() for field in fields)),
        rows=tuple(rows),
        caption=(*_reading(flops, speed), *(sentence for of in chosen.values() for sentence in of.sentences())),
    )


def _reading(flops: Comparable, speed: Comparable) -> Iterator[str]:
    yield "Params: of the whole model and of the head, in millions."
    for each in flops.shown[:1]:
        yield (
            "GMACs: 10^9 multiply-adds of an image, which the paper calls GFLOPs; transposed convolutions are counted "
            f"for what they compute. Means over {_images(each)}."
        )
        yield "Regions: how many the head computed; a head with masks per class has one for each prediction."
    for each in speed.shown[:1]:
        yield (
            f"FPS: mean rate of {_images(each)}, one at a time, from pixels to pasted masks, on {each.machine}. "
            "ms: median, and what 95 % of the images do not exceed."
        )


def _images(measured: Measured) -> str:
    known = measured.number("images")
    return "the images" if known is None else f"{known:.0f} images"
