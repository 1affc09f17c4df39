"""Training of FQDetV2: as FQDet v1, but classes learn how well the box fits, and boxes by their overlap.

Classes: quality focal loss (Li et al., Generalized Focal Loss, NeurIPS 2020). Boxes: smooth extended IoU, an overlap
that goes below 0, so that boxes apart attract each other. Both, and their weights, are those of the authors' code.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bench.detector.losses import MatchedQueries, selection_loss
from bench.detector.output import FQDetOutput

_CLASS_WEIGHT = 0.5
_BOX_WEIGHT = 1.85
_SMOOTH_BELOW = 0.1  # distances below cost their square
_SMALLEST_UNION = 1e-6  # square pixels


def quality_losses(
    output: FQDetOutput, boxes: Sequence[Tensor], labels: Sequence[Tensor], anchors: Float[Tensor, "N 4"]
) -> tuple[dict[str, Tensor], list[MatchedQueries]]:
    """Losses `selection`, `class` and `box`, summed over the batch, and the matched pairs of every image.

    Arguments as of `bench.detector.losses.detector_losses`. A matched query should say the IoU of its box as the
    probability of its object's class and 0 of all others, another one "no object" with certainty.
    """
    selection, matches = selection_loss(output, boxes, anchors)
    image = torch.cat([torch.full_like(of.query, number) for number, of in enumerate(matches)])
    query = torch.cat([of.query for of in matches])
    label = torch.cat([of_image[of.object] for of_image, of in zip(labels, matches, strict=True)])
    true = torch.cat([of_image[of.object] for of_image, of in zip(boxes, matches, strict=True)])
    distance = extended_distance(output.boxes[image, query], true)

    quality = torch.zeros_like(output.class_logits)
    quality[..., -1] = 1
    quality[image, query, -1] = 0
    quality[image, query, label] = (1 - distance.detach()).clamp(min=0).to(quality.dtype)
    losses = {
        "selection": selection,
        "class": _CLASS_WEIGHT * quality_focal_loss(output.class_logits, quality),
        "box": _BOX_WEIGHT
        * F.smooth_l1_loss(distance, torch.zeros_like(distance), reduction="sum", beta=_SMOOTH_BELOW),
    }
    return losses, matches


def quality_focal_loss(logits: Float[Tensor, "*N"], quality: Float[Tensor, "*N"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of logits and probabilities `quality`, weighted by the square of what is missing, summed."""
    missing = (quality - logits.sigmoid()).square()
    return (F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * missing).sum()


def extended_distance(first: Float[Tensor, "M 4"], second: Float[Tensor, "M 4"]) -> Float[Tensor, "M"]:
    """1 - IoU of pairs of boxes (xyxy): 0 for equal boxes, above 1 and growing with the gap where they do not overlap.

    The intersection is extended below 0: areas are taken from the upper left corner of the pair's common hull, which
    gives the ordinary one where boxes overlap.
    """
    corner = torch.minimum(first[:, :2], second[:, :2])
    start = torch.maximum(first[:, :2], second[:, :2]) - corner
    end = torch.minimum(first[:, 2:], second[:, 2:]) - corner
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    crossed = start[:, 0] * high[:, 1] + high[:, 0] * start[:, 1]
    intersection = end.prod(dim=1) + low.prod(dim=1) - crossed
    areas = (first[:, 2:] - first[:, :2]).prod(dim=1) + (second[:, 2:] - second[:, :2]).prod(dim=1)
    return 1 - intersection / (areas - intersection + _SMALLEST_UNION)
