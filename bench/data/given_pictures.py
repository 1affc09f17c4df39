"""Pictures that a user names: files, folders and patterns, each with the name that results know it by."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.coco import CocoImages
from bench.data.image_ids import Id, original
from bench.data.images import BY_SIZE, ReadingRule, Size
from bench.data.pictures import is_picture

_MAGIC = "*?["
_COCO_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class GivenPicture:
    """A picture file. `name` is its path below what was named, with slashes; no two pictures have the same.

    One of a data set has its id and (height, width) there, and is read by the data set's rule.
    """

    path: Path
    name: str
    image_id: Id | None = None
    size: Size | None = None
    rule: ReadingRule = BY_SIZE


@dataclass(frozen=True, kw_only=True)
class GivenPictures:
    """The pictures that were found, by name, and the folders below those named that could not be read, with reasons."""

    pictures: tuple[GivenPicture, ...]
    unreadable: tuple[str, ...] = ()


def named_pictures(named: Sequence[str], *, without: Path | None = None) -> GivenPictures:
    """Find the pictures of files, folders and patterns.

    A file is taken whatever its ending. A folder is searched to the bottom, links included, for every ending of a
    picture that Pillow opens; names that begin with a dot are left out, and so is the folder `without`, unless it is
    the one that was named. In a pattern, `**` stands for any folders and follows no links. Raises ValueError where
    something is not there, or has no picture.
    """
    if not named:
        raise ValueError("No picture was named; expected files, folders or patterns; name at least one.")
    found: dict[Path, Path] = {}
    unreadable: list[str] = []
    for each in named:
        for path, root in _of_one(each, without, unreadable):
            found.setdefault(Path(os.path.abspath(path)), root)
    return GivenPictures(pictures=tuple(_named(found)), unreadable=tuple(unreadable))


def of_data_set(files: CocoImages) -> GivenPictures:
    """The pictures of a part of a data set, a file that is several images once."""
    common = Path(os.path.commonpath([path.absolute().parent for path in files.paths.values()]))
    found: dict[str, GivenPicture] = {}
    for image_id, path in files.paths.items():
        name = _text(path.absolute().relative_to(common).as_posix())
        picture = GivenPicture(
            path=path, name=name, image_id=original(image_id), size=files.sizes[image_id], rule=files.rule
        )
        found.setdefault(name, picture)
    return GivenPictures(pictures=tuple(found.values()))


def numbers(pictures: Sequence[GivenPicture]) -> list[Id]:
    """Ids for pictures, by which annotations find them: those that they have in a data set.

    For others, COCO's number where the name without its ending is one, such as 000000000139; else that name, or the
    whole one where two pictures share it.
    """
    stems = [_number(picture.path.stem) for picture in pictures]
    times = Counter(stems)
    named = [stem if times[stem] == 1 else picture.name for stem, picture in zip(stems, pictures, strict=True)]
    return [
        name if picture.image_id is None else picture.image_id for name, picture in zip(named, pictures, strict=True)
    ]


def _number(stem: str) -> Id:
    if not (stem.isascii() and stem.isdigit()):
        return _text(stem)
    return int(stem) if len(stem) == _COCO_DIGITS or (stem == str(int(stem)) and len(stem) < 19) else stem


def _of_one(named: str, without: Path | None, unreadable: list[str]) -> Iterator[tuple[Path, Path]]:
    """The pictures of one name, each with the folder that its own name is below."""
    path = Path(named)
    if os.path.isdir(path):  # which, unlike that of pathlib, takes what may not be looked at for nothing
        seen = len(unreadable)
        pictures = list(_walk(path, without, unreadable))
        if not pictures:
            fault = f" ({unreadable[seen]})" if len(unreadable) > seen else ""
            raise ValueError(
                f"The folder {path} has no pictures{fault}; expected files with an ending that Pillow opens, such as "
                ".jpg, .png or .tif, in it or below; check the path."
            )
        yield from ((each, path) for each in pictures)
    elif os.path.isfile(path) or os.path.islink(path):
        yield path, path.parent
    elif any(letter in named for letter in _MAGIC):
        yield from _matching(path, without, unreadable)
    else:
        raise ValueError(f"There is no file or folder {path}; expected a picture or pictures; check the path.")


def _matching(pattern: Path, without: Path | None, unreadable: list[str]) -> Iterator[tuple[Path, Path]]:
    parts = pattern.parts
    first = next(place for place, part in enumerate(parts) if any(letter in part for letter in _MAGIC))
    root = Path(*parts[:first])
    try:
        matches = sorted(root.glob("/".join(parts[first:]))) if os.path.isdir(root) else []
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"{pattern} is no pattern: {error}; expected such as photos/**/*.jpg; write it so.") from error
    hidden = [any(part.startswith(".") for part in each.relative_to(root).parts) for each in matches]
    matches = [each for each, is_hidden in zip(matches, hidden, strict=True) if not is_hidden]
    pictures = [
        each for each in matches if is_picture(each.name) and not os.path.isdir(each) and not _below(each, without)
    ]
    folders = [each for each in matches if os.path.isdir(each) and not _below(each, without)]
    pictures += [each for folder in folders for each in _walk(folder, without, unreadable)]
    if not pictures:
        raise ValueError(
            f"The pattern {pattern} matches {len(matches)} files and folders, and no picture; expected files with an "
            "ending that Pillow opens, such as .jpg, .png or .tif; check it, and put quotes around it."
        )
    yield from ((each, root) for each in pictures)


def _below(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def _walk(root: Path, without: Path | None, unreadable: list[str]) -> Iterator[Path]:
    """The pictures in and below a folder in the order of their names. A folder that links lead to twice counts once."""
    left_out = None if without is None or _same(root, without) else without.resolve()
    seen: set[tuple[int, int]] = set()

    def tell(error: OSError) -> None:
        unreadable.append(f"{error.filename} cannot be read: {error.strerror}")

    for folder, below, files in os.walk(root, followlinks=True, onerror=tell):
        here = Path(folder)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen or here.resolve() == left_out:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (here / name for name in sorted(files) if is_picture(name))


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _named(found: dict[Path, Path]) -> list[GivenPicture]:
    """Name pictures by their paths below the folders they were named with, or where two agree, below a common one."""
    names = {path: Path(os.path.relpath(path, root.absolute())).as_posix() for path, root in found.items()}
    if len(set(map(_text, names.values()))) < len(names):
        common = os.path.commonpath([path.parent for path in found])
        names = {path: path.relative_to(common).as_posix() for path in found}
    return [GivenPicture(path=path, name=_text(name)) for path, name in names.items()]


def _text(name: str) -> str:
    """A name as text that can be written: bytes that are none are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
