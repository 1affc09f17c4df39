"""Which objects pictures of masks can show, and which of those that were drawn are the worst and the best cases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, cast

import numpy as np
from contourpy import FillType, contour_generator
from jaxtyping import Bool, Float64, UInt32
from pycocotools import mask as coco_mask

from bench.data.coco import CocoImages
from bench.data.ground_truth import GroundTruth

SMALLEST = 64
"""Least square root of an object's box, in pixels: a mask of 14 x 14 already tells the outline of a smaller one."""

_LEAST_OVERLAP = 0.5
_LEAST_PIECE = 0.9
"""Least share of an object that its largest piece has: one that others cover in the middle shows no fine outline."""


_Filled: TypeAlias = tuple[list[Float64[np.ndarray, "P 2"]], list[UInt32[np.ndarray, "K"]]]
"""Points by piece, and where its lines begin and end in them: the outer one, then those of its holes."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An object that may be shown: its row among those of its annotation file, and the COCO box a head gets for it.

    `box` is that of the object and `given` that of COCO's annotation of the same object, both xyxy in original pixels.
    """

    row: int
    image_id: int
    category_id: int
    box: Float64[np.ndarray, "4"]
    given: Float64[np.ndarray, "4"]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How well a head drew an object."""

    row: int
    image_id: int
    category_id: int
    boundary_iou: float


def candidates(truth: GroundTruth, files: CocoImages) -> dict[int, list[Candidate]]:
    """The objects of the run's images that are large enough, by image id: no crowds, and none without a COCO box.

    Boxes come from COCO's annotations: one of the same class must overlap the object's own by half; `truth` may be
    LVIS's. Whether an object is in one piece is for `is_one_piece` to say, because its mask is needed for that.
    Raises ValueError where there is no such object.
    """
    found: dict[int, list[Candidate]] = {}
    for row in _large_rows(truth, files):
        given = _given(truth, row, files)
        if given is not None:
            image_id = int(truth.image_ids[truth.image[row]])
            category_id = int(truth.category_ids[truth.category[row]])
            box = _corners(truth.scored_boxes[row])
            candidate = Candidate(row=row, image_id=image_id, category_id=category_id, box=box, given=_corners(given))
            found.setdefault(image_id, []).append(candidate)
    if not found:
        raise no_objects(truth, files)
    return found


def no_objects(truth: GroundTruth, files: CocoImages) -> ValueError:
    """The error of a run without any object that pictures can show."""
    return ValueError(
        f"No object of {truth.name} on the {len(files.ids)} images of the run is in one piece, with a box of "
        f"{SMALLEST} x {SMALLEST} pixels and a COCO annotation with nearly the same box. Pictures need one. Give "
        "more images."
    )


def extremes(drawn: Sequence[Drawn], count: int) -> list[int]:
    """Rows of the `count` objects with the lowest boundary IoU, then of those with the highest, without repetition.

    At most one of an image and one of a class at either end. Of equal ones the one of the lower image id, then of the
    lower row.
    """
    worst = sorted(drawn, key=lambda each: (each.boundary_iou, each.image_id, each.row))
    best = sorted(drawn, key=lambda each: (-each.boundary_iou, each.image_id, each.row))
    return list(dict.fromkeys([*_different(worst, count), *_different(best, count)]))


def mask_of(truth: GroundTruth, row: int) -> Bool[np.ndarray, "H W"]:
    """The mask of an object at the original size of its image."""
    size = truth.sizes[truth.image[row]].tolist()
    return coco_mask.decode({"size": size, "counts": truth.counts[row]}).astype(bool)


def is_one_piece(mask: Bool[np.ndarray, "H W"]) -> bool:
    """Whether the largest connected piece of a mask has nearly all of its area."""
    lines = contour_generator(z=np.pad(mask, 1).astype(np.float64), fill_type=FillType.OuterOffset)
    pieces, offsets = cast(_Filled, lines.filled(0.5, 2.0))
    areas = [
        sum(_signed_area(points[first:last]) for first, last in pairwise(ends.tolist()))
        for points, ends in zip(pieces, offsets, strict=True)
    ]
    return bool(areas) and max(areas) >= _LEAST_PIECE * sum(areas)


def _different(drawn: Sequence[Drawn], count: int) -> Iterator[int]:
    """Rows of the first `count` objects of images and classes that none before them has."""
    images: set[int] = set()
    classes: set[int] = set()
    for each in drawn:
        if len(images) == count:
            return
        if each.image_id not in images and each.category_id not in classes:
            images.add(each.image_id)
            classes.add(each.category_id)
            yield each.row


def _large_rows(truth: GroundTruth, files: CocoImages) -> list[int]:
    """The objects on the images of the run that are large enough, and no crowds."""
    large = np.sqrt(truth.scored_boxes[:, 2] * truth.scored_boxes[:, 3]) >= SMALLEST
    in_run = np.isin(truth.image_ids[truth.image], files.ids)
    return [int(row) for row in np.flatnonzero(large & in_run & ~truth.crowd & ~truth.ignore)]


def _given(truth: GroundTruth, row: int, files: CocoImages) -> Float64[np.ndarray, "4"] | None:
    """The COCO box (x, y, width, height) of an object, or None where no annotation of its class is near enough."""
    image_id, category_id = truth.image_ids[truth.image[row]], truth.category_ids[truth.category[row]]
    annotated = [each.bbox for each in files.annotations.get(int(image_id), ()) if each.category_id == category_id]
    if not annotated:
        return None
    boxes = np.array(annotated, np.float64)
    overlaps = coco_mask.iou(boxes, truth.scored_boxes[row][None], np.zeros(1, np.uint8))[:, 0]
    return boxes[overlaps.argmax()] if overlaps.max() >= _LEAST_OVERLAP else None


def _corners(box: Float64[np.ndarray, "4"]) -> Float64[np.ndarray, "4"]:
    return np.concatenate([box[:2], box[:2] + box[2:]])


def _signed_area(ring: Float64[np.ndarray, "P 2"]) -> float:
    """Area inside a closed line, negative for one that runs the other way, as those of holes do."""
    x, y = ring[:-1].T
    following_x, following_y = ring[1:].T
    return float((x * following_y - following_x * y).sum()) / 2
