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
from bench.record import Scalar, Subject
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
    values: dict[str, int | float] = {
        f"supports_{name}": int(supported) for name, supported in abilities(kind, context.device).items()
    }
    made = draw_activity(*operating_point(context), context)
    stages = zip(stage_entries(kind, made, context), censuses(made), made.active_fractions, strict=True)
    for stage, (arrival, census, fraction) in enumerate(stages, start=1):
        found = {"active_fraction": fraction, "cells_active": census.active, "features_passive": census.passive}
        found |= dict(_bytes(str(subject.backend), arrival.grid, census))
        found |= dict(_macs(arrival, census, context))
        values |= {f"stage{stage}_{name}": value for name, value in found.items()}
    return Measurement(values=values, units={name: _unit(name) for name in values})


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


def _bytes(backend: str, grid: Grid, census: Census) -> Iterator[tuple[str, int]]:
    """Bytes stored by part and in all; in closed form where there is one; of Dense, for comparison.

    A backend with `copied_bytes` may also be read literally: nine feature rows for every active cell.
    """
    row = grid.active.shape[1] * grid.active.element_size()
    stored = grid.storage()
    yield from ((f"bytes_{part}", number) for part, number in stored.items())
    yield "bytes", sum(stored.values())
    yield "bytes_dense", FORMULAS["dense"](census, row)
    if backend in FORMULAS:
        yield "bytes_formula", FORMULAS[backend](census, row)
    copied: int | None = getattr(grid, "copied_bytes", None)
    if copied is not None:
        # Without ids, but with the list of active cells, which every method needs.
        yield "bytes_nine_rows", copied + grid.cells.nbytes


def _macs(arrival: StageEntry, census: Census, context: Context) -> Iterator[tuple[str, int]]:
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
        yield f"{name}_macs", count.total
    for name in ("linear", "conv", "sfm"):
        yield f"{name}_macs_active", macs_of_cells(name, census.active, features)
        yield f"{name}_macs_all", macs_of_cells(name, census.cells, features)


def _unit(name: str) -> str:
    if "_macs" in name:
        return "MACs"
    return "bytes" if "_bytes" in name else "cells" if name.endswith("cells_active") else ""
