"""Files of `torch.save` from the internet: read without running anything in them, or refused with what they are.

Such a file is a pickle, which can call any function while it is opened. Torch's own reader for weights knows tensors
and plain containers only. Two more names are let through, because the authors' files have them, and both get a
stand-in without any behaviour: the options of the training, and the description of its data set.
"""

import io
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import torch

from bench.file_kind import kind
from bench.foreign.key_map import listed


class Inert(SimpleNamespace):
    """What stands in the place of an object whose attributes may be kept and whose code must not run."""


_INERT = ("argparse.Namespace", "detectron2.data.catalog.Metadata")
_HARMLESS = ("torch.", "torch_", "collections.", *_INERT)
"""How names begin that torch's reader does not stop at; only for naming the others."""

_NUM_LOOKED_AT = 4096
_NUM_PICKLES = 8
"""At most, at the beginning of a file in the format before zip, which has five."""

_EXPECTED = "expected a file that torch.save wrote"


def load(path: Path) -> object:
    """Read what a file of `torch.save` holds, of either format; tensors are on the CPU, mapped where they can be.

    Raises ValueError for what cannot be read, for every other kind of file, and, before it is called, for a pickle
    that wants anything but tensors and containers.
    """
    is_zip = _check_kind(path)
    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [(Inert, name) for name in _INERT]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # damaged bytes raise whatever they lead to
        wanted = _beyond_tensors(path, is_zip)
        if wanted:
            raise ValueError(
                f"{path} is refused, and nothing of it was run: to be opened it wants {listed(wanted)}; expected "
                "tensors and plain containers; download the file from where its authors put it, or ask them "
                "for the state dict alone."
            ) from error
        raise ValueError(
            f"{path} is damaged: {str(error).partition(chr(10))[0].rstrip('.')}; {_EXPECTED}, complete; download or "
            "copy it again."
        ) from error


def _check_kind(path: Path) -> bool:
    """Whether a file has the zip format of `torch.save`; the one before it has not. Raises ValueError for others."""
    if path.is_dir():
        found = sorted(each.name for each in path.iterdir() if each.suffix in (".pth", ".pt", ".pkl"))
        inside = f"one of those in it, such as {found[0]}" if found else "a file"
        raise ValueError(f"{path} is a directory; {_EXPECTED}; give {inside}.")
    try:
        with path.open("rb") as file:
            head = file.read(_NUM_LOOKED_AT)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; {_EXPECTED}; check the path.") from error
    if head.startswith(b"PK"):
        _check_zip(path)
        return True
    if head[:1] == b"\x80":
        return False
    if head[8:9] == b"{":
        raise ValueError(
            f"{path} is a file of safetensors, or begins like one; {_EXPECTED}; give the original file, or use it as "
            "weights if its tensors have our names."
        )
    found_kind = kind(head)
    if found_kind is not None and found_kind.what.startswith("an HTML page"):
        raise ValueError(
            f"{path} is {found_kind.what}; {_EXPECTED}; download the file itself: open that page in a browser, and "
            "take what its button gives."
        )
    what = "of no known kind" if found_kind is None else found_kind.what
    raise ValueError(f"{path} is {what}; {_EXPECTED}; download it again, or give another.")


def _check_zip(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is cut off after {path.stat().st_size:,} bytes: its end is missing; {_EXPECTED}, complete; "
            "download or copy it again."
        )
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("constants.pkl") for name in names):
        raise ValueError(f"{path} is a program (TorchScript); {_EXPECTED}; give the state dict of the model.")
    if not any(name.endswith("data.pkl") for name in names):
        raise ValueError(
            f"{path} is a zip archive with {listed(names) or 'nothing'} inside; {_EXPECTED}; unpack it and give a file "
            "of it."
        )


def _beyond_tensors(path: Path, is_zip: bool) -> list[str]:
    """The names in a file that are not of tensors and containers, such as `os.system`; nothing is looked up."""
    found: dict[str, None] = {}
    try:
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                found.update(dict.fromkeys(_names(io.BytesIO(archive.read(member)))))
        else:
            with path.open("rb") as file:
                for _ in range(_NUM_PICKLES):
                    for name in _names(file):
                        found[name] = None
    except (ValueError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error):
        pass  # the end of what can be read: what was found so far is what counts
    return [name for name in found if not name.startswith(_HARMLESS)]


def _names(file: io.BufferedIOBase) -> Iterator[str]:
    """The names that one pickle asks for, by its opcodes, none of which is carried out."""
    texts: list[str] = []
    for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", file)):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace("__builtin__", "builtins").replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)
