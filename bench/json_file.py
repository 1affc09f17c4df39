"""A JSON file, plain or gzip: decoded fast, and where it does not fit, read again slowly to say at which entry.

An entry is an annotation of an annotation file or a result of a results file. It is named by its place, counted from 0,
and by its image: ids of annotations may be missing or used twice. Text may be in UTF-8, UTF-16 or UTF-32, with a byte
order mark or without. Checksums are those of the bytes of the file, whatever these are.
"""

import codecs
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from bench.file_kind import kind

T = TypeVar("T")


class State(NamedTuple):
    """A file as it was once. While it is the same, what was made of its content need not be made again."""

    path: Path
    resolved: Path
    changed_ns: int
    num_bytes: int


_GZIP = b"\x1f\x8b"
_PIECE = 2**22
_MOST_TIMES, _ALWAYS = 100, 2**28
"""How many times its size gzip may become beyond so many bytes: of JSON it is about ten, of a trap a thousand."""
_ENTRY = re.compile(r"at `\$(?:\.annotations)?\[(\d+)\]")


def read(path: Path) -> bytes:
    """Read a file's content as it is. Raises ValueError where it cannot be read."""
    try:
        return path.read_bytes()
    except IsADirectoryError as error:
        raise ValueError(_directory(path)) from error
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


def text(content: bytes, name: str) -> bytes:
    """A file's content as UTF-8 without a byte order mark: gzip, known by its first bytes, is decompressed.

    Raises ValueError for damaged gzip, for gzip of far more than JSON ever is, and for damaged UTF-16 or UTF-32.
    """
    if content.startswith(_GZIP):
        try:
            content = _decompressed(content, name)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"{name} is damaged: {error}; expected a complete gzip file; write or copy it again."
            ) from error
    if content.startswith(codecs.BOM_UTF8):
        return content[len(codecs.BOM_UTF8) :]
    encoding = json.detect_encoding(content[:4]) if _is_wide(content) else "utf-8"
    if encoding == "utf-8":
        return content
    try:
        return content.decode(encoding).encode()
    except UnicodeError as error:
        raise ValueError(
            f"{name} is damaged {encoding.upper()}: {error}; expected complete text; write it again as UTF-8."
        ) from error


def _decompressed(content: bytes, name: str) -> bytes:
    """Unpack gzip, as much as can be meant."""
    most = max(_ALWAYS, _MOST_TIMES * len(content))
    unpacked = io.BytesIO()
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        while piece := file.read(_PIECE):
            unpacked.write(piece)
            if unpacked.tell() > most:
                raise ValueError(
                    f"{name} unpacks to more than {most:,} bytes from {len(content):,}; expected JSON, which gzip "
                    "makes about ten times smaller; give the unpacked file, if you trust it."
                )
    return unpacked.getvalue()


def decode(content: bytes, name: str, decoder: msgspec.json.Decoder[T], entry: str) -> T:
    """Decode a file's content into typed objects; `entry` is what messages call one of its entries.

    Raises ValueError for content that is not JSON (as Python's NaN and Infinity) or does not fit, naming the entry and
    its image.
    """
    plain = text(content, name)
    try:
        return decoder.decode(plain)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(explain(plain, name, entry, error)) from error


def explain(plain: bytes, name: str, entry: str, error: Exception) -> str:
    """Say why the decoding of a file's `text` failed with an error of msgspec, or was too deep."""
    if isinstance(error, msgspec.ValidationError):
        return _misfit(plain, name, entry, str(error))
    if isinstance(error, msgspec.DecodeError):
        return _not_json(plain, name, entry, str(error))
    return (
        f"{name} does not fit the format: its lists or objects are nested too deeply; expected a file of {entry}s; "
        "give another or repair it."
    )


def _is_wide(content: bytes) -> bool:
    """Whether it may be UTF-16 or UTF-32: a byte order mark, or zeros between the first characters of JSON."""
    return content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or (
        b"\0" in content[:4] and len(content) >= 4 and content[:4].strip(b"\0")[:1] in (b"[", b"{", b" ", b"\n", b"\r")
    )


