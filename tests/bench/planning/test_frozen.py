"""The recipe of heads on a frozen detector: which cells, in which order. What training makes is in test_job.py."""

from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from bench.model.task import Task
from bench.model.weights_folder import file, stem
from bench.planning.frozen import frozen
from bench.planning.recipes import load
from bench.record import Subject


def written(folder: Path, head: str, schedule: str, seed: int = 0) -> None:
    subject = Subject(head=head, backbone="r50_fpn", detector="fqdet", preset="paper", schedule=schedule, seed=seed)
    task = msgspec.json.encode(Task(subject=subject, category_ids=(1,), data="d")).decode()
    save_file({"head.weight": torch.zeros(1)}, file(folder, stem(subject)), metadata={"task": task})


def test_without_weights_it_is_the_plan_of_the_papers_heads() -> None:
    cells = load("frozen")
    assert len(cells) == 1 + 4 * 5
    assert {cell.subject.schedule for cell in cells} == {"frozen_1ep"}
    assert [cell.probe for cell in cells if cell.images is not None] == ["flops", "speed"] * 4


def test_with_weights_it_is_what_was_trained(tmp_path: Path) -> None:
    for head, schedule, seed in (
        ("point_rend", "frozen_1ep", 0),
        ("bmask", "frozen_1ep", 0),
        ("mask_rcnn", "frozen_1ep", 1),
        ("mask_rcnn", "frozen_3ep", 0),
        ("mask_rcnn", "12ep", 0),
    ):
        written(tmp_path, head, schedule, seed)
    accuracies = [cell.subject for cell in load("frozen", tmp_path) if cell.probe == "accuracy"]
    assert [(each.head, each.schedule, each.seed) for each in accuracies] == [
        ("point_rend", "frozen_1ep", 0),
        ("bmask", "frozen_1ep", 0),
        ("mask_rcnn", "frozen_1ep", 1),
        ("mask_rcnn", "frozen_3ep", 0),
    ]
    assert {each.detector for each in accuracies} == {"fqdet"}


def test_weights_of_other_schedules_are_none(tmp_path: Path) -> None:
    written(tmp_path, "mask_rcnn", "12ep")
    with pytest.raises(ValueError, match=r"no head that was trained on a frozen detector.*heads-on-frozen"):
        frozen(tmp_path)
