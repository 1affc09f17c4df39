"""Anchors: nine boxes at every cell of a pyramid, and which of them fit a box best."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import box_iou

ANCHORS_PER_CELL = 9
_SCALES = tuple(2 ** (j / 3) for j in range(3))
_RATIOS = (0.5, 1.0, 2.0)  # height / width
_OVERLAPS_AT_ONCE = 2**22  # boxes x anchors per step: 16 MiB a temporary; more is slower on a CPU, fewer on a GPU


def pyramid_anchors(
    shapes: Mapping[int, tuple[int, int]], device: torch.device, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "N 4"]:
    """Anchors (xyxy, input pixels) of a pyramid given by the (height, width) of its levels.

    Flat index: (first cell of the level + row * width + column) * 9 + type, levels in the order given; the type runs
    over sizes 4 * 2^(level + j/3), then over the aspect ratios 1/2, 1, 2 (h/w). Anchors are not clipped to the image.
    """
    anchors = []
    for level, (height, width) in shapes.items():
        stride = 2**level
        sides = [4 * stride * scale for scale in _SCALES]
        extents = [(side / math.sqrt(ratio), side * math.sqrt(ratio)) for side in sides for ratio in _RATIOS]
        half = torch.tensor(extents, device=device, dtype=dtype) / 2
        y = (torch.arange(height, device=device, dtype=dtype) + 0.5) * stride
        x = (torch.arange(width, device=device, dtype=dtype) + 0.5) * stride
        centres = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1)[:, :, None]
        anchors.append(torch.cat((centres - half, centres + half), dim=-1).view(-1, 4))
    return torch.cat(anchors)


def best_anchors(
    boxes: Float[Tensor, "G 4"], anchors: Float[Tensor, "N 4"], num_best: int = 1
) -> Int[Tensor, "G {num_best}"]:
    """Flat indices of the anchors that overlap each box most (IoU), best first.

    Distinct boxes may share anchors. A box without area overlaps nothing and gets arbitrary ones.
    """
    rows = max(1, _OVERLAPS_AT_ONCE // len(anchors))
    best = [box_iou(chunk, anchors).topk(num_best, dim=1).indices for chunk in boxes.split(rows)]
    return torch.cat(best)
