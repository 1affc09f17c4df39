"""Annotated objects as columns, from an annotation file of COCO or LVIS."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from jaxtyping import Bool, Float64, Int64

from bench import json_file
from bench.data import image_ids
from bench.data.annotations import AnnotationFile, read_annotations
from bench.data.coco import COCO_CATEGORY_IDS
from bench.data.entries import Annotation, Category, ImageEntry
from bench.data.findings import Finding
from bench.data.segmentation import Segmentation, encode

LVIS_VERSIONS = {1230: "LVIS v0.5", 1203: "LVIS v1"}
"""Which LVIS it is, by its number of categories."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """Objects and what was looked for. `image` and `category` are positions in `image_ids` and `category_ids`.

    `image_ids` and `category_ids` ascend; `sizes` are (height, width). Objects are in the order of the file.
    `area` is the annotation's (that of the mask where the file has none), `boxes` are (x, y, width, height), those of
    the masks for `boxes_replaced`, whose `annotated_boxes` are something else's.
    `counts[i]` is the mask of object i as COCO's compressed run lengths, at the size of its image.
    `negative` and `not_exhaustive` are LVIS's lists as rows (image, category): classes known to be absent from an
    image, and classes of which not every object is annotated. `frequencies` is LVIS's letter r, c or f per category,
    "" where the file has none. `sha256` is that of the file's content, `version` "LVIS v0.5", "COCO", ... as far as it
    can be told. `file_names` are those of the images, "" where there is none; without any list they are not known.
    `findings` say what was repaired or left out.
    """

    name: str
    sha256: str
    version: str
    image_ids: Int64[np.ndarray, "I"]
    sizes: Int64[np.ndarray, "I 2"]
    category_ids: Int64[np.ndarray, "C"]
    category_names: tuple[str, ...]
    frequencies: tuple[str, ...]
    image: Int64[np.ndarray, "G"]
    category: Int64[np.ndarray, "G"]
    area: Float64[np.ndarray, "G"]
    boxes: Float64[np.ndarray, "G 4"]
    boxes_replaced: Bool[np.ndarray, "G"]
    annotated_boxes: Float64[np.ndarray, "G 4"]
    crowd: Bool[np.ndarray, "G"]
    ignore: Bool[np.ndarray, "G"]
    counts: tuple[bytes, ...]
    negative: Int64[np.ndarray, "N 2"]
    not_exhaustive: Int64[np.ndarray, "M 2"]
    findings: tuple[Finding, ...] = ()
    file_names: tuple[str, ...] = ()

    @property
    def scored_boxes(self) -> Float64[np.ndarray, "G 4"]:
        """What boxes are compared with: of LVIS the annotated ones as they are, since everybody's numbers are of these.

        LVIS v0.5 has objects whose box lies in the image before it was rotated.
        """
        return self.annotated_boxes if "LVIS" in self.version else self.boxes


def read_ground_truth(path: Path, *, leave_out_maskless: bool = False) -> GroundTruth:
    """Read an annotation file, JSON or gzip; the last one that was read is kept, and read again only if it changed.

    Raises ValueError as `ground_truth_of`, or for an unreadable file.
    """
    return _kept(json_file.state(path), leave_out_maskless)


@lru_cache(maxsize=1)
def _kept(state: json_file.State, leave_out_maskless: bool) -> GroundTruth:
    return ground_truth_of(read_annotations(state.path, keep=False), leave_out_maskless=leave_out_maskless)


def decode_ground_truth(content: bytes, name: str) -> GroundTruth:
    """Read an annotation file's content; `name` is what messages call it. Raises ValueError as `ground_truth_of`."""
    return ground_truth_of(AnnotationFile(name=name, content=content))