def _directory(path: Path) -> str:
    names = sorted(each.name for each in path.glob("*.json"))
    inside = f"{', '.join(names[:3])}{', ...' * (len(names) > 3)} in it" if names else "the file that is meant"
    return f"{path} is a directory; expected a JSON file in COCO's format; give {inside}."


def _unreadable(path: Path, error: OSError) -> str:
    return f"The file {path} cannot be read: {error.strerror}; expected a JSON file in COCO's format; check the path."


def _misfit(plain: bytes, name: str, entry: str, error: str) -> str:
    found = _ENTRY.search(error)
    if found is None and (count := num_lines(plain)):
        return _lines(name, count)
    if found is None:
        return misfit(f"{name}{_hint(plain, entry)}", entry, error)
    index = int(found[1])
    entries = _entries(plain) or []  # none where the rest of the file is not JSON
    return misfit(name, entry, error, place(entry, index, _image(entries[index] if entries else None)))


def _hint(plain: bytes, entry: str) -> str:
    """What a file looks like, where another kind was expected."""
    try:
        document = json.loads(plain)
    except (ValueError, RecursionError):
        return ""
    if entry == "annotation":
        results = isinstance(document, list) and all("score" in each for each in document[:1] if isinstance(each, dict))
        return " (a results file?)" * results
    return " (an annotation file?)" * (isinstance(document, dict) and {"images", "annotations"} <= document.keys())


def _not_json(plain: bytes, name: str, entry: str, error: str) -> str:
    """Explain content that msgspec cannot read: Python's json reads NaN and Infinity, and so finds their entry."""
    entries = _entries(plain)
    if entries is None:
        return _unknown(plain, name, error)
    return not_finite(entries, name, entry) or (
        f"{name} is not JSON: {error}; expected finite numbers and UTF-8; repair the file."
    )


def not_finite(entries: Sequence[object], name: str, entry: str) -> str | None:
    """Name the first entry that holds a number which is NaN or infinite."""
    for index, each in enumerate(entries):
        for field, value in each.items() if isinstance(each, dict) else ():
            if not _is_finite(value):
                number = value if isinstance(value, float) else "a number that is NaN or infinite"
                return (
                    f"{name}: {place(entry, index, _image(each))} has {number} as its {field}, which is not JSON; "
                    "expected finite numbers; repair or remove it."
                )
    return None


def _unknown(plain: bytes, name: str, error: str) -> str:
    """Say what a file is that no reader of JSON can read."""
    if (found := kind(plain)) is not None:
        return f"{name} is {found.what}; expected JSON; {found.remedy}."
    try:
        plain.decode()
    except UnicodeError as problem:
        return (
            f"{name} is not UTF-8: {problem}; expected JSON in UTF-8; write it in that encoding, or replace the "
            "characters beyond ASCII."
        )
    if count := num_lines(plain):
        return _lines(name, count)
    if "truncated" in error:
        return f"{name} is not complete JSON: {error}; expected one JSON document; write or download the file again."
    return f"{name} is not JSON: {error}; expected one JSON document; correct it at that place, or write it again."


def _lines(name: str, count: int) -> str:
    return (
        f"{name} holds {count} JSON documents, one on every line (JSON Lines); expected one document; put them into "
        "one, or export the data again as COCO JSON."
    )


def num_lines(plain: bytes) -> int:
    """How many objects a text of JSON Lines holds, one a line; 0 for any other text."""
    lines = [line for line in plain.splitlines() if line.strip()]
    return len(lines) if len(lines) > 1 and all(_is_object(line) for line in lines) else 0


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


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
    found = [*found.values()] if isinstance(found, dict) else found
    return found if isinstance(found, list) else []


def _image(entry: object) -> object:
    return entry.get("image_id", "unknown") if isinstance(entry, dict) else "unknown"


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(_is_finite(each) for each in value)
    return all(_is_finite(each) for each in value.values()) if isinstance(value, dict) else True
