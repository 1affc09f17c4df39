"""Where to refine next: the cells with the highest scores, within a budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Budget:
    """How many cells are refined at every stage, and who shares them.

    `image`: the best `cells` of an image (EffSeg). `per_region`: the best `cells` of every region (PointRend).
    `region_pool`: the best `cells` times number of regions of an image, wherever they lie. `cells=None` refines all,
    and so does a budget of more cells than there are.
    A budget is never shared between images: what a head predicts must not depend on who shares the batch.
    """

    cells: int | None
    scope: Literal["image", "per_region", "region_pool"] = "image"

    def __post_init__(self) -> None:
        """Raise ValueError for a budget that refines nothing."""
        if self.cells is not None and self.cells < 1:
            raise ValueError(
                f"A budget of {self.cells} cells refines nothing; expected at least 1. Use None to refine all."
            )


def top_cells(
    scores: Float[Tensor, "A"], counts: Sequence[int], region_counts: Sequence[int], budget: Budget
) -> tuple[Int[Tensor, "K"], tuple[int, ...]]:
    """Choose the active cells to refine: their ascending rows, and how many they are per image.

    `counts` are the active cells and `region_counts` the regions per image. Shapes depend on these host numbers
    alone, so nothing waits for the device. Under `per_region` all regions must have the same number of cells.
    """
    if budget.cells is None:
        return torch.arange(len(scores), device=scores.device), tuple(counts)
    if budget.scope == "per_region":
        regions = sum(region_counts)
        keep = top_per_region(scores.view(regions, len(scores) // max(regions, 1)), budget.cells)
        return keep.flatten(), tuple(keep.shape[1] * number for number in region_counts)
    limits = [budget.cells * (number if budget.scope == "region_pool" else 1) for number in region_counts]
    kept = tuple(min(count, limit) for count, limit in zip(counts, limits, strict=True))
    rows, start = [], 0
    for image_scores, count in zip(scores.split(list(counts)), kept, strict=True):
        rows.append(start + _top(image_scores, count))
        start += len(image_scores)
    return torch.cat(rows), kept


def top_per_region(scores: Float[Tensor, "R N"], cells: int) -> Int[Tensor, "R K"]:
    """Choose the best `cells` of every region (all, where it has fewer): flat indices into `scores`, ascending."""
    regions, size = scores.shape
    start = torch.arange(regions, device=scores.device)[:, None] * size
    return start + _top(scores, min(cells, size))


def _top(scores: Float[Tensor, "*batch N"], count: int) -> Int[Tensor, "*batch K"]:
    """Positions of the `count` highest scores of the last axis, ascending; without a search where all are wanted."""
    if count == scores.shape[-1]:
        return torch.arange(count, device=scores.device).expand(scores.shape)
    return scores.topk(count, sorted=False).indices.sort().values
