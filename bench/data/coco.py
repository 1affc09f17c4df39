"""The images of a part of a data set: which there are, where their files are, and what is annotated on them.

The images of a run are the union of those in the annotation files given (COCO, LVIS or both), by ascending image id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.data import image_ids
from bench.data.annotations import AnnotationFile, read_annotations
from bench.data.entries import Annotation, ImageEntry
from bench.data.findings import Finding
from bench.data.layout import Part
from bench.data.segmentation import RunLengths, Segmentation, rasterise

COCO_CATEGORY_IDS = tuple(sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}))
"""Ids of the 80 COCO categories; label `i` is `COCO_CATEGORY_IDS[i]`."""

_SUFFIXES = {".jpg", ".jpeg", ".png"}


CocoObject = Annotation[msgspec.Raw | RunLengths]
"""An object with `id` and `bbox`, whose mask is JSON, as in its file, or run lengths already."""


@dataclass(frozen=True, kw_only=True)
class CocoImages:
    """The images of a run. `ids` ascend; `sizes` are (height, width) as annotated; `paths` are the image files.

    `annotations` hold the objects of every image that the COCO file lists, crowds left out, an empty tuple where there
    are none; images known from LVIS alone have no entry. Label `i` is category `category_ids[i]`, of the name
    `category_names[i]`. `listed` are the image ids that any of the files knows, those beyond the first `num_images`
    included. `findings` say what of the annotations and files was repaired or left out.
    """

    ids: tuple[int, ...]
    sizes: Mapping[int, tuple[int, int]]
    paths: Mapping[int, Path]
    annotations: Mapping[int, tuple[CocoObject, ...]]
    category_ids: tuple[int, ...]
    category_names: tuple[str, ...] = ()
    listed: frozenset[int]
    findings: tuple[Finding, ...] = ()

    def masks(self, image_id: int) -> NDArray[np.uint8]:
        """Bitmaps [G H W] of an image's annotations at original size."""
        segmentations = [_segmentation(annotation) for annotation in self.annotations[image_id]]
        return rasterise(segmentations, *self.sizes[image_id])


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
    return CocoImages(
        ids=ids,
        sizes={image_id: (known[image_id].height, known[image_id].width) for image_id in ids},
        paths=_find(directory, ids),
        annotations={}
        if instances is None or objects is None
        else _by_image(objects.annotations, {image.id for image in instances.images} & set(ids)),
        category_ids=category_ids,
        category_names=tuple(names.get(category_id, "") for category_id in category_ids),
        listed=frozenset(known),
        findings=() if objects is None else objects.findings,
    )


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
        if (before.height, before.width) != (image.height, image.width):
            raise ValueError(
                f"{path} says image {shown} is {image.height} x {image.width}, the other annotation file says "
                f"{before.height} x {before.width}; expected files about the same images; check the pair."
            )


def _find(directory: Path, ids: tuple[int, ...]) -> dict[int, Path]:
    """Find the file of every image. Raises ValueError that counts and names the missing ones."""
    present = {path.stem: path for path in directory.iterdir() if path.suffix.lower() in _SUFFIXES}
    missing = [image_id for image_id in ids if f"{image_id:012d}" not in present]
    if missing:
        first = ", ".join(f"{image_id:012d}.jpg" for image_id in missing[:3])
        raise ValueError(
            f"{directory} lacks {len(missing)} of the {len(ids)} images of the run: {first}"
            f"{', ...' * (len(missing) > 3)}; expected every annotated image; "
            "download the rest, or use an annotation file or number of images that covers what is there."
        )
    return {image_id: present[f"{image_id:012d}"] for image_id in ids}


def _by_image(annotations: Iterable[CocoObject], ids: set[int]) -> dict[int, tuple[CocoObject, ...]]:
    """Group annotations by image, crowds left out."""
    grouped: dict[int, list[CocoObject]] = {image_id: [] for image_id in ids}
    for annotation in annotations:
        if annotation.image_id in grouped and not annotation.iscrowd:
            grouped[annotation.image_id].append(annotation)
    return {image_id: tuple(objects) for image_id, objects in grouped.items()}
