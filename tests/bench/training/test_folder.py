"""The folder of a training: one training at a time."""

from pathlib import Path

import pytest
import torch

from bench.lock import locked
from bench.model.task import Task
from bench.record import Subject
from bench.training import folder
from bench.training.folder import TrainingFolder
from bench.training.recipe import small


def test_two_trainings_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_PATIENCE", 0.0)
    task = Task(subject=Subject(head="effseg"), category_ids=(1,), data="none")
    tensors = {"a": torch.zeros(1)}
    first = TrainingFolder(tmp_path, task, small(10), tensors)
    with pytest.raises(ValueError, match=rf"{tmp_path} is being written by process .* Give another folder, or end"):
        TrainingFolder(tmp_path, task, small(10), tensors)
    first.close()
    second = TrainingFolder(tmp_path, task, small(10), tensors)
    with pytest.raises(ValueError, match="is being written by"), locked(tmp_path):
        pass
    second.close()
