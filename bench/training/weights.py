"""Files of weights: tensors by name in safetensors, with a note on the task they were trained for."""

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bench.files import write_whole
from bench.model import Segmenter
from bench.training.task import Task, check_categories

DETECTOR = ("backbone", "neck", "detector")
"""The parts of a model that all heads share."""
HEAD = ("head",)


def save_weights(
    model: Segmenter,
    path: Path,
    task: Task,
    *,
    parts: Collection[str] = (*DETECTOR, *HEAD),
    dtype: torch.dtype | None = None,
) -> None:
    """Write the weights of some parts of a model, with its task; `dtype` None keeps their own."""
    chosen = _parts(model, parts)
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in chosen.items()}
    write_whole(path, save(tensors, metadata={"task": msgspec.json.encode(task).decode()}))


def load_parts(model: Segmenter, path: Path, parts: Collection[str], category_ids: tuple[int, ...]) -> None:
    """Load some parts of a model from a file that holds at least these, such as the detector of another head.

    Numbers of another width are converted. Raises ValueError for a file that is no safetensors, for tensors that
    differ in name or shape, and for weights of other categories, where the file says which.
    """
    tensors, note = read_tensors(path)
    if "task" in note:
        check_categories(msgspec.json.decode(note["task"], type=Task).category_ids, category_ids, str(path))
    wanted = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] in parts}
    copy_tensors(wanted, _parts(model, parts), path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: tensors and notes, by name. Raises ValueError for a missing file and any other kind."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
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


def _parts(model: Segmenter, parts: Collection[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name.partition(".")[0] in parts}


def _first(names: list[str], count: int = 4) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
