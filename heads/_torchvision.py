"""Region features as torchvision's Mask R-CNN has them, for its own weights: another RoIAlign than that of the heads.

Positions are not moved by half a cell (`aligned=False`), and a bin has two samples an axis, however many cells it has.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import LevelMapper

from heads._contract import Pyramid
from heads._regions import COARSEST_LEVEL, FINEST_LEVEL
from heads._roi_align import check_finite

_SAMPLES = 2
_USUAL_SIZE, _USUAL_LEVEL = 224, 4  # a box of ImageNet's size is read from P4, as in Eq. 1


def align_as_torchvision(pyramid: Pyramid, boxes: Sequence[Tensor], side: int) -> Float[Tensor, "R C side side"]:
    """RoIAlign of the boxes [G 4] (xyxy, input pixels) of every image by torchvision's module, each from its level.

    Computed in the wider of the two number types, given in that of the pyramid.
    """
    levels = range(FINEST_LEVEL, COARSEST_LEVEL + 1)
    dtype = pyramid[FINEST_LEVEL].dtype
    precision = torch.promote_types(dtype, boxes[0].dtype)
    maps = {str(level): pyramid[level].to(precision) for level in levels}
    places = [of_image.to(precision) for of_image in boxes]
    if places[0].is_meta:
        # Boxes without values have no size. The level changes neither the shape nor the cost of what comes out.
        finest = maps[str(FINEST_LEVEL)]
        return roi_align(finest, places, (side, side), 1 / 2**FINEST_LEVEL, _SAMPLES).to(dtype)
    for of_image in places:
        check_finite(of_image)
    pool = MultiScaleRoIAlign(list(maps), side, _SAMPLES)
    # Said rather than left to it to find out: it takes them from the sizes of the first images that it sees.
    pool.scales = [1 / 2**level for level in levels]
    pool.map_levels = LevelMapper(FINEST_LEVEL, COARSEST_LEVEL, _USUAL_SIZE, _USUAL_LEVEL)
    return pool(maps, places, []).to(dtype)
