"""Splitting a data set that has one part: two annotation files about the same folder of pictures.

What belongs together stays together, or a model would be measured on what it was trained on: pictures that are the
same file or have the same content, and augmented copies of one source, as Roboflow names them.
"""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from bench import json_file
from bench.data.annotations import AnnotationFile, read_annotations
from bench.data.coco import CocoImages, open_images
from bench.data.image_ids import number, original
from bench.data.layout import SPLIT_FILE, DataSet, Part, SplitFile, SplitPart
from bench.files import checksum, write_whole

_COPY = re.compile(r"(.+)\.rf\.[0-9a-zA-Z_-]{6,}")
"""Stem of a picture that Roboflow wrote: that of its source, and a code of its own for each augmented copy."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pictures that stay together: their image ids, the classes of their objects, and a name that no order changes."""

    name: str
    image_ids: tuple[int, ...]
    classes: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Side:
    """What a part got: numbers of pictures and objects, and the names of the classes that it has no object of."""

    images: int
    objects: int
    lacking: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Split:
    """A data set that was split, with what its parts have. `copies` are the pictures beyond the first of their group.

    `is_new` says whether it was written now, or was there already.
    """

    data: DataSet
    train: Side
    val: Side
    copies: int
    is_new: bool


def split(
    data: DataSet, out: Path, *, val: float = 0.2, seed: int = 0, part: Literal["train", "val"] | None = None
) -> Split:
    """Write annotation files of two parts of a data set into a folder, and what `recognise` needs to read it.

    `val` is the share of the pictures that are for validation. The same pictures, objects and seed give the same parts,
    in whatever order the file has them. A set that has two parts is split only where one of them is named as `part`.
    Raises ValueError for such a set, a share that leaves a part empty, a folder with other content, and as
    `open_images`.
    """
    if data.is_split and part is None:
        raise ValueError(
            f"{data.root} has two parts already: {data.train.annotations} and {data.val.annotations}; expected one "
            "that has one; use it as it is, or say which of its parts is to be split."
        )
    if not 0 < val < 1:
        raise ValueError(f"The share for validation is {val}; expected one between 0 and 1; give 0.2 for a fifth.")
    source = data.val if part == "val" else data.train
    files = open_images(replace(source, leave_out_maskless=True))  # all entries are copied as they are
    groups = _groups(files, read_annotations(source.annotations))
    chosen = choose(groups, val, seed)
    file = read_annotations(source.annotations)
    contents = {
        f"instances_{name}.json": _content(file, {image_id for group in side for image_id in group.image_ids})
        for name, side in (("train", [group for group in groups if group.name not in chosen]),
                           ("val", [group for group in groups if group.name in chosen]))
    }  # fmt: skip
    pictures = _from(out, source.pictures)
    made = SplitFile(
        kind=f"split of {data.kind.removeprefix('split of ')}",
        train=SplitPart(pictures=pictures, annotations="instances_train.json"),
        val=SplitPart(pictures=pictures, annotations="instances_val.json"),
        made_from={"annotations": _from(out, source.annotations), "checksum": file.checksum},
        made_by={"val": val, "seed": seed},
    )
    contents[SPLIT_FILE] = msgspec.json.format(msgspec.json.encode(made))  # the last to be written
    is_new = _write(out, contents, {data.train.annotations, data.val.annotations})
    parts = [Part(pictures=source.pictures, annotations=out / f"instances_{name}.json") for name in ("train", "val")]
    sides = [_side(file, {i for group in groups if (group.name in chosen) == is_val for i in group.image_ids})
             for is_val in (False, True)]  # fmt: skip
    return Split(
        data=DataSet(root=out, kind=made.kind, train=parts[0], val=parts[1]),
        train=sides[0],
        val=sides[1],
        copies=len(files.ids) - len(groups),
        is_new=is_new,
    )


def choose(groups: Sequence[Group], val: float, seed: int) -> frozenset[str]:
    """The names of the groups for validation: about a share `val` of the pictures, drawn by `seed`.

    A class with two groups or more keeps one for training. Rare classes choose first: one group each, then their share;
    the rest is drawn from all. Raises ValueError where no group can be spared.
    """
    order = sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {group.name}".encode()).digest())
    in_train = Counter(one for group in groups for one in group.classes)
    of_class: dict[int, list[Group]] = defaultdict(list)
    for group in order:
        for one in group.classes:
            of_class[one].append(group)
    rarest_first = sorted(of_class, key=lambda one: (len(of_class[one]), one))
    wanted = round(val * sum(len(group.image_ids) for group in groups))
    taken: dict[str, int] = {}
    in_val: Counter[int] = Counter()

    def take(candidates: Iterable[Group], enough: int, one: int | None = None) -> None:
        """Take groups until there are enough of a class, or of pictures."""
        for group in candidates:
            if (in_val[one] if one is not None else sum(taken.values())) >= enough:
                break
            fits = sum(taken.values()) + len(group.image_ids) <= wanted
            spared = all(in_train[each] > 1 for each in group.classes) and len(taken) + 1 < len(groups)
            if fits and spared and group.name not in taken:
                taken[group.name] = len(group.image_ids)
                in_val.update(group.classes)
                in_train.subtract(group.classes)

    for one in rarest_first:
        take(of_class[one], 1, one)
    for one in rarest_first:
        take(of_class[one], round(val * len(of_class[one])), one)
    take(order, wanted)
    if not taken and len(groups) > 1:  # the share is less than any group that can be spared
        smallest = min(order, key=lambda group: (any(in_train[one] < 2 for one in group.classes), len(group.image_ids)))
        taken[smallest.name] = len(smallest.image_ids)
    if not taken:
        raise ValueError(
            f"The data set has {len(groups)} group of pictures that must stay together (the same content, or copies of "
            "one source); expected at least two, one for each part; add pictures."
        )
    return frozenset(taken)


