"""The most memory that operations of a backend need while they run, at every sparse stage of EffSeg.

A peak is that of one forward operation, its result included, on top of the grid and the weights that were there before
(`bench.rulers.peak_memory`). What a grid stores between operations is the subject of `backend_cost`; here is only the
largest stage. No model is built and no image read: the stages are made up, at 100 regions and 10,000 refined cells
unless the context says otherwise.
"""

from collections.abc import Iterator

import torch

from bench.backends.stages import (
    StageEntry,
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
from bench.record import Scalar, Subject, Value, rows
from bench.rulers.peak_memory import account, peak_bytes
from sparsity import Unsupported

VERSION = 2
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say at which operating point, and by whose account of the memory."""
    regions, budget = operating_point(context)
    return {
        "regions": regions,
        "budget": budget,
        **stages_protocol(context),
        "peak": account(context.device),
    }


@torch.no_grad()
def measure(subject: Subject, context: Context) -> Measurement:
    """Measure every stage after the dense one; operations that the backend cannot do have no peak."""
    made = draw_activity(*operating_point(context), context)
    values: list[Value] = []
    stored = []
    for stage, arrival in enumerate(stage_entries(grid_type(subject), made, context), start=1):
        stored.append(sum(arrival.grid.storage().values()))
        for operation, peak in _peaks(arrival, context):
            values += rows({"peak_bytes": peak}, "bytes", stage=stage, operation=operation)
    # The two numbers that say what a head needs: its largest stage, its hungriest operation.
    needs = {"bytes_stored": max(stored), "bytes_peak": max(int(peak.value) for peak in values)}
    return Measurement(values=(*values, *rows(needs, "bytes")))


def _peaks(arrival: StageEntry, context: Context) -> Iterator[tuple[str, int]]:
    weights = weights_like(arrival.grid.active, context)
    for name, operation in (operations_in(arrival.grid, weights) | operations_into(arrival, weights)).items():
        try:
            yield name, peak_bytes(operation, context.device)
        except Unsupported:
            continue
