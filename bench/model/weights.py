"""Files of weights: tensors by name in safetensors, with a note on the task they were trained for."""

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.files import checksum, whole
from bench.model.segmenter import Segmenter
from bench.model.task import Task, check_categories
from bench.model.tensors_file import copy_tensors, read_note, read_tensors
from bench.model.weights_folder import DETECTOR as DETECTOR_FILE

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
    with whole(path) as place:  # straight from the tensors, without all of them in memory a second time
        save_file(tensors, place, metadata={"task": msgspec.json.encode(task).decode()})


def load_parts(model: Segmenter, path: Path, parts: Collection[str], category_ids: tuple[int, ...]) -> None:
    """Load some parts of a model from a file that holds at least these, such as the detector of another head.

    Numbers of another width are converted. Raises ValueError for a file that is no safetensors, for tensors that
    differ in name or shape, and for weights of other categories, where the file says which.
    """
    tensors, found = read_weights((path,))
    if found is not None:
        check_categories(found, category_ids, str(path))
    wanted = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] in parts}
    copy_tensors(wanted, _parts(model, parts), path)


def load_fitting(model: Segmenter, paths: Sequence[Path], parts: Collection[str]) -> list[str]:
    """Load the tensors of some parts that fit by name and shape; give the names of those that do not.

    Weights of other categories do. Of layers that have a row for every class, each new class starts from the mean of
    the old ones; what fits in no way stays as it was. Raises ValueError for a file that is no safetensors, and where
    nothing of a file fits.
    """
    wanted, loaded = _parts(model, parts), set[str]()
    for path in paths:
        tensors, _ = read_tensors(path)
        task = task_of((path,))
        fitting = {name for name in wanted.keys() & tensors.keys() if wanted[name].shape == tensors[name].shape}
        if not fitting:
            raise ValueError(
                f"{path} has nothing to start from: none of its {len(tensors)} tensors is one of the {len(wanted)} of "
                "the model by name and shape; expected weights of the same backbone; give another file."
            )
        copy_tensors({name: tensors[name] for name in fitting}, {name: wanted[name] for name in fitting}, path)
        loaded |= fitting
        if task is not None:
            for name in (wanted.keys() & tensors.keys()) - fitting:
                _start_classes(wanted[name], tensors[name], model.detector.num_classes, len(task.category_ids))
    return sorted(wanted.keys() - loaded)


def _start_classes(into: Tensor, given: Tensor, num_classes: int, num_given: int) -> None:
    """Give rows of classes the mean of those of other classes, and rows behind them theirs, where nothing else differs.

    What holds for the mean of all classes holds for a new one more than what is random.
    """
    behind = given.shape[0] - num_given
    if into.shape[1:] == given.shape[1:] and behind >= 0 and into.shape[0] == num_classes + behind:
        mean = given[:num_given].float().mean(0, keepdim=True).expand(num_classes, *given.shape[1:])
        into.copy_(torch.cat([mean, given[num_given:].float()]))


def read_weights(paths: Sequence[Path]) -> tuple[dict[str, Tensor], tuple[int, ...] | None]:
    """Read the weights of a model from the files that make it up: tensors by name, and the categories of its classes.

    The categories are None where the files do not say. Raises ValueError for a file that cannot be read, for files of
    different categories, and for a head that was trained on another detector than the one beside it, or has none.
    """
    tensors: dict[str, Tensor] = {}
    found: tuple[int, ...] | None = None
    for path in paths:
        part, note = read_tensors(path)
        tensors |= part
        if "task" not in note:
            continue
        task = msgspec.json.decode(note["task"], type=Task)
        if found is not None:
            check_categories(task.category_ids, found, str(path))
        if len(paths) > 1 and task.detector not in (None, checksum(paths[0])):
            raise ValueError(
                f"{path} was trained on another detector than {paths[0]}; expected the one with checksum "
                f"{task.detector}; put files of one training together."
            )
        if len(paths) == 1 and task.detector is not None:
            raise ValueError(
                f"{path} holds a head alone; expected {DETECTOR_FILE}.safetensors beside it, which it was trained on, "
                f"with checksum {task.detector}; put both into one folder and give that."
            )
        found = task.category_ids
    return tensors, found


def task_of(paths: Sequence[Path]) -> Task | None:
    """The task of the files that make up a model, as the last of them says it; None where it does not.

    Raises ValueError for a file that is no safetensors.
    """
    note = read_note(paths[-1])
    return msgspec.json.decode(note["task"], type=Task) if "task" in note else None


def _parts(model: Segmenter, parts: Collection[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name.partition(".")[0] in parts}
