"""The folder of a training: its log and its checkpoints. All ranks open it, rank 0 alone writes."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from bench import machine, ranks
from bench.lock import locked
from bench.model.task import Task
from bench.training import checkpoint
from bench.training.checkpoint import State
from bench.training.collectives import TrainingStopped, all_gather, broadcast
from bench.training.log import Line, Log
from bench.training.recipe import Recipe

LOG = "log.jsonl"

_PATIENCE = 10.0
"""Seconds to wait for another training in the same folder: the readers of a killed one notice only after some."""

_SECONDS_BETWEEN = 60.0
_LARGEST_SHARE = 0.02
"""Of the time that writing checkpoints may take; a large model's are written less often than every minute."""


class TrainingFolder:
    """Keeps the log and the checkpoints of the training of `tensors` in a directory.

    Opening it gives the tensors the values of the newest checkpoint that rank 0 finds there, or those of rank 0
    without one. `done` counts the steps so far. Raises ValueError for a checkpoint that is damaged or of another task
    or recipe, and where another process trains in the directory.
    """

    def __init__(self, directory: Path, task: Task, recipe: Recipe, tensors: Mapping[str, Tensor]) -> None:
        self._directory, self._task, self._recipe, self._tensors = directory, task, recipe, tensors
        self._lock = contextlib.ExitStack()
        state, *_ = all_gather(self._restore)
        broadcast(tensors)
        self.done = self._saved = 0 if state is None else state.step
        self._seconds = 0.0 if state is None else state.seconds
        self._losses: Mapping[str, float] = {} if state is None else state.losses
        self._log = Log(directory / LOG, 0 if state is None else state.log_bytes) if ranks.rank() == 0 else None
        self._machine, self._code = machine.card(), machine.code()
        self._written_at, self._pause = time.monotonic(), _SECONDS_BETWEEN

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is so long ago that another one should be written."""
        return time.monotonic() - self._written_at >= self._pause

    def log(self, line: Line) -> None:
        """Add a step to the log. Raises TrainingStopped where it cannot be written."""
        self.done, self._losses, self._seconds = line.step, line.losses, self._seconds + line.seconds
        if self._log is not None:
            try:
                self._log.write(line)
            except OSError as error:
                raise self._unwritten(error) from error

    def save(self) -> None:
        """Write a checkpoint. Raises TrainingStopped where it cannot be written; those before stay."""
        if self._log is None:
            return
        state = State(
            step=self.done,
            task=self._task,
            recipe=self._recipe.described(),
            losses=dict(self._losses),
            log_bytes=self._log.num_bytes,
            seconds=self._seconds,
            machine=self._machine,
            code=self._code,
        )
        began = time.monotonic()
        try:
            checkpoint.write(self._directory, state, self._tensors)
        except OSError as error:
            raise self._unwritten(error) from error
        self._saved, self._written_at = self.done, time.monotonic()
        self._pause = max(_SECONDS_BETWEEN, (self._written_at - began) / _LARGEST_SHARE)

    def remedy(self) -> str:
        """Say where a stopped training goes on."""
        if not self._saved:
            return "There is no checkpoint yet; the same command begins anew."
        return f"The checkpoint after step {self._saved} is in {self._directory}; the same command goes on from there."

    def close(self) -> None:
        """Close the log, and let others train here."""
        if self._log is not None:
            self._log.close()
        self._lock.close()

    def _restore(self) -> State | None:
        if ranks.rank() > 0:
            return None
        self._directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as lock:
            lock.enter_context(locked(self._directory, patience=_PATIENCE))
            state = checkpoint.restore(self._directory, self._task, self._recipe, self._tensors)
            self._lock = lock.pop_all()
        return state

    def _unwritten(self, error: OSError) -> TrainingStopped:
        return TrainingStopped(
            f"{self._directory} cannot be written: {error.strerror}; expected room for two checkpoints; make room."
        )
