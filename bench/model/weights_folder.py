"""The files of weights: one with a whole model, or a folder with one detector and the heads trained on it.

A folder holds `detector.safetensors` (backbone, neck, detector) and a file for every head, named after its subject. In
a folder without a detector, the file of a head is a whole model. Imports no torch.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.record import Subject

DETECTOR = "detector"
"""Name of the file, without its ending, that all heads of a folder share."""


def stem(subject: Subject) -> str:
    """Name of a subject's file without its ending: what weights depend on. No backend does: all compute the same."""
    parts = (subject.head, subject.module, subject.backbone, subject.detector, subject.preset, subject.schedule)
    return "-".join([*(part for part in parts if part is not None), f"seed{subject.seed}"])


def file(folder: Path, name: str) -> Path:
    """The file of a stem in a folder."""
    return folder / f"{name}.safetensors"


def files_of(weights: Path, subject: Subject) -> tuple[Path, ...]:
    """The files that make up the weights of a subject: one, or detector and head.

    Raises ValueError where one is not there.
    """
    found: tuple[Path, ...] = (weights,)
    if weights.is_dir():
        detector, own = file(weights, DETECTOR), file(weights, stem(subject))
        found = (detector, own) if detector.is_file() else (own,)
    for path in found:
        if not path.is_file():
            raise ValueError(
                f"There is no file {path}. Weights are a file, or a folder with a file for every head. Check the path, "
                "or train them: run_bench.py train."
            )
    return found


def lacking(folder: Path, subjects: Sequence[Subject]) -> dict[Subject, Path]:
    """The subjects whose own file a folder does not have, each with that file.

    Raises ValueError where the folder has a file for none of them.
    """
    files = {subject: file(folder, stem(subject)) for subject in subjects}
    missing = {subject: path for subject, path in files.items() if not path.is_file()}
    if missing and len(missing) == len(files):
        raise ValueError(
            f"The folder {folder} has weights for nothing that is to be measured. Expected at least one of "
            f"{', '.join(sorted({path.name for path in missing.values()}))}. Check the path, or train them: "
            "run_bench.py train."
        )
    return missing


class _Task(msgspec.Struct):
    """Of the task of a file, the model."""

    subject: Subject


class _Header(msgspec.Struct):
    """Of the header of a safetensors file, its notes."""

    notes: dict[str, str] = msgspec.field(name="__metadata__", default={})


def subjects_in(weights: Path) -> dict[Subject, Path]:
    """The subjects whose head is in a file or in the files of a folder, with their files, by name.

    Files that say nothing about a subject are passed over. No tensor is read.
    """
    paths = sorted(weights.glob("*.safetensors")) if weights.is_dir() else [weights]
    found = {subject: path for path in paths if (subject := _subject(path)) is not None}
    return {subject: path for subject, path in found.items() if not weights.is_dir() or path.stem == stem(subject)}


def _subject(path: Path) -> Subject | None:
    """Whom a safetensors file is about: its header is JSON after eight bytes that say how long it is."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 100_000_000:
                return None
            notes = msgspec.json.decode(file.read(length), type=_Header).notes
        return msgspec.json.decode(notes.get("task", ""), type=_Task).subject
    except (OSError, struct.error, msgspec.MsgspecError):
        return None
