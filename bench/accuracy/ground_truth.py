"""Annotated objects as columns, from an annotation file of COCO or LVIS."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """Objects and what was looked for. `image` and `category` are positions in `image_ids` and `category_ids`.

    `image_ids` and `category_ids` ascend; `sizes` are (height, width). Objects are in the order of the file.
    `area` is the annotation's (that of the mask where the file has none), `boxes` are (x, y, width, height).
    `counts[i]` is the mask of object i as COCO's compressed run lengths, at the size of its image.
    `negative` and `not_exhaustive` are LVIS's lists as rows (image, category): classes known to be absent from an
    image, and classes of which not every object is annotated. `frequencies` is LVIS's letter r, c or f per category,
    "" where the file has none. `sha256` is that of the file's content, `version` "LVIS v0.5", "COCO", ... as far as it
    can be told.
    """

    name: str
    sha256: str
    version: str
    image_ids: Int64[np.ndarray, "I"]
    sizes: Int64[np.ndarray, "I 2"]
    category_ids: Int64[np.ndarray, "C"]
    category_names: tuple[str, ...]
    frequencies: tuple[str, ...]
    image: Int64[np.ndarray, "G"]
    category: Int64[np.ndarray, "G"]
    area: Float64[np.ndarray, "G"]
    boxes: Float64[np.ndarray, "G 4"]
    crowd: Bool[np.ndarray, "G"]
    ignore: Bool[np.ndarray, "G"]
    counts: tuple[bytes, ...]
    negative: Int64[np.ndarray, "N 2"]
    not_exhaustive: Int64[np.ndarray, "N 2"]
