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

import numpy as np
import torch

from bench.backends.activity import FIRST_SIDE
from bench.backends.dense_layouts import LAYOUTS
from bench.backends.peers import peers, spconv_version
from bench.backends.rival_times import ClockKind, Times, time_rivals
from bench.backends.rivals import OURS, Rivals, Workload, forward, make_workload, training
from bench.backends.roof import Work, arithmetic_of, limit_ms, peaks_of, roof, roof_protocol
from bench.backends.stages import NUM_STAGES, draw_activity, grid_type, operating_point, stages_protocol
from bench.contract import Context, Measurement
from bench.record import Scalar, Subject
from bench.rulers.in_turn import MIN_REPETITIONS
from bench.rulers.peak_memory import peak_bytes
from bench.store import Array

VERSION = 3
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False

PERCENTS = (5, 10, 20, 35, 65)

REGIONS_OF_STAGE = (32, 12, 6)
"""Regions at the percentages in stages 1 to 3: fewer where lattices are larger, so that all take about as long."""

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
        """Such as `stage1_point` or `stage3_active65`: what the names of its values start with."""
        return f"stage{self.stage}_" + ("point" if self.percent is None else f"active{self.percent}")


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say at which settings, against what and by which clocks; the machine is in the record."""
    regions, budget = operating_point(context)
    return {
        "regions": regions,
        "budget": budget,
        "percents": ", ".join(f"{percent} %" for percent in PERCENTS),
        "percents_regions": "/".join(str(number) for number in _regions_of_stage(context)),
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
    values: dict[str, int | float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    samples: dict[str, Array] = {}
    for place in _places(context):
        made = draw_activity(place.regions, place.budget, context, stages=place.stage)
        scene = make_workload(kind, made, context)
        values[f"{place.name}_active_fraction"] = made.active_fractions[-1]
        for name, times in _times(scene, place, made.active_fractions[-1], context):
            values[f"{name}_dense_is_channels_last"] = int(times.dense_layout == "channels_last")
            for quantity, array in times.quantities().items():
                low, middle, high = (float(number) for number in np.percentile(array, [25, 50, 75]))
                values[f"{name}_{quantity}"], intervals[f"{name}_{quantity}"] = middle, (low, high)
                samples[f"{name}_{quantity}"] = array
        if place.percent is None:
            values |= {f"{place.name}_{name}": number for name, number in _sizes(scene, context).items()}
            work = _work(scene)
            values |= {f"{place.name}_macs": work.macs, f"{place.name}_needed_bytes": work.needed_bytes}
            values |= _limit(work, place, values[f"{place.name}_forward_wall_ms"], context)
    for clock in _clocks(context):
        values |= {f"roof_{clock}_{name}": rate for name, rate in roof(clock, context).items()}
    units = {name: _unit(name) for name in values}
    return Measurement(values=values, units=units, intervals=intervals, samples=samples)


def _places(context: Context) -> Iterator[Place]:
    regions, budget = operating_point(context)
    for stage, fewer in enumerate(_regions_of_stage(context), start=1):
        yield Place(stage=stage, percent=None, regions=regions, budget=budget)
        cells = fewer * (FIRST_SIDE * 2**stage) ** 2
        for percent in PERCENTS:
            # A refined cell makes four active ones.
            yield Place(stage=stage, percent=percent, regions=fewer, budget=max(1, round(cells * percent / 400)))


def _regions_of_stage(context: Context) -> tuple[int, ...]:
    if context.regions is None:
        return REGIONS_OF_STAGE
    regions, _ = operating_point(context)
    return (regions,) * NUM_STAGES


def _times(scene: Workload, place: Place, active_fraction: float, context: Context) -> Iterator[tuple[str, Times]]:
    """Times of a setting, by the start of the names of their values, such as `stage1_point_training_wall`."""
    clocks = _clocks(context)
    is_point = place.percent is None
    for made_of in _PASSES if is_point else ("forward",):
        rivals = _PASSES[made_of](scene)
        if is_point and made_of == "forward":
            rivals = {**rivals, **peers(scene)}
        for clock in clocks if is_point else clocks[:1]:
            limit_s = POINT_LIMIT_S if is_point else PERCENT_LIMIT_S
            ms = time_rivals(rivals, clock, context.device, repetitions=REPETITIONS, limit_s=limit_s)
            yield f"{place.name}_{made_of}_{clock}", Times(ms=ms, active_fraction=active_fraction)


@torch.inference_mode()
def _sizes(scene: Workload, context: Context) -> dict[str, int]:
    """Peak of a forward pass on top of what was there before, and the part of it that is the result."""
    peak = peak_bytes(forward(scene)[OURS], context.device)
    return {"peak_bytes": peak, "output_bytes": scene.ours.active.nbytes}


def _work(scene: Workload) -> Work:
    return Work(
        active=scene.ours.num_active,
        passive=scene.ours.num_passive,
        cells=scene.ours.rows.numel(),
        features=scene.ours.buffer.shape[1],
        number_bytes=scene.ours.buffer.element_size(),
    )


def _limit(work: Work, place: Place, wall_ms: float, context: Context) -> dict[str, float]:
    """The limit of a known GPU, and its share of the time measured; 1 is as fast as can be."""
    peaks = peaks_of(context.device)
    if peaks is None:
        return {}
    limit = limit_ms(work, peaks, arithmetic_of(context.dtype))
    return {f"{place.name}_limit_ms": limit, f"{place.name}_of_limit": limit / wall_ms}


def _clocks(context: Context) -> tuple[ClockKind, ...]:
    return ("wall",) if _on_gpu(context) else ("thread", "wall")


def _on_gpu(context: Context) -> bool:
    return torch.device(context.device).type == "cuda"


def _unit(name: str) -> str:
    units = {"_ms": "ms", "_bytes": "bytes", "_macs": "MACs", "_macs_per_s": "MACs/s", "_bytes_per_s": "bytes/s"}
    return next((unit for ending, unit in units.items() if name.endswith(ending)), "")
