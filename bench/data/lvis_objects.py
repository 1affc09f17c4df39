"""Objects of the images that only an LVIS file lists, for what needs the objects of every image."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from pycocotools import mask as coco_mask

from bench.data.annotations import Annotation
from bench.data.coco import CocoImages
from bench.data.cocofy import read_cocofied
from bench.data.ground_truth import GroundTruth
from bench.data.segmentation import RunLengths

_OWN_BOX = 0.5
"""IoU of an annotated box with that of the mask, below which it belongs to something else.

LVIS v0.5 has objects whose box lies in the image before it was rotated, and whose mask lies in the rotated one.
"""


def with_lvis_objects(files: CocoImages, lvis: Path) -> CocoImages:
    """Give images without known objects those of an LVIS file, cocofied.

    Images that COCO's file lists keep its objects. Crowds are left out, as there, and so are classes that COCO's file
    does not know. A box that belongs to something else is replaced by that of the mask (`own_boxes`).
    Raises ValueError for an LVIS file that does not fit.
    """
    unknown = set(files.ids) - files.annotations.keys()
    if not unknown:
        return files
    found: dict[int, list[Annotation[RunLengths]]] = {image_id: [] for image_id in unknown}
    for annotation in _objects(read_cocofied(lvis), unknown):
        if annotation.category_id in files.category_ids:
            found[annotation.image_id].append(annotation)
    of_lvis = {image_id: tuple(objects) for image_id, objects in found.items()}
    return replace(files, annotations={**files.annotations, **of_lvis})


def own_boxes(
    annotated: Float64[np.ndarray, "N 4"], of_masks: Float64[np.ndarray, "N 4"]
) -> tuple[Float64[np.ndarray, "N 4"], Bool[np.ndarray, "N"]]:
    """Boxes xyxy from annotated (x, y, width, height), that of the mask where the annotated one is something else's."""
    corners = [np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) for boxes in (annotated, of_masks)]
    low = np.maximum(corners[0][:, :2], corners[1][:, :2])
    high = np.minimum(corners[0][:, 2:], corners[1][:, 2:])
    common = (high - low).clip(min=0).prod(1)
    union = annotated[:, 2:].prod(1) + of_masks[:, 2:].prod(1) - common
    replaced = common < _OWN_BOX * union
    return np.where(replaced[:, None], corners[1], corners[0]), replaced


def _objects(truth: GroundTruth, image_ids: set[int]) -> Iterator[Annotation[RunLengths]]:
    """Objects of some images but crowds, numbered by their place in the annotation file."""
    places = np.flatnonzero(np.isin(truth.image_ids[truth.image], list(image_ids)) & ~truth.crowd).tolist()
    if not places:
        return
    sizes = [(int(height), int(width)) for height, width in truth.sizes[truth.image[places]]]
    masks = [
        RunLengths(size=size, counts=truth.counts[place].decode()) for place, size in zip(places, sizes, strict=True)
    ]
    of_masks = coco_mask.toBbox([{"size": list(mask.size), "counts": mask.counts} for mask in masks])
    boxes, _ = own_boxes(truth.boxes[places], of_masks)
    for place, mask, (left, top, right, bottom) in zip(places, masks, boxes.tolist(), strict=True):
        yield Annotation(
            id=place,
            image_id=int(truth.image_ids[truth.image[place]]),
            category_id=int(truth.category_ids[truth.category[place]]),
            bbox=(left, top, right - left, bottom - top),
            segmentation=mask,
        )
