"""The images of a part of a data set: which there are, where their files are, and what is annotated on them.

The images of a run are the union of those in the annotation files given (COCO, LVIS or both), by ascending image id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench import json_file
from bench.data import image_ids
from bench.data.annotations import AnnotationFile, read_annotations
from bench.data.checks import Objects
from bench.data.entries import Annotation, ImageEntry
from bench.data.findings import Finding, tell_once
from bench.data.images import BY_SIZE, ReadingRule
from bench.data.layout import Part
from bench.data.pictures import find_pictures
from bench.data.segmentation import RunLengths, Segmentation, rasterise
from bench.data.survey import Survey, survey

COCO_CATEGORY_IDS = tuple(sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}))
"""Ids of the 80 COCO categories; label `i` is `COCO_CATEGORY_IDS[i]`."""

CocoObject = Annotation[msgspec.Raw | RunLengths]
"""An object with `id` and `bbox`, whose mask is JSON, as in its file, or run lengths already."""


@dataclass(frozen=True, kw_only=True)
class CocoImages:
    """The images of a run. `ids` ascend; `sizes` are (height, width) as annotated; `paths` are the image files.

    `annotations` hold the objects of every image that the COCO file lists, but crowds and those without a pixel, an
    empty tuple where there are none; images known from LVIS alone have no entry. Label `i` is category
    `category_ids[i]`, of the name `category_names[i]`. `listed` are the image ids that any of the files knows, those
    beyond the first `num_images` included. Files are read by the `rule` of their data set. `findings` say what of
    annotations and files was repaired or left out.
    """

    ids: tuple[int, ...]
    sizes: Mapping[int, tuple[int, int]]
    paths: Mapping[int, Path]
    annotations: Mapping[int, tuple[CocoObject, ...]]
    category_ids: tuple[int, ...]
    category_names: tuple[str, ...] = ()
    listed: frozenset[int]
    rule: ReadingRule = BY_SIZE
    findings: tuple[Finding, ...] = ()

    def sentence(self) -> str:
        """How many images, objects and classes there are, in words."""
        num_objects = sum(map(len, self.annotations.values()))
        return f"{len(self.ids):,} images with {num_objects:,} objects of {len(self.category_ids):,} classes"

    def masks(self, image_id: int) -> NDArray[np.uint8]:
        """Bitmaps [G H W] of an image's annotations at original size."""
        segmentations = [_segmentation(annotation) for annotation in self.annotations[image_id]]
        return rasterise(segmentations, *self.sizes[image_id])


def open_images(
    part: Part, *, lvis: Path | None = None, num_images: int | None = None, parts: Sequence[Part] = ()
) -> CocoImages:
    """Open the images of a part of a data set; `num_images` keeps the first ones by id.

    With an LVIS file the annotation file may be absent, and then no objects are known. Of the LVIS file, whose classes
    are others, only the list of images is used. `parts` are those of the whole data set, of which all pictures are read
    by one rule; COCO's own are read as its tools do.
    Raises ValueError for missing directories, annotation files or image files, malformed or inconsistent annotations,
    and for no images at all.
    """
    coco, directory = part.annotations, part.pictures
    if not directory.is_dir():
        raise ValueError(
            f"There is no directory {directory}; expected pictures in it, and {coco} about them; "
            "give the folder of the data set that holds both, or download COCO from cocodataset.org."
        )
    known: dict[int, ImageEntry] = {}
    instances = None
    if lvis is None or coco.is_file():
        instances = read_annotations(coco)
        instances.require(lists=("annotations", "categories"))
        _add(known, instances, coco)
    if lvis is not None:
        _add(known, read_annotations(lvis), lvis)
    ids = tuple(sorted(known, key=image_ids.natural)[:num_images])
    if not ids or (num_images is not None and num_images < 1):
        raise ValueError(
            f"The run has no images: {coco if lvis is None else lvis} lists {len(known)}, asked for were "
            f"{'all' if num_images is None else num_images}; expected at least one; "
            "give another annotation file or number of images."
        )
    objects = None if instances is None else instances.objects(leave_out_maskless=part.leave_out_maskless)
    names = {} if instances is None else {each.id: each.name for each in instances.categories}
    category_ids = COCO_CATEGORY_IDS if instances is None else tuple(sorted(names))
    entries = [known[image_id] for image_id in ids]
    found = find_pictures(part, entries)
    sizes = {image.id: (image.height, image.width) for image in entries}
    surveyed = Survey(rule=BY_SIZE, findings=())
    if instances is not None and not _is_coco(instances):
        whole = (each for each in dict.fromkeys((part, *parts)) if each.annotations.is_file())
        surveyed = _survey(tuple((each, json_file.state(each.annotations)) for each in whole)) or survey(
            {path: sizes[image_id] for image_id, path in found.paths.items()}
        )
    of_pictures = (*found.findings, *surveyed.findings)
    tell_once(str(part.pictures), of_pictures)
    return CocoImages(
        ids=ids,
        sizes=sizes,
        paths=found.paths,
        annotations={}
        if instances is None or objects is None
        else _by_image(objects, {image.id for image in instances.images} & set(ids)),
        category_ids=category_ids,
        category_names=tuple(names.get(category_id, "") for category_id in category_ids),
        listed=frozenset(known),
        rule=surveyed.rule,
        findings=(*(() if objects is None else objects.findings), *of_pictures),
    )


