"""A JSON file, plain or gzip: decoded fast, and where it does not fit, read again slowly to say at which entry.

An entry is an annotation of an annotation file or a result of a results file. It is named by its place, counted from 0,
and by its image: ids of annotations may be missing or used twice.
"""

import gzip
import json
import math
import re
import zlib
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

T = TypeVar("T")


class State(NamedTuple):
    """A file as it was once. While it is the same, what was made of its content need not be made again."""

    path: Path
    resolved: Path
    changed_ns: int
    num_bytes: int


_GZIP = b"\x1f\x8b"
_ENTRY = re.compile(r"at `\$(?:\.annotations)?\[(\d+)\]")


def read(path: Path) -> bytes:
    """Read a file's content as it is. Raises ValueError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(_unreadable(path, error)) from error


def stamp(path: Path) -> tuple[int, int]:
    """Time of a file's last change in ns and its size in bytes, by which content that was read before is known again.

    Raises ValueError as `read`.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(_unreadable(path, error)) from error
    return status.st_mtime_ns, status.st_size


def state(path: Path) -> State:
    """A file as it is now. Raises ValueError as `read`."""
    return State(path, path.resolve(), *stamp(path))


def unzip(content: bytes, name: str) -> bytes:
    """Decompress gzip, known by its first bytes; other content is given back. Raises ValueError for damaged gzip."""
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{name} is damaged: {error}; expected a complete gzip file; write or copy it again."
        ) from error


def decode(content: bytes, name: str, decoder: msgspec.json.Decoder[T], entry: str) -> T:
    """Decode a file's content into typed objects; `entry` is what messages call one of its entries.

    Raises ValueError for content that is not JSON (as Python's NaN and Infinity) or does not fit, naming the entry and
    its image.
    """
    text = unzip(content, name)
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise ValueError(_misfit(text, name, entry, str(error))) from error
    except msgspec.DecodeError as error:
        raise ValueError(_not_json(text, name, entry, str(error))) from error
    except RecursionError as error:
        raise ValueError(
            f"{name} does not fit the format: its lists or objects are nested too deeply; expected a file of {entry}s; "
            "give another or repair it."
        ) from error


def _unreadable(path: Path, error: OSError) -> str:
    return f"The file {path} cannot be read: {error.strerror}; expected a JSON file in COCO's format; check the path."


def _misfit(text: bytes, name: str, entry: str, error: str) -> str:
    found = _ENTRY.search(error)
    if found is None:
        hint = " (an annotation file?)" * ("got `object`" in error) + " (a results file?)" * ("got `array`" in error)
        return misfit(f"{name}{hint}", entry, error)
    index = int(found[1])
    entries = _entries(text) or []  # none where the rest of the file is not JSON
    return misfit(name, entry, error, place(entry, index, _image(entries[index] if entries else None)))


def _not_json(text: bytes, name: str, entry: str, error: str) -> str:
    """Explain content that msgspec cannot read: Python's json reads NaN and Infinity, and so finds their entry."""
    entries = _entries(text)
    if entries is None:
        return f"{name} is not complete JSON: {error}; expected one JSON document; write or download the file again."
    for index, each in enumerate(entries):
        for field, value in each.items() if isinstance(each, dict) else ():
            if not _is_finite(value):
                number = value if isinstance(value, float) else "a number that is NaN or infinite"
                return (
                    f"{name}: {place(entry, index, _image(each))} has {number} as its {field}, which is not JSON; "
                    "expected finite numbers; repair or remove it."
                )
    return f"{name} is not JSON: {error}; expected finite numbers in UTF-8 without a byte order mark; repair the file."


def misfit(name: str, entry: str, error: str, where: str = "") -> str:
    """Say that a file, or the one of its entries that `where` names, does not fit the format."""
    if where:
        return f"{name}: {where} does not fit the format: {error}; repair or remove it."
    return f"{name} does not fit the format: {error}; expected a file of {entry}s; give another or repair it."


def place(entry: str, index: int, image: object) -> str:
    """Name an entry of a file, as all messages do: "result 3 (image 139)"."""
    return f"{entry} {index} (image {image})"


def _entries(text: bytes) -> list[object] | None:
    """The entries as Python's json reads them, or nothing where it cannot read the file either."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = document.get("annotations") if isinstance(document, dict) else document
    return found if isinstance(found, list) else []


def _image(entry: object) -> object:
    return entry.get("image_id", "unknown") if isinstance(entry, dict) else "unknown"


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(_is_finite(each) for each in value)
    return all(_is_finite(each) for each in value.values()) if isinstance(value, dict) else True
