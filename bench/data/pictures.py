"""Where the picture of every image of an annotation file lies.

By `file_name`, as an annotation tool on another machine may have written it; else by `coco_url`, whose last folder
lies beside the others (LVIS v1); else by the 12-digit id, COCO's own names. A name is evidence, a number less so: a
picture that the name contradicts is never taken for its number's sake. Folders are listed once, and sub-folders only
where a name is not a path already.
"""

import filecmp
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import takewhile
from pathlib import Path
from unicodedata import normalize
from urllib.parse import parse_qsl, unquote

from PIL import Image

from bench.data.entries import ImageEntry
from bench.data.findings import Finding, Ledger
from bench.data.image_ids import original
from bench.data.layout import Part

_NO_PICTURES = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
"""Formats of which Pillow knows the name alone, or that it draws with another program."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*")
_DRIVE = re.compile(r"[A-Za-z]:")
_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""

_Components = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The file of every image, by image id, and what was odd about finding them."""

    paths: Mapping[int, Path]
    findings: tuple[Finding, ...]


def find_pictures(part: Part, images: Sequence[ImageEntry], root: Path | None = None) -> Found:
    """Find the picture of every image in the folders of a part. Nothing is opened but pictures in doubt.

    Names may be relative to the part's folder or to those above it, up to `root`, the data set's (by default one up).
    Raises ValueError for a folder that cannot be listed, missing pictures (counted, the first three named), a name
    that two different pictures have, and a picture by name beside a different one by the 12-digit id.
    """
    folders = _Folders(pictures=part.pictures, root=root or part.pictures.parent)
    ledger = Ledger()
    paths: dict[int, Path] = {}
    owners: dict[str, ImageEntry] = {}
    missing = []
    for image in images:
        path = _find(image, folders, ledger)
        if path is None:
            missing.append(image)
            continue
        paths[image.id] = Path(path)
        if owners.setdefault(path, image) is not image:
            what = "images with the file of another one, each measured with its own annotations"
            ledger.note("shared_pictures", what, f"image {original(image.id)}: {paths[image.id].name}")
    if missing:
        raise ValueError(_lacks(folders, missing, len(images), owners))
    for closed in folders.closed:
        ledger.note("closed_folders", "folders that cannot be listed, where no picture was looked for", closed)
    return Found(paths=paths, findings=ledger.findings)


@cache
def picture_endings() -> frozenset[str]:
    """Endings of the pictures that Pillow opens, lower case and with their dot."""
    known = Image.registered_extensions()
    return frozenset(ending for ending, kind in known.items() if kind in Image.OPEN and kind not in _NO_PICTURES)


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its name, and none of the hidden ones that macOS leaves beside each."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in picture_endings()


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """Names of the regular files (links to them too) and of the folders in a folder."""

    files: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()


@dataclass
class _Folders:
    """The folders of a part, each listed when it is first needed; `closed` are those that cannot be."""

    pictures: Path
    root: Path
    closed: list[str] = field(default_factory=list)
    _listings: dict[str, _Listing] = field(default_factory=dict)

    @cached_property
    def top(self) -> str:
        """The folder of the pictures."""
        return str(self.pictures)

    @cached_property
    def files(self) -> frozenset[str]:
        """Names of the files directly in the folder of the pictures. Raises ValueError where it cannot be listed."""
        try:
            self._listings[self.top] = _list(self.top)
        except OSError as error:
            raise ValueError(
                f"The folder {self.top} cannot be listed: {error.strerror}; expected the pictures of a data set; "
                "correct the path, or give yourself the permission to read it."
            ) from error
        return self._listings[self.top].files

    @cached_property
    def bases(self) -> tuple[str, ...]:
        """To what a name may be relative: the folder of the pictures and those above it up to the root."""
        above = list(self.pictures.parents)
        return (self.top, *map(str, above[: above.index(self.root) + 1] if self.root in above else ()))

    def listing(self, folder: str) -> _Listing:
        """What is in a folder: nothing where it is absent or closed."""
        if folder not in self._listings:
            try:
                self._listings[folder] = _list(folder)
            except PermissionError:
                self.closed.append(folder)
                self._listings[folder] = _Listing()
            except (OSError, ValueError):  # absent, no folder, a loop of links; a name that no system takes
                self._listings[folder] = _Listing()
        return self._listings[folder]

    def at(self, base: str, components: _Components) -> str | None:
        """The file of that path below a base, if it is there."""
        folder = os.path.join(base, *components[:-1])
        return os.path.join(folder, components[-1]) if components[-1] in self.listing(folder).files else None

    @cached_property
    def below(self) -> tuple[str, ...]:
        """Every file below the folder of the pictures, hidden ones left out; once, however many links lead there."""
        found, waiting, seen = [], [self.top], set()
        while waiting:
            folder = waiting.pop()
            try:
                state = os.stat(folder)
            except OSError:
                continue
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            inside = self.listing(folder)
            found += [os.path.join(folder, name) for name in sorted(inside.files) if not name.startswith(".")]
            waiting += [os.path.join(folder, name) for name in inside.folders if not name.startswith(".")]
        return tuple(found)

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[str]]:
        """The files below by their name, whatever its case."""
        return _grouped((_folded(os.path.basename(path)), path) for path in self.below)

    @cached_property
    def by_stem(self) -> Mapping[str, Sequence[str]]:
        """The pictures below by their name without its ending, whatever its case."""
        return _grouped((_folded(_stem(path)), path) for path in self.below if is_picture(os.path.basename(path)))

    @cached_property
    def by_number(self) -> Mapping[str, Sequence[str]]:
        """The pictures directly in the folder by their name without its ending; photographs before drawings."""
        names = sorted(
            filter(is_picture, self.files), key=lambda name: (not name.lower().endswith(("jpg", "jpeg")), name)
        )
        return _grouped((_stem(name), os.path.join(self.top, name)) for name in names)


