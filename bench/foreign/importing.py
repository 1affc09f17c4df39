"""One checkpoint of another code base, from its file to a file of weights with a record of what it was.

A source is a module of this package for one code base. It has `PAGE`, where its files come from, and `convert`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
from torch import Tensor

from bench.data.coco import COCO_CATEGORY_IDS
from bench.files import checksum, write_whole
from bench.foreign.key_map import Entry
from bench.foreign.safe_load import load
from bench.foreign.state_dict import StateDict, state_dict
from bench.model import weights_folder
from bench.model.segmenter import Segmenter
from bench.model.task import Task
from bench.model.tensors_file import read_tensors
from bench.model.weights import save_weights
from bench.record import Subject

SCHEMA = 1


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AP of boxes and masks on COCO val2017 in percent, as the authors of a model state it, and where they do."""

    box_ap: float
    mask_ap: float
    source: str


class ImportRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file of imported weights was made of.

    `file` and `checksum` are of the original, `entry` and `epoch` as in `StateDict`. `reshaped` counts our tensors by
    how they were made. `published` is of the model of this kind that the authors describe: nothing in a file says
    whether it is that one. `weights` is the checksum of the file that was written.
    """

    schema: int = SCHEMA
    source: str
    file: str
    checksum: str
    entry: str | None
    epoch: int | None
    subject: Subject
    num_tensors: int
    reshaped: dict[str, int]
    notes: tuple[str, ...]
    published: Published | None
    weights: str


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Weights in our model: of which subject, trained on which data, and where each tensor came from."""

    subject: Subject
    model: Segmenter
    entries: tuple[Entry, ...]
    data: str
    published: Published | None


@runtime_checkable
class Source(Protocol):
    """What a module of this package for one code base has."""

    PAGE: str

    def convert(self, theirs: Mapping[str, Tensor], origin: str) -> Converted:
        """Recognise tensors and give them our names. Raises ValueError, beginning with `origin`, for all others."""
        ...


@dataclass(frozen=True, kw_only=True)
class Import:
    """A checkpoint that was read, recognised and converted, and not yet written."""

    path: Path
    state: StateDict
    converted: Converted

    @property
    def task(self) -> Task:
        """What the weights are for. The classes of COCO are in ascending order of their ids, in all known sources."""
        return Task(subject=self.converted.subject, category_ids=COCO_CATEGORY_IDS, data=self.converted.data)

    def write(self, folder: Path, source: str) -> tuple[Path, bool]:
        """Write weights and record into a folder; give the path, and whether it was not there before.

        The same weights that are there already stay. Raises ValueError where other ones have the name.
        """
        subject = self.converted.subject
        path = weights_folder.file(folder, weights_folder.stem(subject))
        is_new = not path.exists()
        if is_new:
            folder.mkdir(parents=True, exist_ok=True)
            save_weights(self.converted.model, path, self.task)
        elif not self._is_same(path):
            raise ValueError(
                f"{path} is there and holds other weights than {self.path}; expected no file of that name, or the same "
                "weights; give another folder, or remove that file."
            )
        record = ImportRecord(
            source=source,
            file=self.path.name,
            checksum=checksum(self.path),
            entry=self.state.entry,
            epoch=self.state.epoch,
            subject=subject,
            num_tensors=len(self.state.tensors),
            reshaped=dict(Counter(entry.how for entry in self.converted.entries)),
            notes=self.state.notes,
            published=self.converted.published,
            weights=checksum(path),
        )
        beside = path.with_suffix(".json")
        if is_new or not beside.exists():
            write_whole(beside, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
        return path, is_new

    def _is_same(self, path: Path) -> bool:
        try:
            found, notes = read_tensors(path)
        except ValueError:
            return False
        own = self.converted.model.state_dict()
        return (
            notes.get("task") == msgspec.json.encode(self.task).decode()
            and found.keys() == own.keys()
            and all(found[name].equal(own[name]) for name in own)
        )


def read(path: Path, source: Source, entry: str | None = None) -> Import:
    """Read a checkpoint of a source safely, recognise it and convert it, whole; nothing is written.

    Raises ValueError for what cannot be read, holds no weights or several sets of them, or is of another model.
    """
    state = state_dict(load(path), str(path), entry)
    return Import(path=path, state=state, converted=source.convert(state.tensors, str(path)))
