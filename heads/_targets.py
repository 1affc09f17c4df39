"""Ground truth where a head predicts: covered fractions of cells, values at points, and the loss all heads share."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import roi_align

from heads._contract import Stage, Targets
from heads._regions import bilinear_corners, cell_points
from heads._roi_align import check_finite

# RoIAlign reads floating-point maps. Masks are converted by groups of objects of at most this many pixels.
PIXELS_AT_A_TIME = 2**25
# A sum of bilinear weights is 1 only up to rounding: a cell this close to empty or full is not mixed.
ROUNDING = 1e-5


def coverage(targets: Targets, side: int, clip: bool = False) -> Float[Tensor, "R side side"]:
    """Fraction of every cell that the region's object covers (RoIAlign with as many samples as a cell has pixels).

    `clip` cuts boxes at the image border first, as the three baselines do; otherwise, for EffSeg, cells outside the
    image are empty.
    """
    boxes, masks = targets.boxes, targets.masks
    if clip:
        height, width = targets.image_sizes.unbind(1)
        boxes = boxes.clamp(min=0).minimum(torch.stack([width, height, width, height], 1))
    group = max(1, PIXELS_AT_A_TIME // max(1, masks.shape[1] * masks.shape[2]))
    if len(masks) <= group:
        return _coverage(masks, targets.index, boxes, side)
    order = targets.index.argsort(stable=True)
    counts = torch.bincount(targets.index // group, minlength=-(-len(masks) // group)).tolist()
    parts = zip(masks.split(group), targets.index[order].split(counts), boxes[order].split(counts), strict=True)
    covered = [_coverage(objects, index % group, part, side) for objects, index, part in parts]
    return torch.cat(covered)[order.argsort()]


def _coverage(
    masks: Bool[Tensor, "G H W"], index: Int[Tensor, "R"], boxes: Float[Tensor, "R 4"], side: int
) -> Float[Tensor, "R side side"]:
    """Covered fractions for the regions of one group of objects."""
    check_finite(boxes)
    regions = torch.cat([index[:, None].to(boxes.dtype), boxes], 1)
    covered: Tensor = roi_align(masks[:, None].to(boxes.dtype), regions, (side, side), aligned=True)
    return covered[:, 0]


def segmentation_target(covered: Float[Tensor, "*cells"], *, with_half: bool = False) -> Float[Tensor, "*cells"]:
    """1 where a cell is more than half covered, else 0; `with_half` also where exactly half of it is.

    The three baselines count a half, EffSeg does not.
    """
    return (covered >= 0.5 if with_half else covered > 0.5).to(covered.dtype)


def refinement_target(covered: Float[Tensor, "*cells"]) -> Float[Tensor, "*cells"]:
    """1 where a cell is partly covered (mixed cells are worth refining), else 0."""
    return ((covered > ROUNDING) & (covered < 1 - ROUNDING)).to(covered.dtype)


def at_cells(maps: Float[Tensor, "R S S"], stage: Stage) -> Float[Tensor, "A"] | Float[Tensor, "R S S"]:
    """Values of full maps where a stage predicted: the maps themselves for a dense stage."""
    if stage.region is None or stage.point is None:
        return maps
    column, row = (stage.point * stage.side).long().unbind(1)
    return maps[stage.region, row, column]


def mask_values(targets: Targets, region: Int[Tensor, "A"], point: Float[Tensor, "A 2"]) -> Float[Tensor, "A"]:
    """Bilinear samples in [0, 1] of the objects' masks at points in [0, 1]^2 of the regions' boxes."""
    _, height, width = targets.masks.shape
    position = cell_points(targets.boxes, region, point)
    columns, rows, weights = bilinear_corners(position, width, height)
    return (targets.masks[targets.index[region][:, None], rows, columns] * weights).sum(1)


def mask_loss(
    logits: Float[Tensor, "*cells"], target: Float[Tensor, "*cells"], num_regions: int, weight: float = 1.0
) -> Float[Tensor, ""]:
    """Binary cross-entropy, mean over locations, times number of regions and weight.

    The project's losses grow with the number of regions, as the paper's do. Without locations it is 0 and still
    attached to the graph, so that every parameter gets a gradient.
    """
    total = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="sum")
    return total * (weight * num_regions / max(1, logits.numel()))
