"""Heads that learn at once learn what each would alone, and the detector gets the sum."""

import dataclasses
from pathlib import Path

import msgspec
import pytest
import torch

from bench.data.augment import SMALL_TEST
from bench.data.samples import Batch, collate
from bench.glyphs import GlyphDataset
from bench.model.build import build
from bench.record import Subject
from bench.training.joint import Joint, alone, build_joint, joint_name
from bench.training.log import read_log
from bench.training.loop import train
from tests.bench.training.made_up import RECIPE, Shapes, model, task

HEADS = ("mask_rcnn", "effseg")
SUBJECT = Subject(head=joint_name(HEADS), backbone="small_fpn", preset="small", seed=3)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return collate([GlyphDataset(split="train", num_images=1, transform=SMALL_TEST)[0]])


def test_every_head_learns_what_it_would_alone(batch: Batch) -> None:
    model = build_joint(SUBJECT, 20).train()
    together = model(batch, true_boxes=True)
    sum(together.values()).backward()  # type: ignore[union-attr]
    expected: dict[str, torch.Tensor] = {}
    for name in HEADS:
        single = build(msgspec.structs.replace(SUBJECT, head=name), 20).train()
        single.backbone.load_state_dict(model.backbone.state_dict())
        single.neck.load_state_dict(model.neck.state_dict())
        single.detector.load_state_dict(model.detector.state_dict())
        losses = single(batch, true_boxes=True)
        of_head = {loss: value for loss, value in losses.items() if loss not in ("selection", "class", "box")}
        expected |= {f"{name}.{loss}": value for loss, value in of_head.items()}
    assert together.keys() == expected.keys() | {"selection", "class", "box"}
    for loss, value in expected.items():
        torch.testing.assert_close(together[loss], value)
    assert all(parameter.grad is not None for parameter in model.head.parameters())  # type: ignore[attr-defined]


def test_one_head_is_the_model_itself() -> None:
    subject = msgspec.structs.replace(SUBJECT, head="effseg")
    joint, single = build_joint(subject, 20).state_dict(), build(subject, 20).state_dict()
    assert joint.keys() == single.keys()
    assert all(torch.equal(joint[name], tensor) for name, tensor in single.items())


def test_unknown_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="Did you mean 'effseg'"):
        build_joint(msgspec.structs.replace(SUBJECT, head="mask_rcnn+efseg"), 20)


def test_on_a_frozen_detector_no_head_feels_another(tmp_path: Path) -> None:
    """Two draw points at random: to the last bit, they are those that each draws alone."""
    recipe = dataclasses.replace(RECIPE, num_steps=2, images_per_step=2, trained="head", max_norm=0.5)
    kinds = {"first": "point_rend", "effseg": "effseg", "second": "point_rend"}
    together = model(task())
    together.head = Joint({name: model(task(head)).get_submodule("head") for name, head in kinds.items()})  # type: ignore[assignment]
    detector = {name: each.clone() for name, each in together.state_dict().items() if not name.startswith("head.")}
    train(together, Shapes(), recipe, tmp_path / "together", task("+".join(kinds)))
    for name in ("effseg", "second"):
        single = model(task(kinds[name]))
        before = {each: tensor.clone() for each, tensor in single.get_submodule("head").state_dict().items()}
        single.load_state_dict(detector, strict=False)
        train(single, Shapes(), recipe, tmp_path / name, task(kinds[name]))
        found, expected = alone(together, name).state_dict(), single.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[each], expected[each]) for each in found)
        assert any(not torch.equal(found[f"head.{each}"], tensor) for each, tensor in before.items())
        for line, other in zip(
            read_log(tmp_path / name / "log.jsonl"), read_log(tmp_path / "together" / "log.jsonl"), strict=True
        ):
            of_head = line.losses.keys() - other.losses.keys()
            assert of_head
            assert all(line.losses[each] == other.losses[f"{name}.{each}"] for each in of_head)
