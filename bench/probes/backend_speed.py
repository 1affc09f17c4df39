"""Table 2 by measurement, the part that needs a clock: how long each operation of a stage takes on a backend.

Every operation is timed in turn with the same one on Dense, which convolves all cells in channels-last layout and
returns the active ones. The ratio of the two survives a busy machine better than either time. On Dense itself the
ratio is that of a program with itself: its distance from 1 is the noise.
"""

import torch

from bench.backends.stages import (
    draw_activity,
    grid_type,
    operating_point,
    operations_in,
    operations_into,
    stage_entries,
    stages_protocol,
    weights_like,
)
from bench.contract import Context, Measurement
from bench.names import OPERATIONS
from bench.record import Scalar, Subject, Value
from bench.rulers.in_turn import MIN_REPETITIONS, alternate
from bench.rulers.repeated import beside_dense
from bench.store import Array
from sparsity import Unsupported, backend

VERSION = 1
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False

REPETITIONS = 9
LIMIT_S = 5.0
"""Seconds for one operation of one stage, warm-up excluded; at least three repetitions are made."""


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say at which operating point and how often; the machine is in the record."""
    regions, budget = operating_point(context)
    return {
        "regions": regions,
        "budget": budget,
        **stages_protocol(context),
        "warm_up": 1,
        "repetitions": f"{MIN_REPETITIONS} to {REPETITIONS} in {LIMIT_S:g} s",
        "reference": "dense, in turn",
    }


@torch.inference_mode()
def measure(subject: Subject, context: Context) -> Measurement:
    """Time every operation that the backend can do. Intervals are quartiles over the repetitions."""
    made = draw_activity(*operating_point(context), context)
    values: list[Value] = []
    samples: dict[str, Array] = {}
    stages = zip(
        stage_entries(grid_type(subject), made, context), stage_entries(backend("dense"), made, context), strict=True
    )
    for stage, (ours, dense) in enumerate(stages, start=1):
        weights = weights_like(ours.grid.active, context)
        rivals, references = (
            operations_in(arrival.grid, weights) | operations_into(arrival, weights) for arrival in (ours, dense)
        )
        for name in OPERATIONS:
            pair = {"ours": rivals[name], "dense": references[name]}
            try:
                times = alternate(pair, context.device, repetitions=REPETITIONS, limit_s=LIMIT_S)
            except Unsupported:
                continue
            for repeated in beside_dense(times["ours"], times["dense"]):
                value = repeated.row(stage=stage, operation=name)
                values.append(value)
                samples[value.label] = repeated.array
    return Measurement(values=values, samples=samples)
