"""What lies in a folder that a user names: its sub-folders, whether pictures are below it, and how its files begin."""

import codecs
import gzip
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PICTURE_SUFFIXES = frozenset(
    f".{ending}"
    for ending in "jpg jpeg jpe jfif png bmp dib tif tiff webp gif ppm pgm pbm jp2 avif heic".split(" ")  # noqa: SIM905
)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")

_DEEPEST = 4  # levels below a folder in which pictures are looked for; also what ends a loop of links
_HEAD_BYTES = 2**20


@dataclass(frozen=True)
class Folder:
    """A folder, listed once. Hidden files are left out, and what unpacking on other systems leaves behind."""

    path: Path

    @cached_property
    def _names(self) -> tuple[list[str], list[str]]:
        """Of sub-folders, and of everything else; tens of thousands of files must not become paths."""
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if not entry.name.startswith((".", "__MACOSX")):
                        (folders if _is_folder(entry) else files).append(entry.name)
        except OSError as error:
            raise ValueError(
                f"The folder {self.path} cannot be read: {error.strerror}; expected one of pictures and annotation "
                "files; give another, or its owner's permission to read."
            ) from error
        return sorted(folders), sorted(files)

    @property
    def folders(self) -> list[Path]:
        """Sub-folders by name."""
        return [self.path / name for name in self._names[0]]

    @property
    def files(self) -> list[str]:
        """Names of everything else."""
        return self._names[1]

    @property
    def json_files(self) -> list[Path]:
        """JSON files, plain or gzip."""
        return [self.path / name for name in self.files if name.lower().endswith((".json", ".json.gz"))]

    @property
    def has_pictures(self) -> bool:
        """Whether a picture lies right in it."""
        return any(map(_is_picture, self.files))


def open_folder(path: Path) -> Folder:
    """A folder that a user named. Raises ValueError for what is none, or may not be read."""
    try:
        path.stat()
    except OSError as error:
        raise ValueError(
            f"The folder {path} cannot be opened: {error.strerror}; expected that of a data set, with pictures and "
            "annotation files; check the path."
        ) from error
    if not path.is_dir():
        if path.name.lower().endswith(ARCHIVES):
            raise ValueError(f"{path} is an archive; expected the folder of a data set; unpack it and give the folder.")
        raise ValueError(
            f"{path} is a file; expected the folder of a data set, with pictures and annotation files; give its "
            f"folder, {path.absolute().parent}, or the one above."
        )
    folder = Folder(path)
    _ = folder.files
    return folder


def holds_pictures(path: Path) -> bool:
    """Whether a picture lies somewhere below a folder."""
    return any(True for _ in pictures_below(path))


def pictures_below(path: Path, levels: int = _DEEPEST) -> Iterator[Path]:
    """The pictures below a folder. What may not be read has none."""
    try:
        folder = Folder(path)
        yield from (path / name for name in folder.files if _is_picture(name))
    except ValueError:
        return
    for below in folder.folders if levels > 1 else ():
        yield from pictures_below(below, levels - 1)


def _is_picture(name: str) -> bool:
    return name[name.rfind(".") :].lower() in PICTURE_SUFFIXES


def head(path: Path) -> str:
    """How a text file begins, unpacked; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            content: bytes = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return ""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig", "ignore")


def is_annotation_file(path: Path) -> bool:
    """Whether a JSON file begins as one in COCO's format."""
    text = head(path)
    if not text.lstrip().startswith("{"):
        return False
    lists = set(re.findall(r'"(images|annotations|categories)"\s*:\s*[\[{]', text))
    if len(text) < _HEAD_BYTES // 2:
        return {"images", "annotations"} <= lists
    return bool(lists) and '"shapes"' not in text[:2000]


def file_names(path: Path, most: int = 3) -> list[str]:
    """The first names of pictures that an annotation file has, if they stand near its beginning."""
    found = re.finditer(r'"file_name"\s*:\s*("(?:[^"\\]|\\.)+")', head(path))
    return [json.loads(name[1], strict=False) for name in itertools.islice(found, most)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
