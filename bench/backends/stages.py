"""The sparse stages of EffSeg as grids on a backend, and by name what a head does there.

All that is measured of a backend without a head uses the same activity, features and weights, drawn from one seed, so
that backends differ in nothing else.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bench.backends.activity import FIRST_SIDE, Activity, activity, grids
from bench.contract import Context
from bench.model.build import backend_name
from bench.names import STAGES
from bench.record import Scalar, Subject
from sparsity import Grid, GridType, backend, conv2d, deform_conv2d, sfm, window

PAPER_REGIONS = 100
PAPER_BUDGET = 10_000
FEATURES = (256, 128, 64, 32)
"""Feature size of stage 0 and of the three sparse stages (the paper's EffSeg)."""

REGIONS_OF_STAGE = (32, 12, 6)
"""Regions of a sweep over active fractions: fewer where lattices are larger, so that all stages take about as long."""

DILATIONS = (1, 3, 5)
"""Of the semantic fusion module (Sec. 3.3)."""

Operation = Callable[[], Grid | Tensor]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the operations of a stage with F features; `halve` takes the 2F of the stage before."""

    linear: Float[Tensor, "F F"]
    halve: Float[Tensor, "F 2*F"]
    branches: Float[Tensor, "D F F 3 3"]
    bias: Float[Tensor, "D F"]
    shifts: Float[Tensor, "A 9 2"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StageEntry:
    """A grid on its way into a stage: before, its kept rows [K] and their children, just split, and in the stage."""

    before: Grid
    keep: Int[Tensor, "K"]
    children: Float[Tensor, "4*K F"]
    split: Grid
    grid: Grid


def subject_label(subject: Subject) -> str:
    """Name of the subject's backend, with its kernel as on the command line: `sps`, `sps:native`."""
    name = backend_name(subject)
    if name is None:
        raise ValueError(
            f"The subject {subject.name} has no backend. This probe measures a backend; name one, such as sps."
        )
    return name


def operating_point(context: Context) -> tuple[int, int]:
    """Regions and refined cells: EffSeg's, or the user's. Raises ValueError where there are none."""
    regions = PAPER_REGIONS if context.regions is None else context.regions
    budget = PAPER_BUDGET if context.budget is None else context.budget
    if regions < 1 or budget < 1:
        raise ValueError(
            f"Asked for {regions} regions and a budget of {budget} cells. Both must be at least 1. "
            "Give other `regions` and `budget`, or leave them out for EffSeg's."
        )
    return regions, budget


def regions_of_stages(context: Context) -> tuple[int, ...]:
    """Regions of a sweep over active fractions, by stage: those given, or ours."""
    return REGIONS_OF_STAGE if context.regions is None else (operating_point(context)[0],) * len(STAGES)


def budget_of(percent: int, stage: int, regions: int) -> int:
    """Refined cells that make so many percent of the cells of a stage active."""
    cells = regions * (FIRST_SIDE * 2**stage) ** 2
    return max(1, round(cells * percent / 400))  # a refined cell makes four active ones


def stages_protocol(context: Context) -> dict[str, Scalar]:
    """The part of a protocol that all measurements of a backend share."""
    return {
        "features": "/".join(str(number) for number in FEATURES),
        "activity": "objects",
        "dtype": context.dtype,
        "device": context.device,
        "seed": context.seed,
    }


def stage_grids(kind: GridType, made: Activity, context: Context) -> list[Grid]:
    """The grid of every stage of an activity, the first included. All backends get the same features."""
    generator = torch.Generator().manual_seed(context.seed)
    dtype: torch.dtype = getattr(torch, context.dtype)
    return grids(kind, made, FEATURES[: len(made.keeps) + 1], generator, dtype=dtype, device=context.device)


def stage_entries(kind: GridType, made: Activity, context: Context) -> Iterator[StageEntry]:
    """The way of a backend into every stage of an activity after the first."""
    of_stage = stage_grids(kind, made, context)
    generator = torch.Generator().manual_seed(context.seed + 1)
    for keep, before, grid in zip(made.keeps, of_stage[:-1], of_stage[1:], strict=True):
        children = torch.randn(4 * len(keep), before.active.shape[1], generator=generator).to(before.active)
        kept = keep.to(context.device)
        split = before.subdivide(kept, children)
        yield StageEntry(before=before, keep=kept, children=children, split=split, grid=grid)


def draw_activity(regions: int, budget: int, context: Context, *, stages: int = len(STAGES)) -> Activity:
    """The activity of the run's seed."""
    return activity(regions, budget, torch.Generator().manual_seed(context.seed), stages=stages)


def weights_like(rows: Float[Tensor, "A F"], context: Context) -> Weights:
    """Draw the weights of a stage, scaled so that no operation makes large numbers, in type and device of `rows`."""
    features = rows.shape[1]
    generator = torch.Generator().manual_seed(context.seed)

    def draw(*shape: int, scale: float) -> Tensor:
        return (scale * torch.randn(*shape, generator=generator)).to(rows)

    return Weights(
        linear=draw(features, features, scale=features**-0.5),
        halve=draw(features, 2 * features, scale=(2 * features) ** -0.5),
        branches=draw(len(DILATIONS), features, features, 3, 3, scale=(9 * features) ** -0.5),
        bias=draw(len(DILATIONS), features, scale=0.1),
        # About half a cell: taps between cells, where a deformable convolution must interpolate.
        shifts=draw(len(rows), 9, 2, scale=0.5),
    )


def operations_in(grid: Grid, weights: Weights) -> dict[str, Operation]:
    """Operations on the active cells of a stage; calling one raises `Unsupported` where the backend cannot."""
    kernel, bias = weights.branches[0], weights.bias[0]
    displacement = window(3, 1, weights.shifts.device) + weights.shifts
    return {
        "linear": lambda: grid.with_active(F.linear(grid.active, weights.linear).relu()),
        "conv": lambda: conv2d(grid, kernel, bias),
        "sfm": lambda: sfm(grid, weights.branches, weights.bias, DILATIONS),
        "deform": lambda: deform_conv2d(grid, kernel, bias, displacement),
    }


def operations_into(entry: StageEntry, weights: Weights) -> dict[str, Operation]:
    """Operations of a head on the way into a stage, with all that is stored."""
    return {
        "subdivide": lambda: entry.before.subdivide(entry.keep, entry.children),
        "halve": lambda: entry.split.map(lambda rows: F.linear(rows, weights.halve).relu()),
    }


def macs_of_cells(operation: str, cells: int, features: int) -> int:
    """Multiply-adds of `linear`, `conv` or `sfm` at so many cells, in closed form."""
    taps = {"linear": 1, "conv": 9, "sfm": 9 * len(DILATIONS)}[operation]
    return cells * taps * features**2


def grid_type(subject: Subject) -> GridType:
    """The backend of a subject. Raises ValueError where it has none, and for unknown names."""
    return backend(subject_label(subject))
