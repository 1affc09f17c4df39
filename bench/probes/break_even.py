"""From which active fraction on, and below how many regions, is Dense the better choice? Time, multiply-adds and bytes.

Two sweeps per stage. `fraction`: a fixed number of regions, with the budget that makes the wanted share of the cells
active. `regions`: EffSeg's budget of an image, which few regions do not use up: then most of their cells are active.
The operation is the hardest of SFM, 3x3 convolution and pointwise layer that the backend can do; where that is the SFM,
the convolution has a sweep `conv_fraction` in one stage. Dense computes the same at all cells, in the faster of two
memory layouts, in turn with the backend. Both sides end with the rows of the active cells: nothing is written back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from bench.backends.crossing import crossing_interval, first_crossing, num_crossings
from bench.backends.dense_layouts import LAYOUTS, dense_in_layouts
from bench.backends.stages import (
    Operation,
    Weights,
    budget_of,
    draw_activity,
    grid_type,
    macs_of_cells,
    operating_point,
    operations_in,
    regions_of_stages,
    stage_grids,
    stages_protocol,
    weights_like,
)
from bench.contract import Context, Measurement
from bench.names import STAGES
from bench.record import Scalar, Subject, Value
from bench.rulers.in_turn import MIN_REPETITIONS, alternate
from bench.rulers.multiply_adds import count_torch, counting
from bench.rulers.repeated import beside_dense
from bench.store import Array
from sparsity import Grid, GridType, Unsupported, backend

VERSION = 2
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False

PERCENTS = (1, 2, 5, 10, 20, 35, 50, 75, 100)
REGION_COUNTS = (5, 10, 25, 50, 100)

CONV_STAGE = 2
"""Where the convolution is measured beside the SFM: the middle stage, so that all backends end in minutes."""

LAYOUT_TRIALS = 3
REPETITIONS = 9
LIMIT_S = 1.5
"""Seconds for one point, warm-up excluded; at least three repetitions are made."""

HARDEST_FIRST = ("sfm", "conv", "linear")
COSTS = ("time", "macs", "bytes")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One setting of a sweep; `place` is its place on the axis: percent of the cells, or number of regions."""

    stage: int
    sweep: str
    place: int
    regions: int
    budget: int

    @property
    def name(self) -> str:
        """Such as `stage1_fraction5` or `stage3_regions100`: what the names of its arrays start with."""
        return f"stage{self.stage}_{self.sweep}{self.place}"

    @property
    def at(self) -> dict[str, str | int]:
        """The axes of its values."""
        return {"stage": self.stage, "sweep": self.sweep, "place": self.place}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Costs of one point on the backend and on Dense: milliseconds of every repetition, multiply-adds, bytes."""

    ours_ms: Array
    dense_ms: Array
    dense_layout: str
    macs: tuple[int, int]
    bytes: tuple[int, int]
    active_fraction: float

    def log_ratios(self, cost: str) -> Array:
        """Logarithms of ours / Dense: of every repetition for `time`, of the one exact number for the others."""
        if cost == "time":
            return np.log(self.ours_ms / self.dense_ms)
        ours, dense = self.macs if cost == "macs" else self.bytes
        return np.log(np.array([ours / dense]))


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say which points and how often; the machine is in the record."""
    _, budget = operating_point(context)
    return {
        "fractions": ", ".join(f"{percent} %" for percent in PERCENTS),
        "fractions_regions": "/".join(str(number) for number in regions_of_stages(context)),
        "region_counts": ", ".join(str(number) for number in REGION_COUNTS),
        "region_counts_budget": budget,
        "conv_fractions_stage": CONV_STAGE,
        **stages_protocol(context),
        "warm_up": 1,
        "repetitions": f"{MIN_REPETITIONS} to {REPETITIONS} in {LIMIT_S:g} s",
        "reference": "masked dense, faster of " + " and ".join(LAYOUTS) + f" ({LAYOUT_TRIALS} trials), in turn",
    }


@torch.inference_mode()
def measure(subject: Subject, context: Context) -> Measurement:
    """Measure all points, then find the crossings with Dense. Intervals are quartiles, those of crossings 95 %."""
    kind = grid_type(subject)
    chosen = hardest(kind, context)
    values = [Value(name="operation_is", value=1, at={"operation": chosen})]
    samples: dict[str, Array] = {}
    for operation, sweep in _sweeps(chosen, context):
        pairs = [measure_point(kind, operation, point, context) for point in sweep]
        for point, pair in zip(sweep, pairs, strict=True):
            values += _costs(point, pair)
            for repeated in beside_dense(pair.ours_ms, pair.dense_ms):
                values.append(repeated.row(**point.at))
                samples[f"{point.name}_{repeated.name}"] = repeated.array
        values += _crossings(sweep, pairs, context.seed)
    return Measurement(values=values, samples=samples)


