"""The recipe of the embedded benchmark: what of a folder of weights it measures, and how."""

from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from bench.model.task import Task
from bench.model.weights_folder import file, stem
from bench.planning.demo import demo
from bench.planning.recipes import HEADS, embedded, load
from bench.record import Subject


def written(folder: Path, subject: Subject) -> None:
    task = msgspec.json.encode(Task(subject=subject, category_ids=(1,), data="d")).decode()
    save_file({"head.weight": torch.zeros(1)}, file(folder, stem(subject)), metadata={"task": task})


def test_without_weights_it_is_what_the_project_ships() -> None:
    cells = load("demo")
    accurate = {cell.subject for cell in cells if cell.probe == "accuracy_true_boxes"}
    assert {embedded(head, seed=seed) for head in HEADS for seed in (0, 1, 2)} <= accurate
    assert {each.module for each in accurate} >= {None, "sfm", "mlp", "conv", "deform_conv", "dense_sfm"}
    detected = [cell.subject for cell in cells if cell.probe == "accuracy"]
    assert tuple(each.head for each in detected[:4]) == HEADS
    assert {(each.preset, each.seed, each.module) for each in detected} == {("small", 0, None), ("small", 0, "sfm")}
    assert len({(cell.subject, cell.probe) for cell in cells}) == len(cells)


def test_with_weights_it_is_what_was_trained_on_the_embedded_data(tmp_path: Path) -> None:
    for subject in (
        embedded("bmask", seed=2),
        embedded("bmask", seed=1),
        embedded("effseg", module="conv"),
        embedded("mask_rcnn", preset="small_agnostic"),
        msgspec.structs.replace(embedded("point_rend"), schedule="own"),
        embedded("a_head_whose_file_is_gone"),
    ):
        written(tmp_path, subject)
    cells = load("demo", tmp_path)
    accurate = [cell.subject for cell in cells if cell.probe == "accuracy_true_boxes"]
    assert [(each.head, each.module, each.seed) for each in accurate] == [
        ("mask_rcnn", None, 0),
        ("effseg", "conv", 0),
        ("bmask", None, 1),
        ("bmask", None, 2),
    ]
    for probe in ("speed", "flops", "pictures", "box_accuracy", "accuracy"):
        assert [(cell.subject.head, cell.subject.seed) for cell in cells if cell.probe == probe] == [("bmask", 1)]
    assert not [cell for cell in cells if cell.probe in ("policies", "budget", "trace")]


def test_weights_of_other_schedules_are_none(tmp_path: Path) -> None:
    written(tmp_path, msgspec.structs.replace(embedded("mask_rcnn"), schedule="12ep"))
    with pytest.raises(ValueError, match=r"no head that was trained on the embedded data.*train glyphs"):
        demo(tmp_path)
