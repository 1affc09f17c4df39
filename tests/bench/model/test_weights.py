"""Weights of other classes are a start: what fits is taken, and a new class begins as the mean of the old ones."""

from pathlib import Path

import msgspec
import pytest
import torch

from bench.model.build import build
from bench.model.task import Task
from bench.model.weights import DETECTOR, HEAD, load_fitting, save_weights
from bench.record import Subject

SUBJECT = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")
ROWS = ("detector.class_head.2.weight", "detector.class_head.2.bias", "head.coarse.logits.weight")


@pytest.fixture
def of_three(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(build(SUBJECT, 3), path, Task(subject=SUBJECT, category_ids=(4, 5, 9), data=""))
    return path


@pytest.mark.parametrize("num_classes", [1, 2, 5])
def test_new_classes_start_from_the_mean_of_the_old(of_three: Path, num_classes: int) -> None:
    old = build(SUBJECT, 3).state_dict()
    model = build(msgspec.structs.replace(SUBJECT, seed=7), num_classes)
    fresh = load_fitting(model, [of_three], (*DETECTOR, *HEAD))
    assert set(ROWS) <= set(fresh)
    new = model.state_dict()
    for name in ROWS:
        for row in new[name][:num_classes]:
            torch.testing.assert_close(row, old[name][:3].mean(0))
    background = "detector.class_head.2.weight"
    torch.testing.assert_close(new[background][num_classes:], old[background][3:])
    assert all(torch.equal(new[name], old[name]) for name in new.keys() - set(fresh))


def test_as_many_classes_start_as_they_are(of_three: Path) -> None:
    model = build(SUBJECT, 3)
    assert load_fitting(model, [of_three], (*DETECTOR, *HEAD)) == []