def ground_truth_of(file: AnnotationFile, *, leave_out_maskless: bool = False) -> GroundTruth:
    """Turn the entries of an annotation file into columns, which nobody can change: all readers share them.

    Masks are those of pycocotools' `annToRLE`. `area` is the annotation's own, as in the official libraries: that
    of its polygons, hardly ever the mask's. Annotation ids mean nothing here, an object is known by its place.
    Raises ValueError for content that is not such a file and as `AnnotationFile.objects`.
    """
    name = file.name
    images = sorted(file.images, key=lambda image: image.id)
    categories = sorted(file.categories, key=lambda category: category.id)
    objects = file.objects(leave_out_maskless=leave_out_maskless)
    _warn_of_ids(name, objects.annotations)
    image_index = {image.id: index for index, image in enumerate(images)}
    category_index = {category.id: index for index, category in enumerate(categories)}
    image = np.array([image_index[each.image_id] for each in objects.annotations], np.int64)
    sizes = np.array([(each.height, each.width) for each in images], np.int64).reshape(-1, 2)
    encoded = encode(_segmentations(objects.annotations), sizes[image], lambda index: f"{name}: object {index}")
    area, boxes = encoded.area.copy(), encoded.boxes
    for index, each in enumerate(objects.annotations):
        area[index] = area[index] if each.area is None else each.area
        boxes[index] = boxes[index] if each.bbox is None else each.bbox
    num_without_area = int(((area == 0) & (encoded.area > 0)).sum())
    if num_without_area:
        _log.warning(
            "%s: %d objects have pixels and an annotated area of 0. By LVIS's rules (AP*, APB*) they do not exist.",
            name,
            num_without_area,
        )
    truth = GroundTruth(
        name=name,
        sha256=file.checksum.removeprefix("sha256:"),
        version=_version(categories),
        image_ids=np.array([each.id for each in images], np.int64),
        sizes=sizes,
        category_ids=np.array([each.id for each in categories], np.int64),
        category_names=tuple(each.name for each in categories),
        frequencies=tuple(each.frequency for each in categories),
        image=image,
        category=np.array([category_index[each.category_id] for each in objects.annotations], np.int64),
        area=area,
        boxes=boxes,
        boxes_replaced=objects.boxes_replaced.copy(),
        annotated_boxes=objects.annotated_boxes.copy(),
        crowd=np.array([bool(each.iscrowd) for each in objects.annotations], np.bool_),
        ignore=np.array([bool(each.ignore) for each in objects.annotations], np.bool_),
        counts=encoded.counts,
        negative=_listed([each.neg_category_ids or () for each in images], images, category_index, name),
        not_exhaustive=_listed(
            [each.not_exhaustive_category_ids or () for each in images], images, category_index, name
        ),
        findings=objects.findings,
        file_names=tuple(each.file_name for each in images),
    )
    for column in vars(truth).values():
        if isinstance(column, np.ndarray):
            column.flags.writeable = False
    return truth


def _warn_of_ids(name: str, annotations: Sequence[Annotation[msgspec.Raw]]) -> None:
    ids = [each.id for each in annotations if each.id is not None]
    if len(set(ids)) < len(ids):
        _log.warning("%s uses annotation ids twice. They are not needed here; other programs may lose objects.", name)


def _segmentations(annotations: Sequence[Annotation[msgspec.Raw]]) -> Iterator[Segmentation]:
    """Decode one checked mask after the other."""
    decoder: msgspec.json.Decoder[Segmentation] = msgspec.json.Decoder(Segmentation)
    return (decoder.decode(each.segmentation) for each in annotations)


def _listed(
    lists: Sequence[Sequence[int]], images: Sequence[ImageEntry], category_index: dict[int, int], name: str
) -> Int64[np.ndarray, "N 2"]:
    """Turn a list of category ids per image into unique rows (image, category)."""
    pairs = []
    for index, category_ids in enumerate(lists):
        for category_id in category_ids:
            if category_id not in category_index:
                shown = image_ids.original(images[index].id)
                raise ValueError(
                    f"{name}: image {shown} lists category {category_id} as absent or not exhaustive; "
                    f"expected one of the {len(category_index)} of the file; repair or remove it."
                )
            pairs.append((index, category_index[category_id]))
    return np.unique(np.array(pairs, np.int64).reshape(-1, 2), axis=0)


def _version(categories: Sequence[Category]) -> str:
    """Tell the data set by its categories, since the `info` of LVIS files says COCO."""
    ids = tuple(category.id for category in categories)
    if not all(category.synset for category in categories):
        return "COCO" if ids == COCO_CATEGORY_IDS else ""
    if ids and set(ids) <= set(COCO_CATEGORY_IDS):
        return "cocofied LVIS"
    return LVIS_VERSIONS.get(len(ids), "")
