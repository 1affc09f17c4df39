"""Which cells get refined, made up: smooth random objects, of which the most ambiguous cells are refined.

One generator for certificates, storage, break-even points and kernels, so that these speak of the same activity. Real
refinement follows the outline of an object; independent random cells would have other neighbours and another locality.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sparsity import Grid, GridType, children_of

FIRST_SIDE = 14
"""Cells to a side in stage 0, where all are active (the paper's EffSeg)."""

_CONTROL_POINTS = 5
"""Random values to a side, between which the field is smooth: about one object with an outline of few bends."""


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Which of the active cells each subdivision keeps: rows [K] int64, ascending, a tensor per stage after the first.

    `regions` lattices of `side` x `side` cells in stage 0; each stage doubles the side.
    """

    regions: int
    side: int
    keeps: tuple[Int[Tensor, "_"], ...]

    @property
    def active_fractions(self) -> tuple[float, ...]:
        """Share of the cells that are active in stages 1, 2, ...; 0 where there are no regions."""
        cells = [self.regions * (self.side * 2**stage) ** 2 for stage in range(1, len(self.keeps) + 1)]
        return tuple(4 * len(keep) / max(total, 1) for keep, total in zip(self.keeps, cells, strict=True))


def activity(
    regions: int,
    budget: int,
    generator: torch.Generator,
    *,
    stages: int = 3,
    side: int = FIRST_SIDE,
    kind: Literal["objects", "scattered"] = "objects",
) -> Activity:
    """Refine the `budget` most ambiguous cells of all regions at every stage; all of them where there are fewer.

    The ambiguity of a cell is how close the mean of its region's field is to zero, the outline of the object.
    `scattered` gives every cell an ambiguity of its own instead. Raises ValueError for negative numbers.
    """
    if regions < 0 or budget < 0:
        raise ValueError(
            f"Asked for {regions} regions and a budget of {budget} cells; expected neither to be negative; "
            "give numbers from 0."
        )
    finest = side * 2 ** (stages - 1)
    if kind == "objects":
        fields = _objects(regions, finest, generator)
    else:
        fields = torch.randn(regions, finest, finest, generator=generator)
    cells = torch.arange(regions * side * side, dtype=torch.int32)
    keeps = []
    for stage in range(stages):
        now = side * 2**stage
        means = fields.unflatten(2, (now, -1)).unflatten(1, (now, -1)).mean((2, 4))
        ambiguity = -means.abs().flatten().index_select(0, cells)
        keep = ambiguity.topk(min(budget, len(cells))).indices.sort().values
        keeps.append(keep)
        cells = children_of(cells[keep], (regions, now, now))
    return Activity(regions=regions, side=side, keeps=tuple(keeps))


def grids(
    backend: GridType,
    activity: Activity,
    feature_sizes: Sequence[int],
    generator: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> list[Grid]:
    """The grid of every stage on a backend, with normally distributed features of `feature_sizes[stage]` columns.

    Passive features shrink with the others from stage to stage, as EffSeg's transition does, here by dropping columns,
    so the sizes must not grow. The same generator state gives every backend the same numbers.
    """

    def draw(*shape: int) -> Float[Tensor, "..."]:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    grid = backend.dense(draw(activity.regions, feature_sizes[0], activity.side, activity.side))
    made = [grid]
    for keep, before, after in zip(activity.keeps, feature_sizes[:-1], feature_sizes[1:], strict=True):
        grid = grid.subdivide(keep.to(device), draw(4 * len(keep), before)).map(_first_columns(after))
        made.append(grid)
    return made


def _first_columns(number: int) -> Callable[[Tensor], Tensor]:
    return lambda rows: rows[:, :number].contiguous()


def _objects(regions: int, side: int, generator: torch.Generator) -> Float[Tensor, "R side side"]:
    """Smooth fields, positive inside an object around the middle of its region."""
    bends = torch.randn(regions, 1, _CONTROL_POINTS, _CONTROL_POINTS, generator=generator)
    smooth = F.interpolate(bends, size=(side, side), mode="bicubic", align_corners=True)[:, 0]
    ticks = torch.linspace(-1, 1, side)
    return smooth + 1.2 - 2.2 * (ticks[:, None] ** 2 + ticks**2)
