"""Cocofied LVIS: the objects of an LVIS file that belong to COCO's classes, under COCO's ids. AP* is defined on it.

LVIS annotates COCO's images more finely, with more classes. WordNet synsets say which of these are COCO's. An
annotation, and a class listed on an image as absent or as not exhaustively annotated, is kept if its synset is one of
COCO's 80; a class is kept if it then occurs at all. The rule is that of detectron2's `prepare_cocofied_lvis.py`, by
which PointRend and the Boundary IoU paper report AP*.
"""

import csv
import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import msgspec

from bench import json_file
from bench.data.annotations import AnnotationFile, read_annotations
from bench.data.entries import Category
from bench.data.ground_truth import LVIS_VERSIONS, GroundTruth, decode_ground_truth, ground_truth_of
from bench.files import write_whole

# Fields that are copied letter by letter: as Python numbers, the polygons of LVIS v1 would take gigabytes.
_Fields = dict[str, msgspec.Raw]

_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
"""LVIS's lists of an image, without which AP* means nothing."""


@dataclass(frozen=True, kw_only=True)
class Cocofied:
    """A cocofied file, what is in it, and where it comes from.

    `lost` are COCO's classes that the LVIS file has no class for, `absent` those that occur on none of its images; both
    are missing among the categories. `lvis_version` is "LVIS v0.5", "LVIS v1" or "".
    """

    content: bytes
    sha256: str
    num_images: int
    num_annotations: int
    num_categories: int
    lost: tuple[str, ...]
    absent: tuple[str, ...]
    lvis_version: str
    source_sha256: str


OWN_CLASSES = "LVIS's format, own classes"
"""The version of a file that is not LVIS."""


def version(path: Path) -> str:
    """Version of a file as `read_cocofied` has it, without its objects.

    Raises ValueError for a file that cannot be read or is no annotation file.
    """
    categories = read_annotations(path).categories
    if _has_own_classes(categories):
        return OWN_CLASSES
    if _is_cocofied(categories):
        return "cocofied LVIS"
    return f"cocofied {LVIS_VERSIONS.get(len(categories), 'LVIS')}"


def read_cocofied(path: Path) -> GroundTruth:
    """Read an LVIS annotation file as COCO's classes; a file that is cocofied already is taken as it is.

    So is a file in LVIS's format none of whose classes is one of COCO's, such as the embedded data set's. The checksum
    is that of the file given. The last file that was read is kept, and read again only if it changed. Raises ValueError
    for any other file, for images without LVIS's lists of absent and not exhaustively annotated classes, and as
    `decode_ground_truth`.
    """
    return _kept(json_file.state(path))


@lru_cache(maxsize=1)
def _kept(state: json_file.State) -> GroundTruth:
    file = read_annotations(state.path, keep=False)
    own = _has_own_classes(file.categories)
    if own or _is_cocofied(file.categories):
        # Images without lists would be images on which nobody looked for anything else: another AP*, without a word.
        file.require(of_images=_LISTS)
        truth = ground_truth_of(file)
        return dataclasses.replace(truth, version=OWN_CLASSES) if own else truth
    made = _cocofied(file)
    return dataclasses.replace(
        decode_ground_truth(made.content, file.name),
        sha256=made.source_sha256,
        version=f"cocofied {made.lvis_version or 'LVIS'}",
    )


def prepare_lvis(source: Path, target: Path) -> Cocofied:
    """Cocofy an LVIS file and write the result. Raises ValueError as `cocofied`, and where a file is out of reach."""
    made = cocofied(json_file.read(source), str(source))
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the LVIS file itself; expected another file to write to; name one.")
    try:
        write_whole(target, made.content)
    except OSError as error:
        raise ValueError(
            f"{target} cannot be written: {error.strerror}; expected a file in an existing folder; name another."
        ) from error
    return made


def cocofied(content: bytes, name: str) -> Cocofied:
    """Cocofy the content of an LVIS file; `name` is what messages call it.

    Annotations keep their order and get the ids 1, 2, 3, ...; fields that need not change are copied letter by letter.
    Raises ValueError for content that is no LVIS file, is cocofied already, or names categories it does not list.
    """
    return _cocofied(AnnotationFile(name=name, content=content))


