"""Objects of the images that only an LVIS file lists, for what needs the objects of every image."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.data.coco import CocoImages
from bench.data.cocofy import read_cocofied
from bench.data.entries import Annotation
from bench.data.ground_truth import GroundTruth
from bench.data.segmentation import RunLengths


def with_lvis_objects(files: CocoImages, lvis: Path) -> CocoImages:
    """Give images without known objects those of an LVIS file, cocofied.

    Images that COCO's file lists keep its objects. Crowds are left out, as there, and so are classes that COCO's file
    does not know. LVIS v0.5 has objects whose box lies in the image before it was rotated: they have that of the mask.
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


def _objects(truth: GroundTruth, image_ids: set[int]) -> Iterator[Annotation[RunLengths]]:
    """Objects of some images but crowds, numbered by their place in the annotation file."""
    places = np.flatnonzero(np.isin(truth.image_ids[truth.image], list(image_ids)) & ~truth.crowd).tolist()
    if not places:
        return
    sizes = [(int(height), int(width)) for height, width in truth.sizes[truth.image[places]]]
    masks = [
        RunLengths(size=size, counts=truth.counts[place].decode()) for place, size in zip(places, sizes, strict=True)
    ]
    for place, mask, (left, top, width, height) in zip(places, masks, truth.boxes[places].tolist(), strict=True):
        yield Annotation(
            id=place,
            image_id=int(truth.image_ids[truth.image[place]]),
            category_id=int(truth.category_ids[truth.category[place]]),
            bbox=(left, top, width, height),
            segmentation=mask,
        )
