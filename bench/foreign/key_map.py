"""Key maps: which tensor of another code base is which of ours, read from a table and applied in both directions.

A table is text with a line for every kind of tensor: ours, theirs, how theirs becomes ours, with tabs between them. A
placeholder of one letter stands for a number, `{p}` for weight or bias, a longer one for any name. A line `[name]`
begins a part of a model. A model has a part where it has a tensor of the part's first line, so that tensors say by
their names what they are of.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

_HEADS, _LEVELS = 8, 5
"""Of the attention of the deformable encoder, whose rows are [heads, levels, the rest]."""

_KERNEL = 3

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NUM_NAMED = 4


def _taps_to_ours(tensor: Tensor) -> Tensor:
    return tensor.reshape(tensor.shape[0], _KERNEL, _KERNEL, -1).permute(0, 3, 1, 2)


def _taps_to_theirs(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 2, 3, 1).reshape(tensor.shape[0], -1)


def _reverse_levels_of_heads(tensor: Tensor) -> Tensor:
    return tensor.reshape(_HEADS, _LEVELS, -1, *tensor.shape[1:]).flip(1).reshape(tensor.shape)


_HOW: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "same": (lambda tensor: tensor, lambda tensor: tensor),
    "transposed": (lambda tensor: tensor.mT, lambda tensor: tensor.mT),
    "last axis dropped": (lambda tensor: tensor.squeeze(-1), lambda tensor: tensor.unsqueeze(-1)),
    "taps": (_taps_to_ours, _taps_to_theirs),
    "levels reversed": (lambda tensor: tensor.flip(0), lambda tensor: tensor.flip(0)),
    "levels of heads reversed": (_reverse_levels_of_heads, _reverse_levels_of_heads),
}
"""What is done to one tensor of theirs, and what undoes it."""

_STACKED = "stacked"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tensor of ours: the names of those of theirs that it is made of, in order, and how."""

    ours: str
    theirs: tuple[str, ...]
    how: str

    def to_ours(self, given: Sequence[Tensor]) -> Tensor:
        """Make our tensor of theirs. Raises RuntimeError for shapes that it cannot be made of."""
        made = [self._reshapings[0](tensor) for tensor in given]
        return (torch.stack(made) if self._is_stacked else made[0]).contiguous()

    def to_theirs(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Make their tensors of ours, on the device meta too."""
        parts = tensor.unbind() if self._is_stacked else (tensor,)
        return tuple(self._reshapings[1](part).contiguous() for part in parts)

    @property
    def _is_stacked(self) -> bool:
        return _STACKED in self.how.split(", ")

    @property
    def _reshapings(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        return _HOW[next((how for how in self.how.split(", ") if how != _STACKED), "same")]


@dataclass(frozen=True)
class Line:
    """One line of a table: patterns of names on both sides, and how theirs becomes ours."""

    ours: str
    theirs: str
    how: str

    def entry(self, name: str, shape: Sequence[int]) -> Entry:
        """The entry of a tensor of ours that the line is about, by its name and shape."""
        found = self.ours_pattern.fullmatch(name)
        assert found is not None
        filled = found.groupdict()
        stacked = set(_PLACEHOLDER.findall(self.theirs)) - filled.keys()
        if not stacked:
            return Entry(ours=name, theirs=(self.theirs.format(**filled),), how=self.how)
        number = stacked.pop()
        names = (self.theirs.format(**filled, **{number: place}) for place in range(shape[0]))
        return Entry(ours=name, theirs=tuple(names), how=self.how)

    @cached_property
    def ours_pattern(self) -> re.Pattern[str]:
        """What our names of this line look like."""
        return _pattern(self.ours)

    @cached_property
    def theirs_pattern(self) -> re.Pattern[str]:
        """What their names of this line look like."""
        return _pattern(self.theirs)


class KeyMap:
    """A table of names, by the parts of models that it knows."""

    def __init__(self, parts: Mapping[str, Sequence[Line]]) -> None:
        self.parts = parts

    @classmethod
    def read(cls, path: Path) -> "KeyMap":
        """Read a table of the format above."""
        parts: dict[str, list[Line]] = {}
        name = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                name = line.strip("[]")
            elif line and not line.startswith("#"):
                parts.setdefault(name, []).append(Line(*line.split("\t")))
        return cls(parts)

    def parts_of_ours(self, names: Collection[str]) -> tuple[str, ...]:
        """The parts that tensors of ours have, by their names."""
        return tuple(part for part, lines in self.parts.items() if any(map(lines[0].ours_pattern.fullmatch, names)))

    def parts_of_theirs(self, names: Collection[str]) -> tuple[str, ...]:
        """The parts that tensors of theirs have, by their names; some only their shapes tell apart."""
        return tuple(part for part, lines in self.parts.items() if any(map(lines[0].theirs_pattern.fullmatch, names)))

    def knows(self, name: str) -> bool:
        """Whether a name of theirs is one of any model."""
        return any(line.theirs_pattern.fullmatch(name) for lines in self.parts.values() for line in lines)

    def entries(self, ours: Mapping[str, Tensor]) -> tuple[Entry, ...]:
        """The entries of a model's tensors, which may lie on the device meta; each of ours has exactly one.

        Raises ValueError for tensors that the table does not know.
        """
        lines = [line for part in self.parts_of_ours(ours) for line in self.parts[part]]
        of = {name: next((line for line in lines if line.ours_pattern.fullmatch(name)), None) for name in ours}
        unknown = [name for name, line in of.items() if line is None]
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(ours)} tensors have no name in the other code: {listed(unknown)}; expected "
                "the parts of a model that both have; choose another head, module, neck or detector."
            )
        return tuple(line.entry(name, ours[name].shape) for name, line in of.items() if line is not None)

    def to_theirs(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give a model's tensors the names and shapes that the other code has. Raises ValueError as `entries`."""
        return {
            name: tensor
            for entry in self.entries(ours)
            for name, tensor in zip(entry.theirs, entry.to_theirs(ours[entry.ours]), strict=True)
        }

    def to_ours(self, theirs: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give tensors of the other code our names and shapes, those of a model, which may lie on the device meta.

        Every one of theirs is used once and every one of ours is made. Raises ValueError that names those that are
        missing, that no model has (unknown), that this model does not have (extra) or whose shape differs.
        """
        self._check(theirs, self.to_theirs(like))
        return {entry.ours: entry.to_ours([theirs[name] for name in entry.theirs]) for entry in self.entries(like)}

    def _check(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
        beyond = [name for name in found if name not in wanted]
        faults = {
            "missing": [name for name in wanted if name not in found],
            "unknown": [name for name in beyond if not self.knows(name)],
            "extra": [name for name in beyond if self.knows(name)],
            "of another shape": [
                f"{name} {shape_of(found[name])} instead of {shape_of(wanted[name])}"
                for name in wanted
                if name in found and found[name].shape != wanted[name].shape
            ],
        }
        said = "; ".join(f"{len(names)} {fault}: {listed(names)}" for fault, names in faults.items() if names)
        if said:
            raise ValueError(
                f"Tensors do not fit: {said}; expected the {len(wanted)} of this model, each once; "
                "give the complete weights of one model."
            )


def listed(names: Sequence[str], most: int = _NUM_NAMED) -> str:
    """The first of some names, and that there are more."""
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)


def shape_of(tensor: Tensor) -> str:
    """The shape of a tensor as people write it: 256x256x3x3."""
    return "x".join(map(str, tensor.shape)) or "a single number"


def _pattern(template: str) -> re.Pattern[str]:
    """What names of a template look like, every placeholder a group by its name."""
    literal = _PLACEHOLDER.split(template)  # text and names of placeholders in turn
    seen: set[str] = set()
    pattern = ""
    for place, text in enumerate(literal):
        if place % 2 == 0:
            pattern += re.escape(text)
        elif text in seen:
            pattern += f"(?P={text})"
        else:
            seen.add(text)
            pattern += f"(?P<{text}>{'weight|bias' if text == 'p' else r'[0-9]+' if len(text) == 1 else '.+'})"
    return re.compile(pattern)
