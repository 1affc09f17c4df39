"""What the trained heads cost: parameters, multiply-adds and time of an image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.cells import over
from reports.layout import CellValue, Column, Table
from reports.select.trained import Result, by_seed, in_order, left_out, of_one_run

_Probe = Literal["params", "flops", "speed"]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A column: the recorded value over `scale`."""

    heading: str
    probe: _Probe
    name: str
    digits: int
    best: Literal["highest", "lowest"] | None = None
    scale: float = 1.0


_COLUMNS = (
    _Shown(heading="Params M", probe="params", name="params_total", digits=2, best="lowest", scale=1e6),
    _Shown(heading="head M", probe="params", name="params_head", digits=2, best="lowest", scale=1e6),
    _Shown(heading="GMACs", probe="flops", name="macs", digits=2, best="lowest", scale=1e9),
    _Shown(heading="head GMACs", probe="flops", name="macs_head", digits=2, best="lowest", scale=1e9),
    _Shown(heading="Regions", probe="flops", name="regions", digits=1),
    _Shown(heading="FPS", probe="speed", name="fps_paper", digits=2, best="highest"),
    _Shown(heading="ms", probe="speed", name="latency_ms_median", digits=1, best="lowest"),
    _Shown(heading="ms (95th)", probe="speed", name="latency_ms_p95", digits=1, best="lowest"),
    _Shown(heading="head ms", probe="speed", name="latency_ms_head_median", digits=1, best="lowest"),
)


def costs(params: Sequence[Result], flops: Sequence[Result], speed: Sequence[Result]) -> Table:
    """A row per head, of its first seed; only what was measured has columns. Times are those of the last machine."""
    counted, counted_otherwise = of_one_run(flops)
    last = max(speed, key=lambda result: result.started, default=None)
    here = [each for each in speed if last is not None and each.machine == last.machine]
    timed, timed_otherwise = of_one_run(here)
    by_probe: dict[_Probe, Sequence[Result]] = {"params": params, "flops": counted, "speed": timed}
    first = {probe: {model: seeds[0] for model, seeds in by_seed(of).items()} for probe, of in by_probe.items()}
    models = {model: result for of in first.values() for model, result in of.items()}
    shown = [
        column for column in _COLUMNS if any(column.name in result.values for result in first[column.probe].values())
    ]
    rows: list[tuple[CellValue, ...]] = []
    for result in in_order(models.values()):
        (model,) = by_seed([result])
        found = [first[column.probe].get(model) for column in shown]
        numbers = [
            over(each.values[column.name], column.scale) if each is not None and column.name in each.values else None
            for each, column in zip(found, shown, strict=True)
        ]
        rows.append((result.head, *numbers))
    return Table(
        title="Cost of the heads",
        columns=(
            Column(name="Head"),
            *(Column(name=column.heading, digits=column.digits, best=column.best) for column in shown),
        ),
        rows=tuple(rows),
        caption=(*_reading(counted, timed), *left_out([*counted_otherwise, *timed_otherwise])),
    )


def _reading(counted: Sequence[Result], timed: Sequence[Result]) -> Iterator[str]:
    yield "Params: of the whole model and of the head, in millions."
    for each in counted[:1]:
        yield (
            "GMACs: 10^9 multiply-adds of an image, which the paper calls GFLOPs; transposed convolutions are counted "
            f"for what they compute. Means over {_images(each)}."
        )
        yield "Regions: how many the head computed; a head with masks per class has one for each prediction."
    for each in timed[:1]:
        yield (
            f"FPS: mean rate of {_images(each)}, one at a time, from pixels to pasted masks, on {each.machine}. "
            "ms: median, and what 95 % of the images do not exceed."
        )


def _images(result: Result) -> str:
    known = result.values.get("images")
    return "the images" if known is None else f"{known:.0f} images"
