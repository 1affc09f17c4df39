"""Annotation files in a data set's folder, and which part of it each is about: by name, else by how it begins."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from bench.data.folders import Folder, is_annotation_file

_SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
_ANNOTATIONS = ("annotations", "annotation", "labels", "json", "jsons", "coco", "ann")
_OTHER_TASKS = ("captions", "image_info", "panoptic", "person_keypoints", "stuff", "labels_")
_MOST_JSON = 50  # in one folder: more are a file a picture, which is another format


@dataclass(frozen=True, kw_only=True)
class Found:
    """An annotation file. `part` is train, val, test or "" for the whole; `word` is how its name says so."""

    path: Path
    kind: str
    part: str = ""
    word: str = ""


def known(folder: Folder) -> list[Found]:
    """Annotation files whose names are those of Roboflow, COCO or CVAT."""
    found = []
    for below in (folder, *map(Folder, folder.folders)):
        part, word = part_of(below.path.name)
        if below is folder or part:
            files = [
                Found(path=path, kind="Roboflow", part="" if below is folder else part, word=word)
                for path in below.json_files
                if re.fullmatch(r"_annotations\.coco(-\w+)?\.json(\.gz)?", path.name, re.IGNORECASE)
            ]
            found += files[:1]  # of two, the one of masks, which is named so
    for below in _places(folder):
        for path in below.json_files:
            match = re.fullmatch(r"instances_(([a-z]+)[_-]?(\d*))\.json(\.gz)?", path.name, re.IGNORECASE)
            if match is None:
                continue
            word = match[1]
            if word.lower() == "default":
                found.append(Found(path=path, kind="CVAT", word=word))
            elif match[2].lower() in _SPLITS:
                in_cvat = word[0].isupper() and (folder.path / "images" / word).is_dir()
                kind = "CVAT" if in_cvat else "COCO"
                found.append(Found(path=path, kind=kind, part=_SPLITS[match[2].lower()], word=word))
    kinds = {each.kind for each in found}
    if kinds == {"COCO", "CVAT"}:  # subsets of one task in CVAT, some without pictures
        return [replace(each, kind="CVAT") for each in found]
    return found


def lvis(folder: Folder) -> list[Found]:
    """LVIS's own annotation files."""
    found = []
    for below in _places(folder):
        for path in below.json_files:
            match = re.fullmatch(r"lvis_v(\d[\d.]*)_(train|val)\.json(\.gz)?", path.name, re.IGNORECASE)
            if match is not None:
                part = match[2].lower()
                found.append(Found(path=path, kind=f"LVIS v{match[1]}", part=part, word=f"{part}2017"))
    return found


def plain(folder: Folder) -> list[Found]:
    """JSON files in COCO's format under any name."""
    found = []
    splits = [Folder(path) for path in folder.folders if part_of(path.name)[0]]
    nested = [place for each in splits for place in (each, *_places(each)[1:])]
    for below in (*_places(folder), *nested):
        if len(below.json_files) > _MOST_JSON:
            continue
        for path in below.json_files:
            if path.name.lower().startswith(_OTHER_TASKS) or not is_annotation_file(path):
                continue
            of_name = part_of(path.name.partition(".")[0])
            part, word = of_name if of_name[0] or below not in nested else part_of(_split_folder(folder, path))
            studio = path.name == "result.json" and below is folder
            found.append(Found(path=path, kind="Label Studio" if studio else "plain COCO", part=part, word=word))
    return found


def _split_folder(folder: Folder, path: Path) -> str:
    return path.relative_to(folder.path).parts[0]


def _places(folder: Folder) -> list[Folder]:
    """Where annotation files lie: the folder, and those in it that are named after them."""
    return [folder, *(Folder(path) for path in folder.folders if path.name.lower() in _ANNOTATIONS)]


def part_of(name: str) -> tuple[str, str]:
    """Which part a name is about, and by which of its words; nothing where it names none, or several."""
    words = [word for word in re.findall(r"[a-z]+", name.lower()) if word in _SPLITS]
    parts = {_SPLITS[word] for word in words}
    return (parts.pop(), words[0]) if len(parts) == 1 else ("", "")
