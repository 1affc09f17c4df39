"""Segmentations of many objects -> compressed run lengths that every library reads alike, with areas and boxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from pycocotools import mask as coco_mask

from bench.data.run_lengths import Damage, measure
from bench.data.segmentation import Segmentation, compress


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Masks as compressed run lengths, their pixels and their bounding boxes (x, y, width, height)."""

    counts: tuple[bytes, ...]
    area: Float64[np.ndarray, "N"]
    boxes: Float64[np.ndarray, "N 4"]


def encode(
    segmentations: Sequence[Segmentation], sizes: Int64[np.ndarray, "N 2"], place: Callable[[int], str]
) -> Masks:
    """Encode and check the masks of images of the given sizes (height, width); `place` names a mask in messages.

    Run lengths with empty runs inside are encoded again without them: pycocotools takes such masks, but its boxes and
    overlaps of them can be wrong. Raises ValueError for segmentations that are damaged or of another size.
    """
    counts = []
    for index, (segmentation, (height, width)) in enumerate(zip(segmentations, sizes.tolist(), strict=True)):
        try:
            counts.append(compress(segmentation, height, width))
        except ValueError as error:
            raise ValueError(f"{place(index)}: {error}") from error
    extents = measure(counts, sizes)
    if isinstance(extents, Damage):
        raise ValueError(f"{place(extents.index)} {extents.reason}")
    for index in np.flatnonzero(~extents.canonical).tolist():
        bitmap = coco_mask.decode({"size": sizes[index].tolist(), "counts": counts[index]})
        counts[index] = coco_mask.encode(bitmap)["counts"]
    return Masks(counts=tuple(counts), area=extents.area, boxes=extents.boxes)
