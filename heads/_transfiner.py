"""What Mask Transfiner learns beside the mask: where information is lost, the mask's boundary, and "any object"."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heads._contract import Targets
from heads._targets import coverage

LOST_PIXEL = 0.01
LOST_CELL = 0.05


def incoherence_target(targets: Targets, side: int) -> Float[Tensor, "R side side"]:
    """1 in cells where an object's mask changes when its resolution is halved and doubled again (Sec. 3.1)."""
    height, width = targets.masks.shape[1:]
    changed = [targets.masks[:0, ::2, ::2]]
    for mask in targets.masks:
        fine = F.pad(mask[None, None].to(targets.boxes.dtype), (0, width % 2, 0, height % 2), mode="replicate")
        lost = (fine - F.interpolate(F.avg_pool2d(fine, 2), scale_factor=2, mode="bilinear")).abs()
        changed.append(F.avg_pool2d(lost, 2)[0] >= LOST_PIXEL)
    halved = replace(targets, masks=torch.cat(changed), boxes=targets.boxes / 2)
    covered = coverage(halved, side)
    return (covered >= LOST_CELL).to(covered.dtype)


def boundary_target(target: Float[Tensor, "R S S"]) -> Float[Tensor, "R S S"]:
    """1 in cells with one of the other kind among their four neighbours in the box: two cells wide.

    What dilation adds and erosion takes; the border of the box is no boundary.
    """
    down, right = target[:, 1:] != target[:, :-1], target[:, :, 1:] != target[:, :, :-1]
    beside = F.pad(right, (0, 1)) | F.pad(right, (1, 0))
    return (beside | F.pad(down, (0, 0, 0, 1)) | F.pad(down, (0, 0, 1, 0))).to(target.dtype)


def union_target(targets: Targets, like: Float[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """1 where an image has any object, at the size of a map (nearest neighbour)."""
    rows, columns = (
        torch.arange(size, device=like.device) * full // size
        for size, full in zip(like.shape[1:], targets.masks.shape[1:], strict=True)
    )
    masks = targets.masks[:, rows][:, :, columns].to(like.dtype)
    return like.new_zeros(like.shape).index_add(0, targets.image, masks).clamp(max=1)
