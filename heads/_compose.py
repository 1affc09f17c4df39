"""Composing the stages of a head into one map per region, and the boundary of a mask on its lattice."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from heads._contract import Stage


def compose(stages: Sequence[Stage]) -> Float[Tensor, "R S S"]:
    """Compose the logits of stages into one map per region, each stage upsampling and overwriting those before.

    May be called on the first stages only: heads select on the mask so far. The first stage must be dense.
    """
    composed = stages[0].mask_logits
    assert composed.ndim == 3, "the first stage of a head is dense"
    for stage in stages[1:]:
        if stage.overwrite == "all":
            composed = stage.mask_logits
            continue
        before, composed = composed, _upsample(composed, stage)
        if stage.overwrite == "boundary":
            # The indicator of cells that are NOT at the boundary is upsampled, so that boundaries stay thick.
            keep = _upsample((~boundary(before >= 0, 1)).to(before.dtype), stage) >= 0.5
            composed = torch.where(keep, composed, stage.mask_logits)
        else:
            assert stage.region is not None
            assert stage.point is not None
            column, row = (stage.point * stage.side).long().unbind(1)
            cell = (stage.region * stage.side + row) * stage.side + column
            values = stage.mask_logits.to(composed.dtype)
            composed = composed.flatten().index_copy(0, cell, values).view(composed.shape)
    return composed


def _upsample(maps: Float[Tensor, "R S S"], stage: Stage) -> Float[Tensor, "R S2 S2"]:
    """Resize maps to the side of a stage, bilinear in the stage's convention."""
    size = (stage.side, stage.side)
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=stage.align_corners)[:, 0]


def boundary(mask: Bool[Tensor, "R S S"], width: int) -> Bool[Tensor, "R S S"]:
    """Mark cells with more than a tenth of the other kind in their window of `2 * width + 1` cells (RefineMask).

    Everything outside the map is background: width 1 takes one such cell, width 2 takes three.
    """
    window = 2 * width + 1
    foreground = F.avg_pool2d(mask[:, None].float(), window, stride=1, padding=width, divisor_override=1)[:, 0]
    others = torch.where(mask, window**2 - foreground, foreground)
    return others * 10 > window**2
