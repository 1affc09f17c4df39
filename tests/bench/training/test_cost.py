"""What is told of the cost before a training, and that telling it changes nothing. No time is asserted."""

import dataclasses

import pytest
import torch

from bench.training.cost import Cost, measure
from bench.training.joint import Joint
from bench.training.order import Order
from tests.bench.training.made_up import RECIPE, Instead, Shapes, model, task

RECIPE = dataclasses.replace(RECIPE, trained="head", max_norm=None, true_boxes=1.0)
COST = Cost(
    num_images=2,
    regions=30.4,
    reading=0.05,
    detector=3.0,
    heads={"mask_rcnn": 1.0, "effseg-sfm": 0.5},
    parameters={"mask_rcnn": 2_900_000, "effseg-sfm": 1_000},
)


def test_every_part_is_timed_and_no_weight_and_no_draw_changes() -> None:
    trained = model(task())
    names = ("mask_rcnn", "point_rend")
    trained.head = Joint({name: model(task(name)).get_submodule("head") for name in names})  # type: ignore[assignment]
    before, state = {name: each.clone() for name, each in trained.state_dict().items()}, torch.get_rng_state()
    cost = measure(trained, RECIPE, Order(data=Shapes(), seed=0))
    assert cost is not None
    assert tuple(cost.heads) == tuple(cost.parameters) == names
    assert min(cost.reading, cost.detector, *cost.heads.values()) > 0
    assert 0 < cost.regions <= 4  # the recipe's limit
    assert cost.num_images == 2
    assert cost.parameters["point_rend"] == sum(each.numel() for each in model(task("point_rend")).head.parameters())  # type: ignore[attr-defined]
    after = trained.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(each.grad is None for each in trained.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_images_without_objects_tell_nothing() -> None:
    trained = model(task())
    trained.head = Joint({"mask_rcnn": model(task()).get_submodule("head")})  # type: ignore[assignment]
    empty = Instead(data=Shapes(num_images=1), index=0, image=Shapes()[2])
    assert measure(trained, RECIPE, Order(data=empty, seed=0)) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_are_told_for_the_images_that_are_left(workers: int) -> None:
    recipe = dataclasses.replace(RECIPE, num_steps=2_100, images_per_step=2)
    first, *parts, last = COST.sentences(recipe, done=300, workers=workers)
    assert first.startswith(
        "cost: 3600 images, 2 a step (300 of 2100 steps are done), on 1 process; judged by 2 images"
    )
    assert "30 regions" in first
    assert parts[:3] == [
        "  detector, once for all heads: 3.0 s an image, 3 h 0 min",
        "  mask_rcnn: 1.0 s an image, 60 min (2.9 M parameters)",
        "  effseg-sfm: 0.50 s an image, 30 min (0.0 M parameters)",
    ]
    # Workers read while the others compute.
    assert parts[3:] == ([] if workers else ["  reading: 0.05 s an image, 3 min"])
    assert last == f"  together: about {'4 h 30 min' if workers else '4 h 33 min'}"


def test_processes_share_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    first, detector, *_ = COST.sentences(dataclasses.replace(RECIPE, num_steps=3_600), done=0, workers=1)
    assert "10800 images, 3 a step, on 2 processes" in first
    assert "steps are done" not in first
    assert detector.endswith("3.0 s an image, 4 h 30 min")
