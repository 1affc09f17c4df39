"""What a kernel of SPS costs beside the naive method of the paper and beside Dense: time and peak memory of the SFM.

`point` is EffSeg's operating point in stages 1 to 3: forward, forward and backward ("training"), peak memory. `active5`
and so on are forward passes at that percentage of active cells, on fewer regions. On a CPU there are two clocks, one
thread by its CPU time and all threads by the wall's; the percentages have the former alone. Everything is timed in
turn, so ratios can be trusted further than times. The forward pass at the point has peers beside it, where they work: a
compiled Dense and spconv-triton. `roof` is what the machine reaches at most in the same precision, and `macs` and
`needed_bytes` are what a stage takes: the parts of a roofline.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from bench.backends.dense_layouts import LAYOUTS
from bench.backends.peers import peers, spconv_version
from bench.backends.rival_times import ClockKind, Times, time_rivals
from bench.backends.rivals import OURS, Rivals, Workload, forward, make_workload, training
from bench.backends.roof import Work, arithmetic_of, limit_ms, peaks_of, roof, roof_protocol
from bench.backends.stages import (
    budget_of,
    draw_activity,
    grid_type,
    operating_point,
    regions_of_stages,
    stages_protocol,
)
from bench.contract import Context, Measurement
from bench.record import Scalar, Subject, Value
from bench.rulers.in_turn import MIN_REPETITIONS
from bench.rulers.peak_memory import peak_bytes
from bench.store import Array

VERSION = 3
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False

PERCENTS = (5, 10, 20, 35, 65)

REPETITIONS = 9
POINT_LIMIT_S = 4.0
PERCENT_LIMIT_S = 1.5
"""Seconds for one comparison, warm-up excluded; at least three repetitions are made."""

_PASSES: dict[str, Callable[[Workload], Rivals]] = {"forward": forward, "training": training}


@dataclass(frozen=True, kw_only=True)
class Place:
    """One setting: `percent` of the cells are active, or None at the operating point."""

    stage: int
    percent: int | None
    regions: int
    budget: int

    @property
    def name(self) -> str:
        """Such as `stage1_point` or `stage3_active65`: what the names of its arrays start with."""
        return f"stage{self.stage}_" + ("point" if self.percent is None else f"active{self.percent}")

    @property
    def at(self) -> dict[str, str | int]:
        """The axes of its values."""
        return {"stage": self.stage, "place": "point" if self.percent is None else self.percent}


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say at which settings, against what and by which clocks; the machine is in the record."""
    regions, budget = operating_point(context)
    return {
        "regions": regions,
        "budget": budget,
        "percents": ", ".join(f"{percent} %" for percent in PERCENTS),
        "percents_regions": "/".join(str(number) for number in regions_of_stages(context)),
        **stages_protocol(context),
        "operation": "SFM",
        "clocks": "wall, synchronised" if _on_gpu(context) else "one thread: its CPU time; all threads: wall",
        "warm_up": 1,
        "repetitions": f"{MIN_REPETITIONS} to {REPETITIONS} in {POINT_LIMIT_S:g} s ({PERCENT_LIMIT_S:g} s), in turn",
        "naive": "gather and matrix product in torch, row numbers given, gradients by autograd",
        "dense": "eager, same dtype, faster of " + " and ".join(LAYOUTS),
        "compiled_dense": "torch.compile, channels last",
        "spconv_triton": spconv_version() if _on_gpu(context) else None,
        "peak": "max_memory_allocated" if _on_gpu(context) else "torch profiler, allocator events",
        "roof": roof_protocol(context.device),
        "limit": "H100: data sheet, L2 assumed at 5.5 TB/s" if _on_gpu(context) else None,
    }


def measure(subject: Subject, context: Context) -> Measurement:
    """Measure all settings. Intervals are quartiles over the repetitions."""
    kind = grid_type(subject)
    values: list[Value] = []
    samples: dict[str, Array] = {}
    for place in _places(context):
        made = draw_activity(place.regions, place.budget, context, stages=place.stage)
        workload, active_fraction = make_workload(kind, made, context), made.active_fractions[-1]
        values.append(Value(name="active_fraction", value=active_fraction, at=place.at))
        for passes, clock, times in _times(workload, place, active_fraction, context):
            at = place.at | {"passes": passes, "clock": clock}
            is_channels_last = int(times.dense_layout == "channels_last")
            values.append(Value(name="dense_is_channels_last", value=is_channels_last, at=at))
            for repeated in times.quantities():
                values.append(repeated.row(**at))
                samples[f"{place.name}_{passes}_{clock}_{repeated.name}"] = repeated.array
        if place.percent is None:
            of_wall = place.at | {"passes": "forward", "clock": "wall"}
            wall_ms = next(value.value for value in values if value.name == "ms" and value.at == of_wall)
            values += _of_point(workload, place, wall_ms, context)
    for clock in _clocks(context):
        values += roof(clock, context)
    return Measurement(values=values, samples=samples)


def _places(context: Context) -> Iterator[Place]:
    regions, budget = operating_point(context)
    for stage, fewer in enumerate(regions_of_stages(context), start=1):
        yield Place(stage=stage, percent=None, regions=regions, budget=budget)
        for percent in PERCENTS:
            yield Place(stage=stage, percent=percent, regions=fewer, budget=budget_of(percent, stage, fewer))


def _times(
    workload: Workload, place: Place, active_fraction: float, context: Context
) -> Iterator[tuple[str, ClockKind, Times]]:
    """Times of a setting by passes and clock."""
    clocks = _clocks(context)
    is_point = place.percent is None
    for passes in _PASSES if is_point else ("forward",):
        rivals = _PASSES[passes](workload)
        if is_point and passes == "forward":
            rivals = {**rivals, **peers(workload)}
        for clock in clocks if is_point else clocks[:1]:
            limit_s = POINT_LIMIT_S if is_point else PERCENT_LIMIT_S
            ms = time_rivals(rivals, clock, context.device, repetitions=REPETITIONS, limit_s=limit_s)
            yield passes, clock, Times(ms=ms, active_fraction=active_fraction)


def _of_point(workload: Workload, place: Place, wall_ms: float, context: Context) -> Iterator[Value]:
    """Peak of a forward pass on top of what was there, and its result; the work, and how fast a known GPU can be.

    `of_limit` is the share of that limit in the time measured; 1 is as fast as can be.
    """
    value, work = partial(Value, at=place.at), _work(workload)
    with torch.inference_mode():
        peak = peak_bytes(forward(workload)[OURS], context.device)
    yield value(name="peak_bytes", value=peak, unit="bytes")
    yield value(name="output_bytes", value=workload.ours.active.nbytes, unit="bytes")
    yield value(name="macs", value=work.macs, unit="MACs")
    yield value(name="needed_bytes", value=work.needed_bytes, unit="bytes")
    peaks = peaks_of(context.device)
    if peaks is not None:
        limit = limit_ms(work, peaks, arithmetic_of(context.dtype))
        yield value(name="limit_ms", value=limit, unit="ms")
        yield value(name="of_limit", value=limit / wall_ms)


def _work(workload: Workload) -> Work:
    return Work(
        active=workload.ours.num_active,
        passive=workload.ours.num_passive,
        cells=workload.ours.rows.numel(),
        features=workload.ours.buffer.shape[1],
        number_bytes=workload.ours.buffer.element_size(),
    )


def _clocks(context: Context) -> tuple[ClockKind, ...]:
    return ("wall",) if _on_gpu(context) else ("thread", "wall")


def _on_gpu(context: Context) -> bool:
    return torch.device(context.device).type == "cuda"
