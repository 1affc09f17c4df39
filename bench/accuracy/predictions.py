"""Predicted objects as columns, from a COCO results file, checked strictly."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions in the order of the file. `image_id` and `category_id` are the file's ids.

    `counts[i]` is the mask as COCO's compressed run lengths at the size of its image; `mask_area` its pixels.
    `boxes` are (x, y, width, height): the file's, or the mask's bounding box; `box_area` is width * height of these.
    `has_boxes` says that they are the file's. `num_unknown` predictions were left out because no annotation file given
    knows their image or category. `sha256` is that of the file's content.
    """

    name: str
    sha256: str
    image_id: Int64[np.ndarray, "D"]
    category_id: Int64[np.ndarray, "D"]
    score: Float64[np.ndarray, "D"]
    counts: tuple[bytes, ...]
    mask_area: Float64[np.ndarray, "D"]
    boxes: Float64[np.ndarray, "D 4"]
    has_boxes: bool
    num_unknown: int = 0
