"""Bytes that a backend stores at every sparse stage of EffSeg, and the most that an operation needs on top.

Stored bytes are `Grid.storage` by part, beside the closed formula where Table 2's methods have one. A peak is that of
one forward operation, its result included, without the grid and the weights that were there before (`_peak`). No
model is built and no image read: the stages are made up, at 100 regions and 10,000 refined cells unless the context
says otherwise.
"""

from collections.abc import Iterator

import torch

from bench.plan import Context, Measurement
from bench.probes._peak import peak_bytes
from bench.probes._stages import (
    Arrival,
    Operation,
    arrivals,
    draw_activity,
    grid_type,
    operating_point,
    operations_in,
    operations_into,
    stages_protocol,
    weights_like,
)
from bench.probes._storage import FORMULAS, Census, censuses
from bench.record import Scalar, Subject
from sparsity import Unsupported

VERSION = 1
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say at which operating point, and by whose account of the memory."""
    regions, budget = operating_point(context)
    on_gpu = torch.device(context.device).type == "cuda"
    return {
        "regions": regions,
        "budget": budget,
        **stages_protocol(context),
        "peak": "max_memory_allocated" if on_gpu else "torch profiler, allocator events",
    }


@torch.no_grad()
def measure(subject: Subject, context: Context) -> Measurement:
    """Measure every stage after the dense one; operations that the backend cannot do have no peak."""
    made = draw_activity(*operating_point(context), context)
    values: dict[str, int | float] = {}
    of_stages = zip(arrivals(grid_type(subject), made, context), censuses(made), strict=True)
    for stage, (arrival, census) in enumerate(of_stages, start=1):
        of_stage = dict(_stored(str(subject.backend), arrival, census)) | dict(_peaks(arrival, context))
        values |= {f"stage{stage}_{name}": value for name, value in of_stage.items()}
    # The two numbers that say what a head needs: its largest stage, its hungriest operation.
    values |= {
        "bytes_stored": max(value for name, value in values.items() if name.endswith("bytes_stored")),
        "bytes_peak": max(value for name, value in values.items() if name.endswith("peak_bytes")),
    }
    return Measurement(values=values, units=dict.fromkeys(values, "bytes"))


def _stored(backend: str, arrival: Arrival, census: Census) -> Iterator[tuple[str, int]]:
    parts = arrival.grid.storage()
    yield "bytes_stored", sum(parts.values())
    for part, size in parts.items():
        yield f"bytes_{part}", size
    if backend in FORMULAS:
        row = arrival.grid.active[:1].nbytes
        yield "bytes_formula", FORMULAS[backend](census, row)


def _peaks(arrival: Arrival, context: Context) -> Iterator[tuple[str, int]]:
    weights = weights_like(arrival.grid.active, context)
    operations: dict[str, Operation] = operations_in(arrival.grid, weights) | operations_into(arrival, weights)
    for name, operation in operations.items():
        try:
            yield f"{name}_peak_bytes", peak_bytes(operation, context.device)
        except Unsupported:
            continue
