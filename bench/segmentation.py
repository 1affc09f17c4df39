"""Segmentations of COCO-format files (polygons, run lengths as list or string) -> bitmaps."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


class RunLengths(msgspec.Struct, frozen=True):
    """A COCO run-length encoding: `size` (height, width), runs of 0 and 1 in column order, plain or as a string."""

    size: tuple[int, int]
    counts: list[int] | str


Segmentation = list[list[float]] | RunLengths


def rasterise(segmentations: Sequence[Segmentation], height: int, width: int) -> NDArray[np.uint8]:
    """Draw segmentations as bitmaps [G H W] of 0 and 1.

    Raises ValueError for run lengths of another size or sum than the image (pycocotools would read beyond them, or
    hang) and for polygons with half a point. A polygon of fewer than three points encloses nothing.
    """
    if not segmentations:
        return np.zeros((0, height, width), np.uint8)
    encoded = [_encode(segmentation, height, width) for segmentation in segmentations]
    return np.ascontiguousarray(coco_mask.decode(encoded).transpose(2, 0, 1))


def _encode(segmentation: Segmentation, height: int, width: int) -> dict[str, object]:
    """Encode one segmentation as the compressed run lengths that pycocotools decodes."""
    if isinstance(segmentation, RunLengths):
        return _checked(segmentation, height, width)
    if any(len(polygon) % 2 for polygon in segmentation):
        raise ValueError("A polygon has an odd number of coordinates; expected x, y pairs; remove or repair it.")
    # pycocotools takes a list of four numbers for a box, not for a line.
    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return coco_mask.encode(np.zeros((height, width), np.uint8, order="F"))
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def _checked(runs: RunLengths, height: int, width: int) -> dict[str, object]:
    if runs.size != (height, width):
        hint = " (transposed?)" if runs.size == (width, height) else ""
        raise ValueError(
            f"Run lengths are for {runs.size[0]} x {runs.size[1]} pixels{hint}; expected the image's "
            f"{height} x {width} (height x width); encode the mask again at the size of its image."
        )
    counts = _parse(runs.counts) if isinstance(runs.counts, str) else runs.counts
    if sum(counts) != height * width or min(counts) < 0:
        raise ValueError(
            f"Run lengths cover {sum(counts)} pixels; expected non-negative runs that cover all {height * width}; "
            "the encoding is damaged, encode the mask again."
        )
    return coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)


def _parse(text: str) -> list[int]:
    """Decode COCO's string form: 5 bits a character, the 6th says that more follow, runs as differences from run 4."""
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"Run lengths hold {character!r}; expected the characters '0' to 'o'; encode them again.")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value, shift = 0, 0
    if shift:
        raise ValueError("Run lengths end within a number; the string is cut off; encode the mask again.")
    return counts
