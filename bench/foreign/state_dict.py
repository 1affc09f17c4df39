"""A state dict in what a checkpoint holds: found, chosen where there are several, and brought to plain float32."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.model.tensors_file import check_finite

_PREFIXES = ("module.", "_orig_mod.")
"""What torch's wrappers for several processes and for compiled models put before every name."""

_DEEPEST = 3


@dataclass(frozen=True, kw_only=True)
class StateDict:
    """Tensors by their names in the other code, all of float32.

    `entry` is where in the checkpoint they were, None for a file that is a state dict itself; `epoch` is that of the
    checkpoint, where it says one. `notes` say what was done to names and numbers.
    """

    tensors: dict[str, Tensor]
    entry: str | None
    epoch: int | None
    notes: tuple[str, ...]


class SeveralEntries(ValueError):
    """Raised where a checkpoint has several sets of weights, and nobody said which is meant; `entries` are theirs."""

    def __init__(self, origin: str, found: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.entries = tuple(found)
        sizes = ", ".join(f"{name} ({len(state)} tensors)" for name, state in found.items())
        super().__init__(
            f"{origin} has {len(found)} sets of weights: {sizes}; expected one, or the name of one, because plain "
            "weights and their running average (EMA) are different models; name the entry that is meant."
        )


def state_dict(content: object, origin: str, entry: str | None = None) -> StateDict:
    """Find the state dict in the content of a checkpoint, or take the one of an entry, such as "model_ema".

    Raises SeveralEntries where there are several and no entry is named, and ValueError where there is none, for an
    entry that is not there and for weights that are NaN or infinite.
    """
    found = dict(_state_dicts(content, ""))
    if not found:
        raise ValueError(
            f"{origin} has no weights of a model: {_described(content)}; expected a state dict, or a checkpoint with "
            "one; give the file that the model was saved in."
        )
    if entry is None and len(found) > 1:
        raise SeveralEntries(origin, found)
    if entry is not None and entry not in found:
        raise ValueError(
            f"{origin} has no weights in the entry {entry!r}; it has {', '.join(found) or 'a state dict alone'}; "
            "name one of these, or none."
        )
    name = next(iter(found)) if entry is None else entry
    notes: list[str] = []
    tensors = _single(_unprefixed(found[name], notes), notes)
    check_finite(tensors, origin)
    epoch = content.get("epoch") if isinstance(content, Mapping) else None
    return StateDict(
        tensors=tensors,
        entry=name or None,
        epoch=epoch if isinstance(epoch, int) else None,
        notes=tuple(notes),
    )


def _state_dicts(content: object, name: str) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Every mapping from texts to tensors alone, with its dotted place. States of optimisers have numbers as keys."""
    if not isinstance(content, Mapping) or not content or name.count(".") >= _DEEPEST:
        return
    if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        yield name, content
        return
    for key, value in content.items():
        if isinstance(key, str):
            yield from _state_dicts(value, f"{name}.{key}" if name else key)


def _described(content: object) -> str:
    if isinstance(content, Tensor):
        return "it is a single tensor"
    if not isinstance(content, Mapping):
        return f"it is an object of type {type(content).__name__}"
    if "param_groups" in content or "optimizer" in content:
        return "it is the state of an optimizer alone"
    names = ", ".join(map(str, list(content)[:6])) + ", ..." * (len(content) > 6)
    return f"its entries are {names}" if content else "it is empty"


def _unprefixed(tensors: Mapping[str, Tensor], notes: list[str]) -> Mapping[str, Tensor]:
    for prefix in _PREFIXES * 2:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            notes.append(f"the prefix {prefix} taken off {len(tensors)} names")
    return tensors


def _single(tensors: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    others = {tensor.dtype for tensor in tensors.values()} - {torch.float32}
    for dtype in sorted(others, key=str):
        count = sum(tensor.dtype == dtype for tensor in tensors.values())
        notes.append(f"{count} tensors converted from {str(dtype).removeprefix('torch.')} to float32")
    return {name: tensor.detach().float() for name, tensor in tensors.items()}
