"""A small set of real photographs: which images of COCO and LVIS it has, and its part of larger annotation files.

Its images are chosen by id from whatever directory is given, so that a directory with only these and one with all of
COCO give the same numbers under the same key. AP and AP* are measured on different images: only 4 are in both lists.
"""

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import resources
from pathlib import Path

import msgspec

from bench import json_file
from bench.files import cache_folder, write_whole


class Ids(msgspec.Struct, frozen=True, kw_only=True):
    """Image ids: `train` of train2017, `val` of val2017 with COCO's annotations, `lvis` of val2017 with LVIS v0.5's."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    lvis: tuple[int, ...]


IDS = msgspec.json.decode(resources.files("bench.data").joinpath("coco_mini_ids.json").read_bytes(), type=Ids)


class _Image(msgspec.Struct, frozen=True, gc=False):
    id: int


class _Annotation(msgspec.Struct, frozen=True, gc=False):
    image_id: int


class _File(msgspec.Struct, frozen=True):
    images: list[_Image]
    annotations: list[_Annotation]


class _Entries(msgspec.Struct, frozen=True):
    """The same entries with all their fields, not decoded: of 860,000 annotations few are wanted."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[msgspec.Raw]


def training_annotations(source: Path) -> Path:
    """Write the part of a file of training annotations about these images, and give its file in the cache.

    Raises ValueError for a file that does not fit or lacks some of the images, and where the cache cannot be written.
    """
    name = "instances_train2017.json"
    return written({name: (source, IDS.train)}, cache_folder()) / "annotations" / name


def extract(path: Path, ids: Collection[int]) -> bytes:
    """Give the part of an annotation file about some images, as the same bytes for the same entries in any file.

    Entries keep all their fields, and annotations of an image their order; so do the categories, also those without
    an object left. Raises ValueError for a file that does not fit the format or lacks images, saying how many.
    """
    content, name = json_file.read(path), str(path)
    file = json_file.decode(content, name, msgspec.json.Decoder(_File), "annotation")
    wanted = set(ids)
    missing = sorted(wanted - {image.id for image in file.images})
    if missing:
        first = ", ".join(map(str, missing[:3])) + ", ..." * (len(missing) > 3)
        raise ValueError(
            f"{name} lacks {len(missing)} of the {len(wanted)} images that are chosen by id: {first}; expected all of "
            "them; give a file with more images, such as COCO's or LVIS's own."
        )
    entries = json_file.decode(content, name, msgspec.json.Decoder(_Entries), "annotation")
    images = [(each.id, raw) for each, raw in zip(file.images, entries.images, strict=True)]
    objects = [(each.image_id, raw) for each, raw in zip(file.annotations, entries.annotations, strict=True)]

    def chosen(numbered: list[tuple[int, msgspec.Raw]]) -> list[object]:
        kept = [(image_id, raw) for image_id, raw in numbered if image_id in wanted]
        return [msgspec.json.decode(raw) for _, raw in sorted(kept, key=lambda each: each[0])]

    made = {
        "images": chosen(images),
        "annotations": chosen(objects),
        "categories": [msgspec.json.decode(raw) for raw in entries.categories],
    }
    return msgspec.json.encode(made, order="deterministic")


def written(parts: Mapping[str, tuple[Path, Collection[int]]], cache: Path, images: Path | None = None) -> Path:
    """Write parts of annotation files, by name, and a link to `images` into a folder of the cache; give the folder.

    It is laid out as COCO's and named after its sources as they are now: they are read again only if one has changed or
    moved. All ranks may come here at once, since files and links appear whole.
    """
    state = [(name, path.resolve(), json_file.stamp(path), sorted(ids)) for name, (path, ids) in parts.items()]
    digest = hashlib.sha256(repr((state, images and images.resolve())).encode()).hexdigest()
    folder = cache / f"coco_mini-{digest[:12]}"
    try:
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        if images is not None:
            with suppress(FileExistsError):
                (folder / images.name).symlink_to(images.resolve(), target_is_directory=True)
        for name, (path, ids) in parts.items():
            target = folder / "annotations" / name
            if not target.is_file():
                write_whole(target, extract(path, ids))
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written: {error.strerror}; expected room for a few annotations; make room there, or "
            "set XDG_CACHE_HOME to another folder."
        ) from error
    return folder
