"""Heads that learn at once learn what each would alone, and the detector gets the sum."""

import msgspec
import pytest
import torch

from bench.data.augment import SMALL_TEST
from bench.data.samples import Batch, collate
from bench.glyphs import GlyphDataset
from bench.model.build import build
from bench.record import Subject
from bench.training.joint import build_joint, joint_name

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