def _cocofied(file: AnnotationFile) -> Cocofied:
    file.require(lists=("annotations", "categories"), of_images=_LISTS)
    _check(file)
    coco = {synset: category_id for category_id, _, synset in _coco_classes()}
    new_id = {category.id: coco[category.synset] for category in file.categories if category.synset in coco}
    fields = msgspec.json.decode(json_file.text(file.content, file.name), type=_Fields)

    def mapped(category_ids: Iterable[int]) -> list[int]:
        return [new_id[category_id] for category_id in category_ids if category_id in new_id]

    annotations: list[dict[str, object]] = []
    for annotation, copied in zip(file.annotations, _entries(fields["annotations"]), strict=True):
        if annotation.category_id in new_id:
            changes = {"category_id": new_id[annotation.category_id], "id": len(annotations) + 1}
            annotations.append({**copied, **changes})
    seen = set(mapped(annotation.category_id for annotation in file.annotations))
    images: list[dict[str, object]] = []
    for image, copied in zip(file.images, _entries(fields["images"]), strict=True):
        negative = mapped(image.neg_category_ids or ())
        not_exhaustive = mapped(image.not_exhaustive_category_ids or ())
        images.append({**copied, "neg_category_ids": negative, "not_exhaustive_category_ids": not_exhaustive})
        seen.update(negative, not_exhaustive)
    categories: list[dict[str, object]] = [
        {**copied, "id": new_id[category.id]}
        for category, copied in zip(file.categories, _entries(fields["categories"]), strict=True)
        if new_id.get(category.id) in seen
    ]
    made = msgspec.json.encode({**fields, "images": images, "annotations": annotations, "categories": categories})
    found = set(new_id.values())
    return Cocofied(
        content=made,
        sha256=hashlib.sha256(made).hexdigest(),
        num_images=len(images),
        num_annotations=len(annotations),
        num_categories=len(categories),
        lost=tuple(class_name for category_id, class_name, _ in _coco_classes() if category_id not in found),
        absent=tuple(class_name for category_id, class_name, _ in _coco_classes() if category_id in found - seen),
        lvis_version=LVIS_VERSIONS.get(len(file.categories), ""),
        source_sha256=file.checksum.removeprefix("sha256:"),
    )


def _check(file: AnnotationFile) -> None:
    """Raise ValueError where a file cannot be cocofied, or categories would get lost without a word."""
    name = file.name
    if not any(category.synset for category in file.categories):
        raise ValueError(
            f"{name} has no categories with a synset; expected LVIS annotations, v0.5 or v1, cocofied or not; "
            "give the LVIS file."
        )
    if _is_cocofied(file.categories):
        raise ValueError(f"{name} is cocofied already; expected LVIS's own file; use this one as it is.")
    listed = {category.id for category in file.categories}
    for index, annotation in enumerate(file.annotations):
        if annotation.category_id not in listed:
            raise ValueError(
                f"{name}: {file.place(index)} has category "
                f"{annotation.category_id}; expected one of the {len(listed)} of the file; repair or remove it."
            )
    for image in file.images:
        unknown = {*(image.neg_category_ids or ()), *(image.not_exhaustive_category_ids or ())} - listed
        if unknown:
            raise ValueError(
                f"{name}: image {image.id} lists category {min(unknown)} as absent or not exhaustive; "
                f"expected one of the {len(listed)} of the file; repair or remove it."
            )


def _has_own_classes(categories: Sequence[Category]) -> bool:
    """Say whether every class has a synset and none is one of COCO's, by synset or by id."""
    ids, _, synsets = (set(column) for column in zip(*_coco_classes(), strict=True))
    return bool(categories) and all(
        category.synset and category.synset not in synsets and category.id not in ids for category in categories
    )


def _is_cocofied(categories: Sequence[Category]) -> bool:
    """Say whether the ids are COCO's of the synsets."""
    coco = {(category_id, synset) for category_id, _, synset in _coco_classes()}
    return bool(categories) and {(category.id, category.synset) for category in categories} <= coco


def _entries(listed: msgspec.Raw) -> list[_Fields]:
    return msgspec.json.decode(listed, type=list[_Fields])


def _coco_classes() -> list[tuple[int, str, str]]:
    """Id, name and synset of COCO's 80 classes, the synsets as lvis-api gives them."""
    text = resources.files("bench.data").joinpath("coco_synsets.csv").read_text(encoding="ascii")
    return [(int(row["id"]), row["name"], row["synset"]) for row in csv.DictReader(text.splitlines())]