def hardest(kind: GridType, context: Context) -> str:
    """The hardest operation that a backend can do, tried on a single region."""
    grid = stage_grids(kind, draw_activity(1, 20, context, stages=1), context)[-1]
    of_stage = operations_in(grid, weights_like(grid.active, context))
    for name in HARDEST_FIRST:
        try:
            of_stage[name]()
        except Unsupported:
            continue
        return name
    raise Unsupported(f"The backend can do none of {', '.join(HARDEST_FIRST)}, so nothing can be compared with Dense.")


def measure_point(kind: GridType, operation: str, point: Point, context: Context) -> Pair:
    """Measure one point on the backend and on Dense."""
    made = draw_activity(point.regions, point.budget, context, stages=point.stage)
    grid = stage_grids(kind, made, context)[-1]
    dense = stage_grids(backend("dense"), made, context)[-1]
    weights = weights_like(grid.active, context)
    run = _at_active_cells(grid, weights, operation)
    with counting():
        count, _ = count_torch(run)
    layouts = dense_in_layouts(dense, weights, operation)
    # One slow pass must not choose the slower layout, which would flatter the backend.
    trials = alternate(layouts, context.device, repetitions=LAYOUT_TRIALS, limit_s=0.0)
    layout = min(trials, key=lambda name: float(np.median(trials[name])))
    rivals = {"ours": run, "dense": layouts[layout]}
    times = alternate(rivals, context.device, repetitions=REPETITIONS, limit_s=LIMIT_S)
    regions, height, width = dense.size
    return Pair(
        ours_ms=times["ours"],
        dense_ms=times["dense"],
        dense_layout=layout,
        macs=(count.total, macs_of_cells(operation, regions * height * width, grid.active.shape[1])),
        bytes=(sum(grid.storage().values()), sum(dense.storage().values())),
        active_fraction=made.active_fractions[-1],
    )


def _at_active_cells(grid: Grid, weights: Weights, operation: str) -> Operation:
    """An operation that ends with rows, as Dense's does here; as a head's layer, `linear` would write them back."""
    if operation == "linear":
        return lambda: F.linear(grid.active, weights.linear).relu()
    return operations_in(grid, weights)[operation]


def _sweeps(chosen: str, context: Context) -> Iterator[tuple[str, list[Point]]]:
    """All sweeps of a backend, each with the operation that is measured in it."""
    for stage, make_sweep in product(STAGES, (_fraction_sweep, _regions_sweep)):
        yield chosen, make_sweep(stage, context)
    if chosen == "sfm":
        yield "conv", [replace(point, sweep="conv_fraction") for point in _fraction_sweep(CONV_STAGE, context)]


def _fraction_sweep(stage: int, context: Context) -> list[Point]:
    regions = regions_of_stages(context)[stage - 1]
    point = partial(Point, stage=stage, sweep="fraction", regions=regions)
    return [point(place=percent, budget=budget_of(percent, stage, regions)) for percent in PERCENTS]


def _regions_sweep(stage: int, context: Context) -> list[Point]:
    _, budget = operating_point(context)
    return [
        Point(stage=stage, sweep="regions", place=regions, regions=regions, budget=budget) for regions in REGION_COUNTS
    ]


def _costs(point: Point, pair: Pair) -> Iterator[Value]:
    """Values that need no clock; times come with their spread."""
    value = partial(Value, at=point.at)
    yield value(name="active_fraction", value=pair.active_fraction)
    yield value(name="macs", value=pair.macs[0], unit="MACs")
    yield value(name="dense_macs", value=pair.macs[1], unit="MACs")
    yield value(name="bytes", value=pair.bytes[0], unit="bytes")
    yield value(name="dense_bytes", value=pair.bytes[1], unit="bytes")
    yield value(name="dense_is_channels_last", value=int(pair.dense_layout == "channels_last"))


def _crossings(sweep: Sequence[Point], pairs: Sequence[Pair], seed: int) -> Iterator[Value]:
    """How often each cost crosses that of Dense, and where from the sparse end on."""
    ordered = list(zip(sweep, pairs, strict=True))
    is_of_regions = sweep[0].sweep == "regions"
    if is_of_regions:
        ordered.reverse()  # sparse methods are at their best where there are many regions
    places = np.array([float(point.place) for point, _ in ordered])
    for cost in COSTS:
        log_ratios = [pair.log_ratios(cost) for _, pair in ordered]
        medians = np.array([float(np.median(of_point)) for of_point in log_ratios])
        value = partial(Value, at={"stage": sweep[0].stage, "sweep": sweep[0].sweep, "cost": cost})
        yield value(name="crossings", value=num_crossings(medians))
        place = first_crossing(places, medians)
        if place is not None:
            exact = cost != "time"
            interval = None if exact else crossing_interval(places, log_ratios, np.random.default_rng(seed))
            unit = "regions" if is_of_regions else "%"
            yield value(name="crossing", value=place, unit=unit, interval=interval)
