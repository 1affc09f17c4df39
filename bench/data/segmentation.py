"""Segmentations of COCO-format files (polygons, run lengths as list or string) -> bitmaps, or COCO's run lengths.

One image's become bitmaps (`rasterise`); those of a whole file become compressed run lengths that every library reads
alike, with areas and boxes (`encode`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from bench.data.run_lengths import Damage, measure

# pycocotools makes five points for every pixel of a polygon's outline, so one far outside would fill the memory.
_FARTHEST = 1e5


class RunLengths(msgspec.Struct, frozen=True):
    """A COCO run-length encoding: `size` (height, width), runs of 0 and 1 in column order, plain or as a string."""

    size: tuple[int, int]
    counts: list[int] | str


Segmentation = list[list[float]] | RunLengths


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Masks as compressed run lengths, their pixels and their bounding boxes (x, y, width, height)."""

    counts: tuple[bytes, ...]
    area: Float64[np.ndarray, "N"]
    boxes: Float64[np.ndarray, "N 4"]


def rasterise(segmentations: Sequence[Segmentation], height: int, width: int) -> NDArray[np.uint8]:
    """Draw segmentations as bitmaps [G H W] of 0 and 1.

    Raises ValueError for run lengths of another size or sum than the image (pycocotools would read beyond them, or
    hang) and for polygons with half a point. A polygon of fewer than three points encloses nothing.
    """
    if not segmentations:
        return np.zeros((0, height, width), np.uint8)
    counts = [compress(segmentation, height, width) for segmentation in segmentations]
    extents = measure(counts, np.tile(np.array([[height, width]]), (len(counts), 1)))
    if isinstance(extents, Damage):
        raise ValueError(f"Segmentation {extents.index} {extents.reason}")
    encoded = [{"size": [height, width], "counts": text} for text in counts]
    return np.ascontiguousarray(coco_mask.decode(encoded).transpose(2, 0, 1))


def encode(
    segmentations: Iterable[Segmentation], sizes: Int64[np.ndarray, "N 2"], place: Callable[[int], str]
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


def compress(segmentation: Segmentation, height: int, width: int) -> bytes:
    """Encode one segmentation as COCO's compressed run lengths, polygons as pycocotools' `annToRLE` draws them.

    A string is passed on unread, since `bench.data.run_lengths.measure` checks many at once: call it before
    pycocotools sees the result. Raises ValueError for the wrong size, damaged plain run lengths and polygons with half
    a point or far outside any image.
    """
    if isinstance(segmentation, RunLengths):
        _check_size(segmentation.size, height, width)
        if isinstance(segmentation.counts, str):
            return segmentation.counts.encode()
        return _compress_list(segmentation.counts, height, width)
    for polygon in segmentation:
        if len(polygon) % 2:
            raise ValueError(f"A polygon has {len(polygon)} coordinates; expected x, y pairs; remove or repair it.")
        if polygon and max(max(polygon), -min(polygon)) > _FARTHEST:
            raise ValueError(
                f"A polygon reaches from {min(polygon):g} to {max(polygon):g}; expected coordinates in pixels of the "
                f"{height} x {width} image; repair or remove it."
            )
    # pycocotools takes a list of four numbers for a box, not for a line.
    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return _compress_list([height * width], height, width)
    counts: bytes = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))["counts"]
    return counts


def _check_size(size: tuple[int, int], height: int, width: int) -> None:
    if size != (height, width):
        hint = " (transposed?)" if size == (width, height) else ""
        raise ValueError(
            f"Run lengths are for {size[0]} x {size[1]} pixels{hint}; expected the image's "
            f"{height} x {width} (height x width); encode the mask again at the size of its image."
        )


def _compress_list(counts: list[int], height: int, width: int) -> bytes:
    if sum(counts) != height * width or min(counts) < 0:
        raise ValueError(
            f"Run lengths cover {sum(counts)} pixels; expected non-negative runs that cover all {height * width}; "
            "encode the mask again, this encoding is damaged."
        )
    compressed: bytes = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]
    return compressed
