"""Which objects are shown as examples: those with the most outline for their size, chosen from annotations alone."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, cast

import numpy as np
from contourpy import FillType, contour_generator
from jaxtyping import Bool, Float64, UInt32
from pycocotools import mask as coco_mask

from bench.accuracy.ground_truth import GroundTruth
from bench.coco import CocoImages

NUM_OBJECTS = 8
SMALLEST = 64
"""Least square root of an object's box, in pixels: a mask of 14 x 14 already tells the outline of a smaller one."""

_LEAST_OVERLAP = 0.5
_LEAST_PIECE = 0.9
"""Least share of an object that its largest piece has: one that others cover in the middle shows no fine outline."""


_Filled: TypeAlias = tuple[list[Float64[np.ndarray, "P 2"]], list[UInt32[np.ndarray, "K"]]]
"""Points by piece, and where its lines begin and end in them: the outer one, then those of its holes."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """An object at the original size of its image: its class, its mask, and the COCO box that a head is given for it.

    `box` is that of the mask and `given` that of COCO's annotation of the same object, both xyxy. `counts` are the
    mask's compressed run lengths.
    """

    image_id: int
    category_id: int
    name: str
    box: Float64[np.ndarray, "4"]
    given: Float64[np.ndarray, "4"]
    counts: bytes
    mask: Bool[np.ndarray, "H W"]


def choose(truth: GroundTruth, files: CocoImages) -> list[Chosen]:
    """The objects of the run to show, the longest outline first: at most `NUM_OBJECTS`, one of an image and of a class.

    Outlines are compared after division by the square root of the object's area. An object is nearly in one piece and
    has a COCO annotation of its class whose box overlaps its own by half, since boxes come from there; `truth` may be
    LVIS's. Raises ValueError where there is no such object, or none is large enough.
    """
    # Masks are drawn one at a time: those of all large objects of LVIS would take gigabytes.
    candidates = [
        (_roughness(_mask(truth, row)), row, given)
        for row in _large_rows(truth, files)
        if (given := _given(truth, row, files)) is not None
    ]
    chosen: list[Chosen] = []
    images: set[int] = set()
    classes: set[int] = set()
    for _, row, given in sorted(candidates, key=lambda candidate: -candidate[0]):
        image, category = int(truth.image[row]), int(truth.category[row])
        if len(chosen) == NUM_OBJECTS:
            break
        if image not in images and category not in classes and _largest_piece(_mask(truth, row)) >= _LEAST_PIECE:
            images.add(image)
            classes.add(category)
            chosen.append(
                Chosen(
                    image_id=int(truth.image_ids[image]),
                    category_id=int(truth.category_ids[category]),
                    name=truth.category_names[category],
                    box=_corners(truth.boxes[row]),
                    given=_corners(given),
                    counts=truth.counts[row],
                    mask=_mask(truth, row),
                )
            )
    if not chosen:
        raise ValueError(
            f"No object of {truth.name} on the {len(files.ids)} images of the run is in one piece, with a box of "
            f"{SMALLEST} x {SMALLEST} pixels and a COCO annotation with nearly the same box. Pictures need one. Give "
            "more images."
        )
    return chosen


def _large_rows(truth: GroundTruth, files: CocoImages) -> list[int]:
    """The objects on the images of the run that are large enough, and no crowds."""
    large = np.sqrt(truth.boxes[:, 2] * truth.boxes[:, 3]) >= SMALLEST
    in_run = np.isin(truth.image_ids[truth.image], files.ids)
    return [int(row) for row in np.flatnonzero(large & in_run & ~truth.crowd & ~truth.ignore)]


def _given(truth: GroundTruth, row: int, files: CocoImages) -> Float64[np.ndarray, "4"] | None:
    """The COCO box (x, y, width, height) of an object, or None where no annotation of its class is near enough."""
    image_id, category_id = truth.image_ids[truth.image[row]], truth.category_ids[truth.category[row]]
    annotated = [each.bbox for each in files.annotations.get(int(image_id), ()) if each.category_id == category_id]
    if not annotated:
        return None
    boxes = np.array(annotated, np.float64)
    overlaps = coco_mask.iou(boxes, truth.boxes[row][None], np.zeros(1, np.uint8))[:, 0]
    return boxes[overlaps.argmax()] if overlaps.max() >= _LEAST_OVERLAP else None


def _corners(box: Float64[np.ndarray, "4"]) -> Float64[np.ndarray, "4"]:
    return np.concatenate([box[:2], box[:2] + box[2:]])


def _mask(truth: GroundTruth, row: int) -> Bool[np.ndarray, "H W"]:
    size = truth.sizes[truth.image[row]].tolist()
    return coco_mask.decode({"size": size, "counts": truth.counts[row]}).astype(bool)


def _roughness(mask: Bool[np.ndarray, "H W"]) -> float:
    """Length of the outline, in sides of pixels, over the square root of the area."""
    padded = np.pad(mask, 1)
    sides = sum(int(np.count_nonzero(np.diff(padded, axis=axis))) for axis in (0, 1))
    return sides / math.sqrt(max(1, int(np.count_nonzero(mask))))


def _largest_piece(mask: Bool[np.ndarray, "H W"]) -> float:
    """Share of a mask's area that its largest connected piece has."""
    lines = contour_generator(z=np.pad(mask, 1).astype(np.float64), fill_type=FillType.OuterOffset)
    pieces, offsets = cast(_Filled, lines.filled(0.5, 2.0))
    areas = [
        sum(_signed_area(points[first:last]) for first, last in pairwise(ends.tolist()))
        for points, ends in zip(pieces, offsets, strict=True)
    ]
    return max(areas) / sum(areas) if areas else 0.0


def _signed_area(ring: Float64[np.ndarray, "P 2"]) -> float:
    """Area inside a closed line, negative for one that runs the other way, as those of holes do."""
    x, y = ring[:-1].T
    following_x, following_y = ring[1:].T
    return float((x * following_y - following_x * y).sum()) / 2