def _groups(files: CocoImages, file: AnnotationFile) -> list[Group]:
    """Groups of pictures by content and source. Pictures of other sizes than all others are not read."""
    names = {image.id: image.file_name or str(original(image.id)) for image in file.images}
    by_size: dict[int, list[int]] = defaultdict(list)
    for image_id in files.ids:
        by_size[files.paths[image_id].stat().st_size].append(image_id)
    keys: dict[str, list[int]] = defaultdict(list)
    for alike in by_size.values():
        for image_id in alike if len(alike) > 1 else ():
            keys[content_of(files.paths[image_id])].append(image_id)
    for image_id in files.ids:
        keys[source_of(names[image_id])].append(image_id)
    first = {image_id: image_id for image_id in files.ids}

    def root(image_id: int) -> int:
        while first[image_id] != image_id:
            first[image_id] = image_id = first[first[image_id]]
        return image_id

    for together in keys.values():
        for image_id in together[1:]:
            first[root(image_id)] = root(together[0])
    members: dict[int, list[int]] = defaultdict(list)
    for image_id in files.ids:
        members[root(image_id)].append(image_id)
    classes: dict[int, set[int]] = defaultdict(set)
    for annotation in file.annotations:
        if not annotation.iscrowd:
            classes[annotation.image_id].add(annotation.category_id)
    return [
        Group(
            name=min(f"{names[image_id]} {original(image_id)}" for image_id in ids),
            image_ids=tuple(ids),
            classes=frozenset(one for image_id in ids for one in classes[image_id]),
        )
        for ids in members.values()
    ]


def content_of(path: Path) -> str:
    """What two pictures of the same content have in common: a checksum, and for one that cannot be read its path."""
    try:
        return checksum(path)
    except OSError:
        return str(path)


def source_of(name: str) -> str:
    """The name of the picture that one was made of: itself, but for Roboflow's copies."""
    stem, _, _ = name.rpartition(".")
    copy = _COPY.fullmatch(stem)
    return name if copy is None else copy[1]


class _Image(msgspec.Struct):
    id: int | float | str


class _Annotation(msgspec.Struct):
    image_id: int | float | str


def _content(file: AnnotationFile, image_ids: set[int]) -> bytes:
    """The file with these images and their objects alone; entries are copied letter by letter, with all fields."""
    fields = msgspec.json.decode(json_file.text(file.content, file.name), type=dict[str, msgspec.Raw])
    images = msgspec.json.decode(fields["images"], type=list[msgspec.Raw])
    annotations = msgspec.json.decode(fields["annotations"], type=list[msgspec.Raw])
    about = msgspec.json.Decoder(_Image), msgspec.json.Decoder(_Annotation)
    kept: Mapping[str, object] = {
        "images": [each for each in images if number(about[0].decode(each).id) in image_ids],
        "annotations": [each for each in annotations if number(about[1].decode(each).image_id) in image_ids],
    }
    return msgspec.json.encode({**fields, **kept})


def _side(file: AnnotationFile, image_ids: set[int]) -> Side:
    objects = [each for each in file.annotations if each.image_id in image_ids and not each.iscrowd]
    there = {each.category_id for each in objects}
    annotated = {each.category_id for each in file.annotations if not each.iscrowd}
    return Side(
        images=len(image_ids),
        objects=len(objects),
        lacking=tuple(
            one.name or str(one.id) for one in file.categories if one.id in annotated and one.id not in there
        ),
    )


def _from(out: Path, path: Path) -> str:
    """A path as it is written: from the folder of the split where both may be moved together, else in full."""
    here, there = out.resolve(), path.resolve()
    together = here.parent in (there, *there.parents) or here in there.parents
    return os.path.relpath(there, here) if together else str(there)


def _write(out: Path, contents: Mapping[str, bytes], inputs: set[Path]) -> bool:
    """Write files that are not there yet; say whether any was not. Raises ValueError where one has other content."""
    try:
        for name, content in contents.items():
            path = out / name
            if path.exists() and (path.is_dir() or path.read_bytes() != content):
                is_input = any(path.samefile(each) for each in inputs)
                what = "is an annotation file of the data set" if is_input else "has other content already"
                raise ValueError(
                    f"{path} {what}; expected a folder for this split alone; name another, or remove what is there."
                )
        out.mkdir(parents=True, exist_ok=True)
        missing = [name for name in contents if not (out / name).exists()]
        for name in missing:
            write_whole(out / name, contents[name])
    except OSError as error:
        raise ValueError(
            f"The split cannot be written to {out}: {error.strerror}; expected a folder that can be written; name "
            "another."
        ) from error
    return bool(missing)
