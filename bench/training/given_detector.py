"""A detector that is there and stays as it is, such as that of imported weights, for heads to be trained on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from safetensors.torch import save_file

from bench.files import checksum, whole
from bench.model.task import Task
from bench.model.tensors_file import read_tensors
from bench.model.weights import DETECTOR as PARTS
from bench.model.weights import task_of
from bench.model.weights_folder import DETECTOR, file, subjects_in

_PREFERRED = "mask_rcnn"
"""Whose detector serves, where a folder has several whole models: the baseline's, which favours none of the others."""


@dataclass(frozen=True, kw_only=True)
class GivenDetector:
    """The detector in a file of weights, a whole model or a detector alone; `others` are files that have one too.

    `task` is what the file was trained for.
    """

    path: Path
    task: Task
    others: tuple[Path, ...] = ()

    @property
    def sizes(self) -> dict[str, Any]:
        """What of the task holds for every head on this detector."""
        return {name: getattr(self.task, name) for name in ("input_size", "num_queries", "num_detections")}

    def sentence(self) -> str:
        """Say whose detector it is, and which other ones there are."""
        others = ", ".join(path.name for path in self.others)
        return f"detector: that of {self.path}" + (
            f"; others are in {others}: give one by its file." if others else "."
        )

    def keep(self, folder: Path) -> Path:
        """Write the detector into a folder of weights, if it is not there, as what its heads share; give its file.

        Raises ValueError for a folder with another detector or with whole models, which need none beside them.
        """
        into = file(folder, DETECTOR)
        if into.is_file():
            if not self._is_kept(into):
                raise ValueError(
                    f"{into} is there, and is not the detector of {self.path}. The heads of a folder share one "
                    "detector. Give another folder, or the weights of then."
                )
            return into
        models = [path for path in subjects_in(folder).values() if _whole(path) is not None]
        if models:
            raise ValueError(
                f"The folder {folder} holds whole models, such as {models[0].name}. A detector beside them would be "
                "taken for theirs. Give another folder for the heads."
            )
        tensors = {name: each for name, each in read_tensors(self.path)[0].items() if name.partition(".")[0] in PARTS}
        if {name.partition(".")[0] for name in tensors} != set(PARTS):
            raise ValueError(
                f"{self.path} has no whole detector. Expected tensors of {', '.join(PARTS)}. Give another file."
            )
        task = msgspec.structs.replace(self.task, initial=checksum(self.path))
        folder.mkdir(parents=True, exist_ok=True)
        with whole(into) as place:
            save_file(tensors, place, metadata={"task": msgspec.json.encode(task).decode()})
        return into

    def _is_kept(self, into: Path) -> bool:
        if into.samefile(self.path):
            return True
        task = task_of((into,))
        return task is not None and task.initial == checksum(self.path)


def given_detector(weights: Path) -> GivenDetector:
    """Find the detector of a file, or of a folder: the common one of its heads, else that of a whole model.

    Of several whole models it is Mask R-CNN++'s, and without one the first by name. Raises ValueError where there is
    none, for a head alone, and for weights that do not say what they were trained for.
    """
    if not weights.is_dir():
        return GivenDetector(path=weights, task=_checked(weights))
    common = file(weights, DETECTOR)
    if common.is_file():
        return GivenDetector(path=common, task=_checked(common))
    models = {path: task for path in subjects_in(weights).values() if (task := _whole(path)) is not None}
    if not models:
        raise ValueError(
            f"There is no detector in the folder {weights}. Expected whole models, as they are imported, or a detector "
            f"with its heads ({DETECTOR}.safetensors). Check the path, or import weights first."
        )
    first = min(models, key=lambda path: (models[path].subject.head != _PREFERRED, path.name))
    return GivenDetector(path=first, task=models[first], others=tuple(path for path in models if path != first))


def _whole(path: Path) -> Task | None:
    """The task of a whole model; None for a head that has its detector in another file."""
    task = task_of((path,))
    return None if task is None or task.detector is not None else task


def _checked(path: Path) -> Task:
    task = task_of((path,))
    if task is None:
        raise ValueError(
            f"{path} does not say which model it is of. Expected weights that were imported or trained here, whose "
            "notes do. Give another file, or import the original."
        )
    if task.detector is not None:
        raise ValueError(
            f"{path} holds a head alone. Expected a whole model, or the folder that has the detector beside its heads. "
            "Give that folder, or another file."
        )
    return task