def _list(folder: str) -> _Listing:
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_file():
                    files.append(entry.name)
                elif entry.is_dir():
                    folders.append(entry.name)
            except OSError:  # a link to itself
                continue
    return _Listing(files=frozenset(files), folders=tuple(sorted(folders, reverse=True)))


def _find(image: ImageEntry, folders: _Folders, ledger: Ledger) -> str | None:
    """The file of an image. Raises ValueError where two different ones may be meant."""
    called = original(image.id)
    name = image.file_name or (called if isinstance(called, str) else "")
    number = f"{image.id:012d}"
    if name in folders.files:
        path: str | None = os.path.join(folders.top, name)
        if name.startswith(number) and _stem(name) == number:
            return path
    else:
        path = (_by_name(image, name, folders, ledger) if name else None) or _by_url(image.coco_url, folders)
    by_id, *_ = folders.by_number.get(number, ()) or (None,)
    if path is None:
        if by_id is not None and not _is_of_another(image):
            return by_id
        return None if name else _only(folders.by_stem.get(str(image.id), ()), image, str(image.id))
    if by_id is not None and path != by_id and not _is_beside(path, by_id) and not _same(path, by_id):
        raise ValueError(
            f"Two different pictures may be image {called}: {path} by its name, {by_id} by its id; expected one; "
            "remove the pictures that no name means, or number the images as their files are."
        )
    return path


def _is_beside(path: str, other: str) -> bool:
    """Whether two files differ in their ending alone, as a photograph and a drawing of its masks."""
    return os.path.splitext(path)[0] == os.path.splitext(other)[0]


def _by_name(image: ImageEntry, name: str, folders: _Folders, ledger: Ledger) -> str | None:
    spellings = _spellings(name)
    for components in spellings:
        for base in folders.bases:
            path = folders.at(base, components)
            if path is not None:
                return path
    for components in spellings:
        path = _only(_named(components, folders), image, name)
        if path is not None:
            return path
    for components in spellings:
        path = _only(_of_stem(components, folders), image, name)
        if path is not None:
            what = "pictures with another ending than their file_name"
            ledger.note("other_endings", what, os.path.basename(path), plain=True)
            return path
    for *before, last in spellings:
        path = _only(_named((*before, _UPLOAD.sub("", last, count=1)), folders), image, name)
        if path is not None:
            what = "pictures found by their file_name without what Label Studio put before it"
            ledger.note("names_before_upload", what, os.path.basename(path), plain=True)
            return path
    return name if os.path.isabs(name) and os.path.isfile(name) else None


def _spellings(name: str) -> tuple[_Components, ...]:
    """What a name may mean as a path: itself, and freed from what belongs to another machine or a server."""
    plain = name.strip().replace("\\", "/")
    address, _, query = plain.partition("?")
    texts = dict.fromkeys((name, plain, unquote(plain), unquote(address.partition("#")[0])))
    if query:
        texts |= dict.fromkeys(value for _, value in parse_qsl(query) if os.path.splitext(value)[1])
    return tuple(dict.fromkeys(filter(None, map(_components, texts))))


