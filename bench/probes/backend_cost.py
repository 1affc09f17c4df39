"""Table 2 by measurement, the part that is the same on every machine: abilities, multiply-adds and bytes of a backend.

An ability is what a backend does without raising `Unsupported`; whether it does it right is for its certificate. The
stages are EffSeg's: 100 regions and 10,000 refined cells, unless the context says otherwise.
"""

from collections.abc import Callable, Iterator

import torch

from bench.backends.activity import activity
from bench.backends.stages import (
    StageEntry,
    draw_activity,
    grid_type,
    macs_of_cells,
    operating_point,
    operations_in,
    operations_into,
    stage_entries,
    stages_protocol,
    weights_like,
)
from bench.backends.storage import FORMULAS, Census, censuses
from bench.contract import Context, Measurement
from bench.record import Scalar, Subject, Value, rows
from bench.rulers.multiply_adds import count_torch, counting
from sparsity import Grid, GridType, Unsupported, conv2d, deform_conv2d, window

VERSION = 2
TIMED = False
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False

COUNTED = ("linear", "conv", "sfm", "deform", "halve")


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say at which operating point; multiply-adds are counted by torch's counter with our handlers."""
    regions, budget = operating_point(context)
    return {"regions": regions, "budget": budget, **stages_protocol(context)}


@torch.no_grad()
def measure(subject: Subject, context: Context) -> Measurement:
    """Try every ability, then count every stage. Operations that the backend cannot do have no multiply-adds."""
    kind = grid_type(subject)
    able = abilities(kind, context.device)
    values = [Value(name="supports", value=int(can), at={"ability": ability}) for ability, can in able.items()]
    made = draw_activity(*operating_point(context), context)
    stages = zip(stage_entries(kind, made, context), censuses(made), made.active_fractions, strict=True)
    for stage, (arrival, census, fraction) in enumerate(stages, start=1):
        values += rows({"active_fraction": fraction}, stage=stage)
        values += rows({"cells_active": census.active}, "cells", stage=stage)
        values += rows({"features_passive": census.passive}, stage=stage)
        values += _bytes(stage, str(subject.backend), arrival.grid, census)
        values += _macs(stage, arrival, census, context)
    return Measurement(values=values)


def abilities(kind: GridType, device: str) -> dict[str, bool]:
    """Whether a backend can do each 2D operation, tried on a small stage with active and passive cells."""
    features = 4
    generator = torch.Generator().manual_seed(0)
    (keep,) = activity(2, 20, generator, stages=1, side=4).keeps
    start = kind.dense(torch.randn(2, features, 4, 4, generator=generator).to(device))
    grid = start.subdivide(keep.to(device), torch.randn(4 * len(keep), features, generator=generator).to(device))
    taps = window(3, 1, torch.device(device))
    points = torch.rand(len(grid.cells), 9, 2, generator=generator).to(device)

    def kernel(size: int) -> torch.Tensor:
        return torch.ones(features, features, size, size, device=device)

    tried: dict[str, Callable[[], object]] = {
        "neighbors": lambda: grid.gather(taps),
        "conv": lambda: conv2d(grid, kernel(3), None),
        "dilated": lambda: conv2d(grid, kernel(3), None, dilation=3),
        "5x5": lambda: conv2d(grid, kernel(5), None),
        "deformable": lambda: deform_conv2d(grid, kernel(3), None, points),
        "bilinear": lambda: grid.sample(points),
    }
    return {name: _can(operation) for name, operation in tried.items()}


def _can(operation: Callable[[], object]) -> bool:
    try:
        operation()
    except Unsupported:
        return False
    return True


def _bytes(stage: int, backend: str, grid: Grid, census: Census) -> Iterator[Value]:
    """Bytes stored by part and in all; in closed form where there is one; of Dense, for comparison.

    A backend with `copied_bytes` may also be read literally: nine feature rows for every active cell.
    """
    row = grid.active.shape[1] * grid.active.element_size()
    stored = grid.storage()
    for part, number in stored.items():
        yield from rows({"bytes": number}, "bytes", stage=stage, part=part)
    found = {"bytes": sum(stored.values()), "bytes_dense": FORMULAS["dense"](census, row)}
    if backend in FORMULAS:
        found["bytes_formula"] = FORMULAS[backend](census, row)
    copied: int | None = getattr(grid, "copied_bytes", None)
    if copied is not None:
        # Without ids, but with the list of active cells, which every method needs.
        found["bytes_nine_rows"] = copied + grid.cells.nbytes
    yield from rows(found, "bytes", stage=stage)


def _macs(stage: int, arrival: StageEntry, census: Census, context: Context) -> Iterator[Value]:
    """Multiply-adds counted; of `linear`, `conv` and `sfm` also in closed form at the active and at all cells."""
    features = arrival.grid.active.shape[1]
    weights = weights_like(arrival.grid.active, context)
    of_stage = operations_in(arrival.grid, weights) | operations_into(arrival, weights)
    for name in COUNTED:
        try:
            with counting():
                count, _ = count_torch(of_stage[name])
        except Unsupported:
            continue
        yield from rows({"macs": count.total}, "MACs", stage=stage, operation=name)
    for name in ("linear", "conv", "sfm"):
        for cells, number in (("active", census.active), ("all", census.cells)):
            macs = macs_of_cells(name, number, features)
            yield from rows({"macs": macs}, "MACs", stage=stage, operation=name, cells=cells)