def _is_coco(file: AnnotationFile) -> bool:
    """Whether a file has COCO's classes and the names of its pictures, which nobody needs to look at once more."""
    return {each.id for each in file.categories} == set(COCO_CATEGORY_IDS) and all(
        Path(image.file_name).stem.endswith(f"{image.id:012d}") for image in file.images
    )


@lru_cache(maxsize=4)
def _survey(parts: tuple[tuple[Part, json_file.State], ...]) -> Survey | None:
    """Look at the pictures of a data set, of the first part and of others that are whole; None where it is not."""
    sizes: dict[Path, tuple[int, int]] = {}
    for place, (part, _) in enumerate(parts):
        images = {image.id: image for image in read_annotations(part.annotations, keep=False).images}
        try:
            paths = find_pictures(part, list(images.values())).paths
        except ValueError:  # pictures are missing, perhaps of those that nobody asks for: whoever does is told
            if place == 0:
                return None
            continue
        sizes |= {path: (images[image_id].height, images[image_id].width) for image_id, path in paths.items()}
    return survey(sizes)


def _segmentation(annotation: CocoObject) -> Segmentation:
    """An object's mask, which was checked."""
    if isinstance(annotation.segmentation, RunLengths):
        return annotation.segmentation
    found: Segmentation = msgspec.json.decode(annotation.segmentation, type=Segmentation)
    return found


def _add(known: dict[int, ImageEntry], file: AnnotationFile, path: Path) -> None:
    """Add images to those `known`. Raises ValueError where an image is listed twice or with another size."""
    seen: set[int] = set()
    for image in file.images:
        shown = image_ids.original(image.id)
        if image.id in seen:
            raise ValueError(f"{path} lists image {shown} twice; expected unique ids; remove or renumber one.")
        seen.add(image.id)
        before = known.setdefault(image.id, image)
        if _is_another(before, image):
            raise ValueError(
                f"{path} says image {shown} is {image.file_name}, the other annotation file says {before.file_name}; "
                "expected files about the same images; check the pair, or number the images of one anew."
            )
        if (before.height, before.width) != (image.height, image.width):
            raise ValueError(
                f"{path} says image {shown} is {image.height} x {image.width}, the other annotation file says "
                f"{before.height} x {before.width}; expected files about the same images; check the pair."
            )


def _is_another(image: ImageEntry, other: ImageEntry) -> bool:
    """Whether two entries of one id name different pictures. COCO's years name a picture differently by its id."""
    names = {Path(each.file_name.replace("\\", "/")).stem for each in (image, other) if each.file_name}
    return len(names) > 1 and not all(name.endswith(f"{image.id:012d}") for name in names)


def _by_image(objects: Objects, ids: set[int]) -> dict[int, tuple[CocoObject, ...]]:
    """Group objects by image, but crowds and those without a pixel."""
    grouped: dict[int, list[CocoObject]] = {image_id: [] for image_id in ids}
    for annotation, has_pixels in zip(objects.annotations, objects.has_pixels.tolist(), strict=True):
        if has_pixels and annotation.image_id in grouped and not annotation.iscrowd:
            grouped[annotation.image_id].append(annotation)
    return {image_id: tuple(objects) for image_id, objects in grouped.items()}
