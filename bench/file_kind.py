"""What kind of file it is that should be JSON and is none: known by its first bytes or lines, told with the way out."""

import io
import re
import tarfile
import zipfile
from typing import NamedTuple


class Kind(NamedTuple):
    """What a file is, as it stands after "is", and what to do with it."""

    what: str
    remedy: str


_UNPACK = "unpack it first"
_EXPORT = "export the data again as COCO JSON"
_NOT_DATA = "give the JSON file that belongs to it"
_WRITE = "write it again with Python's json module"

_SIGNATURES = (
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", _UNPACK)),
    (b"\xfd7zXZ\x00", Kind("compressed by xz", _UNPACK)),
    (b"BZh", Kind("compressed by bzip2", _UNPACK)),
    (b"\x28\xb5\x2f\xfd", Kind("compressed by zstd", _UNPACK)),
    (b"\x04\x22\x4d\x18", Kind("compressed by lz4", _UNPACK)),
    (b"Rar!", Kind("a rar archive", _UNPACK)),
    (b"\x93NUMPY", Kind("an array of numpy (npy)", _WRITE)),
    (b"\x89HDF", Kind("an HDF5 file", _EXPORT)),
    (b"PAR1", Kind("a Parquet table", _EXPORT)),
    (b"SQLite format 3", Kind("an SQLite database", _EXPORT)),
    (b"\x89PNG", Kind("a picture (PNG)", _NOT_DATA)),
    (b"\xff\xd8\xff", Kind("a picture (JPEG)", _NOT_DATA)),
    (b"II*\x00", Kind("a picture (TIFF)", _NOT_DATA)),
    (b"MM\x00*", Kind("a picture (TIFF)", _NOT_DATA)),
    (b"GIF8", Kind("a picture (GIF)", _NOT_DATA)),
    (b"%PDF", Kind("a PDF document", _NOT_DATA)),
    (
        b"version https://git-lfs.github.com/spec",
        Kind("a Git LFS pointer, which stands for a file that was not downloaded", "call git lfs pull"),
    ),
)

_TAR_MAGIC = slice(257, 262)
_NUM_LOOKED_AT = 4096
_MOST_LINES = 20

_YOLO = re.compile(r"\d+( -?[\d.]+([eE]-?\d+)?){4,}")
_YAML = re.compile(r"(---|%YAML|- [^{\[]|[A-Za-z_][\w ]*:( |$))")


def kind(content: bytes) -> Kind | None:
    """The kind of a file that is not JSON; None for one that is cut off, misspelt or unknown."""
    for signature, found in _SIGNATURES:
        if content.startswith(signature):
            return found
    if content.startswith(b"PK\x03\x04"):
        return _zip(content)
    if content[_TAR_MAGIC] == b"ustar":
        return Kind(f"a tar archive{_inside(_tar_members(content))}", _UNPACK)
    if content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return Kind("a pickle of Python", _WRITE)
    return _text_kind(content[:_NUM_LOOKED_AT].decode("utf-8", "replace").strip())


def _text_kind(text: str) -> Kind | None:
    if not text:
        return Kind("empty", "write or download it again")
    lower = text[:200].lower()
    if lower.startswith(("<!doctype html", "<html", "<head", "<body")):
        return Kind(
            "an HTML page, such as a page of login or of an error saved in the file's place",
            "download the file itself",
        )
    if text.startswith("<"):
        return Kind("XML, as Pascal VOC and CVAT write it", _EXPORT)
    if re.match(r"[\[{(]\s*[\[{(]?\s*'", text) or text.startswith(("(", "array(", "tensor(")):
        return Kind("the text of a Python object", _WRITE)
    lines = text.splitlines()[:_MOST_LINES]
    if all(_YOLO.fullmatch(line.strip()) for line in lines[: max(1, len(lines) - 1)]):
        return Kind("text of numbers, as YOLO's label files", _EXPORT)
    if text[0] in "[{\"'":
        return None
    for separator, name in ((",", "a table (CSV)"), (";", "a table (CSV)"), ("\t", "a table (TSV)")):
        if lines[0].count(separator) >= 2:
            return Kind(name, _EXPORT)
    return Kind("YAML", _EXPORT) if _YAML.match(text) else None


def _zip(content: bytes) -> Kind:
    try:
        members = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return Kind("a zip archive that is cut off", "download or copy it again, then unpack it")
    if any(member.endswith("data.pkl") for member in members):
        return Kind("a file of PyTorch (torch.save)", _WRITE)
    if members and all(member.endswith(".npy") for member in members):
        return Kind("arrays of numpy (npz)", _WRITE)
    return Kind(f"a zip archive{_inside(members)}", _UNPACK)


def _tar_members(content: bytes) -> list[str]:
    try:
        return tarfile.open(fileobj=io.BytesIO(content)).getnames()
    except (tarfile.TarError, OSError, EOFError):
        return []


def _inside(members: list[str]) -> str:
    """Name the one JSON file of an archive, or say how many there are."""
    found = [member for member in members if member.endswith(".json") and not member.startswith("__MACOSX")]
    if len(found) == 1:
        return f" with {found[0]} inside"
    return f" with {len(found)} JSON files inside, such as {found[0]}" if found else " without a JSON file inside"