def _components(text: str) -> _Components:
    """Folders and name of a path without the machine, the drive, and the way up to what they were relative to."""
    if ":" in text:
        text = _DRIVE.sub("", _URL.sub("", text, count=1), count=1)
    found: list[str] = []
    for component in text.split("/"):
        if component == ".." and found:
            found.pop()
        elif component not in ("", ".", ".."):
            found.append(component)
    return tuple(found)


def _named(components: _Components, folders: _Folders) -> list[str]:
    """The files that end with most of these components."""
    found = dict.fromkeys(folders.by_name.get(_folded(components[-1]), ()))
    for base in folders.bases:
        ends = (folders.at(base, components[first:]) for first in range(1, len(components)))
        found |= dict.fromkeys(path for path in ends if path is not None)
    return _closest({path: tuple(path.split(os.sep)) for path in found}, components)


def _of_stem(components: _Components, folders: _Folders) -> list[str]:
    """The pictures that end with most of these components but for the ending of their name."""
    *before, name = components
    stem = _stem(name) if is_picture(name) else name
    found = folders.by_stem.get(_folded(stem), ())
    return _closest({path: (*path.split(os.sep)[:-1], _stem(path)) for path in found}, (*before, stem))


def _closest(found: Mapping[str, _Components], components: _Components) -> list[str]:
    """The paths that share most components with a name from the end on; case counts where it tells them apart."""
    if len(found) < 2:
        return list(found)
    for form in (str, _composed, _folded):
        shared = {path: _num_shared(map(form, parts), map(form, components)) for path, parts in found.items()}
        most = max(shared.values(), default=0)
        if most:
            return [path for path, count in shared.items() if count == most]
    return []


def _num_shared(parts: Iterable[str], components: Iterable[str]) -> int:
    """How many components at the end are the same."""
    pairs = zip(reversed([*parts]), reversed([*components]), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _only(found: Sequence[str], image: ImageEntry, name: str) -> str | None:
    """The one of these files. Raises ValueError where they are several different ones."""
    for other in found[1:]:
        if not _same(found[0], other):
            raise ValueError(
                f"Image {original(image.id)} is called {name}, as are {found[0]} and {other}, which differ; "
                "expected one such picture; name the folder in file_name, or remove one of the two."
            )
    return found[0] if found else None


def _by_url(url: str, folders: _Folders) -> str | None:
    """The file of an address: its last folder lies beside the folder of the pictures, above or in it."""
    for components in _spellings(url):
        for base in (str(folders.pictures.parent), *folders.bases):
            path = folders.at(base, components[-2:])
            if path is not None:
                return path
        if components[-1] in folders.files:
            return os.path.join(folders.top, components[-1])
    return None


def _is_of_another(image: ImageEntry) -> bool:
    """Whether the last number in an image's file_name is not its id."""
    numbers = re.findall("[0-9]+", os.path.splitext(os.path.basename(image.file_name))[0])
    return bool(numbers) and numbers[-1].lstrip("0") != str(image.id).lstrip("0")


def _same(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second) or filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False


def _lacks(folders: _Folders, missing: Sequence[ImageEntry], num_images: int, found: Mapping[str, object]) -> str:
    names = [image.file_name if is_picture(image.file_name) else _numbered(image) for image in missing[:3]]
    unnamed = [path for path in folders.below if is_picture(os.path.basename(path)) and path not in found]
    others = " and ".join(os.path.relpath(path, folders.top) for path in unnamed[:2])
    return (
        f"{folders.top} lacks {len(missing)} of the {num_images} images of the run: {', '.join(names)}"
        f"{', ...' * (len(missing) > 3)}"
        + (f"; it holds {len(unnamed)} that no image of the run is, such as {others}" if unnamed else "")
        + (f"; the folder {folders.closed[0]} cannot be listed" if folders.closed else "")
        + "; expected every annotated image; "
        + "download the rest, or use an annotation file or number of images that covers what is there"
        + (", or correct its file_name of each image." if unnamed else ".")
    )


def _numbered(image: ImageEntry) -> str:
    called = original(image.id)
    return called if isinstance(called, str) else f"{image.id:012d}.jpg"


def _grouped(pairs: Iterator[tuple[str, str]]) -> Mapping[str, Sequence[str]]:
    groups: dict[str, list[str]] = {}
    for key, path in pairs:
        groups.setdefault(key, []).append(path)
    return groups


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _composed(text: str) -> str:
    return text if text.isascii() else normalize("NFC", text)


def _folded(text: str) -> str:
    return _composed(text).casefold()
