"""Boundaries by their definition: what is left of a mask when it is eroded again and again (boundary-iou-api)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


def slow_band(mask: dict[str, Any], ratio: float) -> dict[str, Any]:
    """The band of a mask, both as run lengths; `ratio` of the image diagonal wide."""
    bitmap = coco_mask.decode(mask)
    distance = max(1, round(ratio * float(np.hypot(*bitmap.shape))))
    return coco_mask.encode(np.asfortranarray(bitmap - eroded(bitmap, distance)))


def eroded(bitmap: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """Take away, so many times, every pixel that has a zero among its eight neighbours; there are zeros all around."""
    height, width = bitmap.shape
    for _ in range(times):
        around = np.pad(bitmap, 1)
        bitmap = np.min([around[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
    return bitmap
