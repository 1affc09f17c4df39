"""Box deltas: a box described relative to an anchor, as in Faster R-CNN, without mean and deviation."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_MAX_LOG_RATIO = math.log(1000 / 16)  # a box is at most 62.5 times its anchor: exp cannot overflow early in training


def centre_size(boxes: Float[Tensor, "*N 4"]) -> tuple[Float[Tensor, "*N 2"], Float[Tensor, "*N 2"]]:
    """Split xyxy boxes into their centres (x, y) and sizes (width, height)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low


def encode(boxes: Float[Tensor, "*N 4"], anchors: Float[Tensor, "*N 4"]) -> Float[Tensor, "*N 4"]:
    """Deltas (dx, dy in anchor widths and heights, log ratios of width and height) of boxes with positive sides."""
    centre, size = centre_size(boxes)
    anchor_centre, anchor_size = centre_size(anchors)
    return torch.cat(((centre - anchor_centre) / anchor_size, (size / anchor_size).log()), dim=-1)


def decode(deltas: Float[Tensor, "*N 4"], anchors: Float[Tensor, "*N 4"]) -> Float[Tensor, "*N 4"]:
    """Boxes (xyxy, in the dtype of `anchors`) at the given deltas from their anchors: the inverse of `encode`."""
    deltas = deltas.to(anchors.dtype)
    anchor_centre, anchor_size = centre_size(anchors)
    centre = anchor_centre + deltas[..., :2] * anchor_size
    half = anchor_size * deltas[..., 2:].clamp(max=_MAX_LOG_RATIO).exp() / 2
    return torch.cat((centre - half, centre + half), dim=-1)
