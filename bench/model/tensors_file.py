"""Tensors by name in a safetensors file: weights and states, read without running anything that the file holds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bench.files import checksum


class _Record(msgspec.Struct):
    """Of the record of how weights came to be, which lies beside their file, the file's "sha256:..."."""

    weights: str = ""


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: tensors and notes, by name.

    Raises ValueError for a missing file and any other kind, for one that is not what the record beside it says, and for
    numbers that are NaN or infinite.
    """
    with _explained(path), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        notes = file.metadata() or {}
    _check_recorded(path)
    check_finite(tensors, str(path))
    return tensors, notes


def check_finite(tensors: Mapping[str, Tensor], origin: str) -> None:
    """Raise ValueError, beginning with `origin`, for tensors that hold NaN or what is infinite in 32 bits."""
    wrong = [
        name
        for name, tensor in sorted(tensors.items())
        if tensor.is_floating_point() and not bool(tensor.float().isfinite().all())
    ]
    if wrong:
        raise ValueError(
            f"{origin} holds NaN or infinite numbers in {len(wrong)} of {len(tensors)} tensors: {_first(wrong)}; "
            "expected finite weights; give an earlier file: the training diverged, or the file was damaged."
        )


def _check_recorded(path: Path) -> None:
    """Raise ValueError where a record beside a file of weights says that it was another."""
    beside = path.with_suffix(".json")
    try:
        wanted = msgspec.json.decode(beside.read_bytes(), type=_Record).weights if beside.is_file() else ""
    except (OSError, msgspec.MsgspecError):
        return  # another kind of file, which says nothing of the weights
    if wanted.startswith("sha256:") and checksum(path) != wanted:
        raise ValueError(
            f"{path} is not the file that {beside.name} beside it is the record of: its checksum is another; expected "
            f"{wanted}; restore the file from where it came, or, if it was replaced on purpose, remove that record."
        )


def read_note(path: Path) -> dict[str, str]:
    """Read the notes of a safetensors file, and no tensor. Raises ValueError as `read_tensors`."""
    with _explained(path), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}; expected a file of weights; check the path.") from error
    except SafetensorError as error:
        raise ValueError(
            f"{path} cannot be read as weights: {error}; expected a complete safetensors file, not a pickle, which can "
            "run code when it is opened; convert one that you trust with safetensors.torch.save_file."
        ) from error


def copy_tensors(source: Mapping[str, Tensor], target: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into those of the same name. Raises ValueError, having copied none, where names or shapes differ."""
    shapes = [
        f"{name} {tuple(source[name].shape)} instead of {tuple(target[name].shape)}"
        for name in sorted(source.keys() & target.keys())
        if source[name].shape != target[name].shape
    ]
    missing, unexpected = sorted(target.keys() - source.keys()), sorted(source.keys() - target.keys())
    differences = [("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)]
    if any(names for _, names in differences):
        said = "; ".join(f"{len(names)} {kind}: {_first(names)}" for kind, names in differences if names)
        raise ValueError(
            f"{path} holds weights of another model: {said}; expected exactly the tensors of this one; "
            "give the preset, backbone, head and module that it was trained with."
        )
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])


def _first(names: list[str], count: int = 4) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
