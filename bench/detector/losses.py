"""Training of FQDet v1: static top-k matching, focal loss of selection and classes, L1 of box deltas (Sec. 3.1).

Matching and the loss of selection serve FQDetV2 too, whose other losses are in `bench.detector.quality_losses`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from bench.detector.anchors import best_anchors
from bench.detector.boxes import centre_size, encode
from bench.detector.output import FQDetOutput

_NUM_SELECTED = 5  # anchors per object that selection should find
_NUM_MATCHED = 15  # anchors per object whose queries are matched to it


@dataclass(frozen=True, kw_only=True)
class MatchedQueries:
    """Matched pairs of one image: query `query[m]` learns object `object[m]`. A query has at most one object."""

    query: Int[Tensor, "M"]
    object: Int[Tensor, "M"]


def detector_losses(
    output: FQDetOutput, boxes: Sequence[Tensor], labels: Sequence[Tensor], anchors: Float[Tensor, "N 4"]
) -> tuple[dict[str, Tensor], list[MatchedQueries]]:
    """Losses `selection`, `class` and `box`, summed over the batch, and the matched pairs of every image.

    `boxes[b]` [G 4] xyxy in input pixels and `labels[b]` [G] (0-based) are the objects of image b; there may be none.
    Losses are divided neither by objects nor by images. Without a match the box loss is 0, attached to the graph.
    `anchors`: those of the whole pyramid (`FQDet.anchors`).
    """
    selection, matches = selection_loss(output, boxes, anchors)
    no_object = output.class_logits.shape[2] - 1
    classes = torch.full_like(output.anchor_index, no_object)
    box_losses = []
    for image, (objects, classes_of_objects, matched) in enumerate(zip(boxes, labels, matches, strict=True)):
        classes[image, matched.query] = classes_of_objects[matched.object]
        targets = encode(objects[matched.object], output.anchor_boxes[image, matched.query])
        box_losses.append((output.deltas[image, matched.query] - targets).abs().sum())
    one_hot = F.one_hot(classes, no_object + 1).to(output.class_logits.dtype)
    losses = {
        "selection": selection,
        "class": sigmoid_focal_loss(output.class_logits, one_hot, reduction="sum"),
        "box": torch.stack(box_losses).sum(),
    }
    return losses, matches


def selection_loss(
    output: FQDetOutput, boxes: Sequence[Tensor], anchors: Float[Tensor, "N 4"]
) -> tuple[Float[Tensor, ""], list[MatchedQueries]]:
    """The focal loss of all anchors, summed over the batch, and the matched pairs of every image."""
    selected = torch.zeros_like(output.selection_logits)
    matches = []
    for image, objects in enumerate(boxes):
        positive, matched = match(objects, anchors, output.anchor_index[image])
        selected[image] = positive.to(selected.dtype)
        matches.append(matched)
    return sigmoid_focal_loss(output.selection_logits, selected, reduction="sum"), matches


def match(
    boxes: Float[Tensor, "G 4"], anchors: Float[Tensor, "N 4"], anchor_index: Int[Tensor, "Q"]
) -> tuple[Bool[Tensor, "N"], MatchedQueries]:
    """Give which anchors of an image should be selected, and its matched queries; predictions play no part.

    An anchor is positive for selection if it is among the 5 best of any object. A query is matched if its anchor is
    among the 15 best of some object; the object for which its rank is best wins, the first one among equals.
    Objects without area have no anchors. Overlaps are those of whole anchors, not clipped to the image.
    """
    _, sizes = centre_size(boxes)
    objects = (sizes > 0).all(dim=1).nonzero()[:, 0]
    num_objects, num_ranks = len(objects), min(_NUM_MATCHED, len(anchors))
    # claim = rank * G + object: the smallest one on an anchor is the best rank and, among equals, the first object.
    unclaimed = num_ranks * num_objects
    claims = torch.full((len(anchors),), unclaimed, device=boxes.device)
    if num_objects:
        best = best_anchors(boxes[objects], anchors, num_ranks)
        claim = torch.arange(unclaimed, device=boxes.device).view(num_ranks, num_objects).T
        claims.scatter_reduce_(0, best.flatten(), claim.flatten(), "amin")
    positive = claims < min(_NUM_SELECTED, num_ranks) * num_objects
    of_query = claims[anchor_index]
    query = (of_query < unclaimed).nonzero()[:, 0]
    return positive, MatchedQueries(query=query, object=objects[of_query[query] % max(num_objects, 1)])
