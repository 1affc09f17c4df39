"""The files of weights: one with a whole model, or a folder with one detector and the heads trained on it.

A folder holds `detector.safetensors` (backbone, neck, detector) and a file for every head, named after its subject. In
a folder without a detector, the file of a head is a whole model. Imports no torch.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.record import Subject

DETECTOR = "detector"
"""Name of the file, without its ending, that all heads of a folder share."""


def stem(subject: Subject) -> str:
    """Name of a subject's file without its ending: what weights depend on. No backend does: all compute the same."""
    parts = (subject.head, subject.module, subject.backbone, subject.preset, subject.schedule, f"seed{subject.seed}")
    return "-".join(part for part in parts if part is not None)


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
