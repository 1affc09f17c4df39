"""The COCO directory layout: which images a run has, where their files are, and what is annotated on them.

`DIR/val2017/000000000139.jpg`, `DIR/annotations/instances_val2017.json`. The images of a run are the union of those in
the annotation files given (COCO, LVIS or both), by ascending image id. Files are found by id, never by `file_name`:
LVIS v0.5 names files of another year.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.data.annotations import Annotation, AnnotationFile, ImageEntry, read_annotations
from bench.data.layout import Part
from bench.data.pictures import find_pictures
from bench.data.segmentation import RunLengths, Segmentation, rasterise

COCO_CATEGORY_IDS = tuple(sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}))
"""Ids of the 80 COCO categories; label `i` is `COCO_CATEGORY_IDS[i]`."""

CocoObject = Annotation[msgspec.Raw | RunLengths]
"""An object with `id` and `bbox`, whose mask is JSON, as in its file, or run lengths already."""


@dataclass(frozen=True, kw_only=True)
class CocoImages:
    """The images of a run. `ids` ascend; `sizes` are (height, width) as annotated; `paths` are the image files.

    `annotations` hold the objects of every image that the COCO file lists, crowds left out, an empty tuple where there
    are none; images known from LVIS alone have no entry. Label `i` is category `category_ids[i]`. `listed` are the
    image ids that any of the files knows, those beyond the first `num_images` included.
    """

    ids: tuple[int, ...]
    sizes: Mapping[int, tuple[int, int]]
    paths: Mapping[int, Path]
    annotations: Mapping[int, tuple[CocoObject, ...]]
    category_ids: tuple[int, ...]
    listed: frozenset[int]

    def masks(self, image_id: int) -> NDArray[np.uint8]:
        """Bitmaps [G H W] of an image's annotations at original size. Raises ValueError for a damaged segmentation."""
        segmentations = [_segmentation(annotation) for annotation in self.annotations[image_id]]
        try:
            return rasterise(segmentations, *self.sizes[image_id])
        except ValueError as error:
            raise ValueError(f"Image {image_id} has a damaged segmentation. {error}") from error


def open_images(part: Part, *, lvis: Path | None = None, num_images: int | None = None) -> CocoImages:
    """Open the images of a part of a data set; `num_images` keeps the first ones by id.

    With an LVIS file the annotation file may be absent, and then no objects are known. Of the LVIS file, whose classes
    are others, only the list of images is used.
    Raises ValueError for missing directories, annotation files or image files, malformed or inconsistent annotations,
    and for no images at all.
    """
    coco, directory = part.annotations, part.pictures
    if not directory.is_dir():
        raise ValueError(
            f"There is no directory {directory}; expected COCO's layout, {directory}/*.jpg and {coco}; "
            "pass the directory that holds both, or download it from cocodataset.org."
        )
    known: dict[int, tuple[int, int]] = {}
    entries: dict[int, ImageEntry] = {}
    instances = None
    if lvis is None or coco.is_file():
        instances = read_annotations(coco)
        instances.require(lists=("annotations", "categories"), of_annotations=("id", "bbox"))
        _add_sizes(known, instances.images, coco)
        entries.update((image.id, image) for image in instances.images)
    if lvis is not None:
        _add_sizes(known, read_annotations(lvis).images, lvis)
        entries.update((image.id, image) for image in read_annotations(lvis).images if image.id not in entries)
    ids = tuple(sorted(known)[:num_images])
    if not ids or (num_images is not None and num_images < 1):
        raise ValueError(
            f"The run has no images: {coco if lvis is None else lvis} lists {len(known)}, asked for were "
            f"{'all' if num_images is None else num_images}; expected at least one; "
            "give another annotation file or number of images."
        )
    return CocoImages(
        ids=ids,
        sizes={image_id: known[image_id] for image_id in ids},
        paths=find_pictures(part, [entries[image_id] for image_id in ids]).paths,
        annotations={} if instances is None else _by_image(instances, set(ids)),
        category_ids=COCO_CATEGORY_IDS if instances is None else tuple(sorted({c.id for c in instances.categories})),
        listed=frozenset(known),
    )


def _segmentation(annotation: CocoObject) -> Segmentation:
    """An object's mask. Raises ValueError for JSON that is none."""
    if isinstance(annotation.segmentation, RunLengths):
        return annotation.segmentation
    try:
        found: Segmentation = msgspec.json.decode(annotation.segmentation, type=Segmentation)
    except msgspec.MsgspecError as error:
        raise ValueError(
            f"The segmentation of annotation {annotation.id} (image {annotation.image_id}) cannot be read: {error}; "
            "expected polygons or run lengths; repair or remove the annotation."
        ) from error
    return found


def _add_sizes(known: dict[int, tuple[int, int]], images: Sequence[ImageEntry], path: Path) -> None:
    """Add images to those `known`. Raises ValueError where an image is listed twice or with another size."""
    if len({image.id for image in images}) < len(images):
        raise ValueError(f"{path} lists an image id twice; expected unique ids; remove the duplicates.")
    for image in images:
        size = (image.height, image.width)
        if known.setdefault(image.id, size) != size:
            raise ValueError(
                f"{path} says image {image.id} is {size[0]} x {size[1]}, the other annotation file says "
                f"{known[image.id][0]} x {known[image.id][1]}; expected files about the same images; check the pair."
            )


def _by_image(instances: AnnotationFile, ids: set[int]) -> dict[int, tuple[CocoObject, ...]]:
    """Group annotations by image, crowds left out. Raises ValueError for unknown images and categories."""
    listed = {image.id for image in instances.images}
    categories = {category.id for category in instances.categories}
    grouped: dict[int, list[CocoObject]] = {image_id: [] for image_id in listed & ids}
    for annotation in instances.annotations:
        if annotation.image_id not in listed or annotation.category_id not in categories:
            raise ValueError(
                f"{instances.name}: annotation {annotation.id} is about image {annotation.image_id} and category "
                f"{annotation.category_id}; expected both to be listed in the file; add or remove them."
            )
        if annotation.image_id in grouped and not annotation.iscrowd:
            grouped[annotation.image_id].append(annotation)
    return {image_id: tuple(objects) for image_id, objects in grouped.items()}
