"""Checkpoints, of which two are kept: weights and optimiser in `step-<n>.safetensors`, the rest in `step-<n>.json`.

The JSON file is written last and holds the checksums of the other and of itself: a checkpoint is there whole or not at
all, whenever the process is killed, and what was changed since is noticed.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
from safetensors.torch import save
from torch import Tensor

from bench.files import checksum, checksum_of, write_whole
from bench.model.task import Task, check_same
from bench.model.tensors_file import copy_tensors, read_tensors
from bench.record import Code, Machine
from bench.training.recipe import Recipe

_SCHEMA = 1
_NUM_KEPT = 2
_UNSEALED = b'"checksum": ""'
_NAME = re.compile(r"step-(\d+)\.(json|safetensors)")


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of a training: `step` steps are done.

    `losses` are those of the last step; those of all steps are the first `log_bytes` bytes of the log. `seconds` is the
    time of all steps. `tensors` is the "sha256:..." of the file beside it, `checksum` that of the JSON file without it;
    those of earlier versions have none. `machine` and `code` did the last part.
    """

    schema: int = _SCHEMA
    step: int
    task: Task
    recipe: dict[str, str]
    losses: dict[str, float]
    log_bytes: int
    seconds: float
    machine: Machine
    code: Code
    tensors: str = ""
    checksum: str = ""


def write(directory: Path, state: State, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint, then remove all but it and the one before it. Raises OSError, with both old ones intact."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    write_whole(_path(directory, state.step, "safetensors"), content)
    whole = msgspec.structs.replace(state, tensors=checksum_of(content), checksum="")
    plain = msgspec.json.format(msgspec.json.encode(whole), indent=2)
    sealed = f'"checksum": "{checksum_of(plain)}"'.encode()
    write_whole(_path(directory, state.step, "json"), plain.replace(_UNSEALED, sealed))
    kept = steps(directory)[-_NUM_KEPT:]
    for path in directory.iterdir():
        named = _NAME.fullmatch(path.name)
        if named and int(named[1]) not in kept:
            path.unlink()


def steps(directory: Path) -> list[int]:
    """The steps after which there are checkpoints, ascending."""
    named = [_NAME.fullmatch(path.name) for path in directory.iterdir()]
    return sorted(int(match[1]) for match in named if match and match[2] == "json")


def restore(directory: Path, task: Task, recipe: Recipe, tensors: Mapping[str, Tensor]) -> State | None:
    """Load the newest checkpoint of a directory into `tensors`; None if there is none.

    Raises ValueError for a damaged one, which offers the one before it, and for one of another task or recipe.
    """
    found = steps(directory)
    if not found:
        return None
    try:
        state = _read(directory, found[-1])
    except ValueError as error:
        before = [step for step in found[:-1] if _is_whole(directory, step)]
        offer = (
            f"the one after step {before[-1]} is whole: to go on from there, delete the files "
            f"{directory}/step-{found[-1]}.*"
            if before
            else "there is no other one: give another directory, to begin anew"
        )
        raise ValueError(f"The checkpoint after step {found[-1]} is damaged: {error}; {offer}.") from error
    path = _path(directory, state.step, "safetensors")
    check_same(state.task, task, str(path))
    _check_recipe(state.recipe, recipe, path)
    copy_tensors(read_tensors(path)[0], tensors, path)
    return state


def _read(directory: Path, step: int) -> State:
    """Read the state of a checkpoint. Raises ValueError where a file is not what was written."""
    try:
        content = _path(directory, step, "json").read_bytes()
        state = msgspec.json.decode(content, type=State)
        found = checksum(_path(directory, step, "safetensors"))
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from error
    if found != state.tensors:
        raise ValueError(
            f"{_path(directory, step, 'safetensors')} has changed since it was written; expected the file of then; "
            "restore it"
        )
    if state.checksum and checksum_of(content.replace(f'"{state.checksum}"'.encode(), b'""')) != state.checksum:
        raise ValueError(
            f"{_path(directory, step, 'json')} has changed since it was written; expected the file of then; restore it"
        )
    return state


def _is_whole(directory: Path, step: int) -> bool:
    try:
        _read(directory, step)
    except ValueError:
        return False
    return True


def _check_recipe(found: Mapping[str, str], recipe: Recipe, path: Path) -> None:
    wanted = recipe.described()
    differences = [
        f"{name} {found.get(name)} instead of {wanted.get(name)}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} was trained by another recipe: {'; '.join(differences)}; expected the same one, because the rest "
            "of a training depends on its beginning; give another directory, or the recipe of then."
        )


def _path(directory: Path, step: int, suffix: str) -> Path:
    return directory / f"step-{step}.{suffix}"
