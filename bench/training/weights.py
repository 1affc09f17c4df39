"""Files of weights: tensors by name in safetensors, with a note on the task they were trained for."""

from collections.abc import Collection
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save
from torch import Tensor

from bench.files import write_whole
from bench.model import Segmenter
from bench.tensors_file import copy_tensors, read_tensors
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


def _parts(model: Segmenter, parts: Collection[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name.partition(".")[0] in parts}
