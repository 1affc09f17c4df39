"""How measured weights came to be: the records that training leaves beside them, as far as a report needs them."""

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench.record import Code, Machine, Subject

_log = logging.getLogger(__name__)


class _Task(msgspec.Struct, frozen=True, kw_only=True):
    """What was trained, on which data, and the weights of the finished detector that a head learned on, if any."""

    subject: Subject
    data: str
    detector: str | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True):
    task: _Task
    command: str
    machine: Machine
    code: Code
    seconds: float
    weights: str
    steps: list[int]
    curve: dict[str, list[float]]


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """One file of weights: `name` is its name without ending, `curve` its losses by name at `steps`."""

    name: str
    subject: Subject
    data: str
    detector: str | None
    command: str
    machine: Machine
    code: Code
    seconds: float
    weights: str
    steps: tuple[int, ...]
    curve: Mapping[str, tuple[float, ...]]


def read_trainings(folder: Path) -> list[Training]:
    """The training records of a folder of weights, by name; none where there is no folder.

    Files that are no such record are reported to the log and skipped.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(_training(path))
        except (ValueError, OSError) as error:
            _log.warning("%s is no readable training record and is skipped: %s", path, error)
    return found


def _training(path: Path) -> Training:
    file = msgspec.json.decode(path.read_bytes(), type=_File)
    return Training(
        name=path.stem,
        subject=file.task.subject,
        data=file.task.data,
        detector=file.task.detector,
        command=file.command,
        machine=file.machine,
        code=file.code,
        seconds=file.seconds,
        weights=file.weights,
        steps=tuple(file.steps),
        curve={name: tuple(values) for name, values in file.curve.items()},
    )
