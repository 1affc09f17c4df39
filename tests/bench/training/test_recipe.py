"""Recipes and the order of images: the paper's numbers, and every draw a function of seed and position."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.data.coco import open_images
from bench.data.layout import coco_layout
from bench.data.samples import CocoDataset, Sample
from bench.model.build import build
from bench.record import Subject
from bench.training.optimiser import adamw, set_step, trainable
from bench.training.order import Order, TrainingData, randomness, share
from bench.training.recipe import Cosine, Recipe, frozen, paper, small, small_head
from tests.bench.training.made_up import RECIPE, Shapes, model, task


@pytest.mark.parametrize(("epochs", "rates"), [(12, {0: 1, 8: 1, 9: 0.1, 11: 0.1}), (24, {17: 1, 18: 0.1, 22: 0.01})])
def test_the_paper_drops_its_rates_after_these_epochs(epochs: int, rates: dict[int, float]) -> None:
    images = 118_287
    recipe = paper(images, epochs)
    assert recipe.num_steps * recipe.images_per_step in (epochs * images, epochs * images + 1)
    for epoch, factor in rates.items():
        first = -(-epoch * images // 2)
        assert recipe.factor(first) == factor
        assert recipe.factor(first + 1) == factor


def test_heads_on_a_frozen_detector_learn_as_in_the_paper_but_for_the_length() -> None:
    images = 118_287
    recipe, whole = frozen(images), paper(images)
    assert recipe.num_steps == -(-images // 2)
    assert (recipe.trained, recipe.max_norm) == ("head", None)
    differing = {name for name, value in recipe.described().items() if value != whole.described()[name]}
    assert differing == {"name", "num_steps", "backbone_rate", "trained"}  # the rates fall after the same share
    assert frozen(images, 3).num_steps == -(-3 * images // 2)
    with pytest.raises(ValueError, match="frozen_0ep has 0 steps"):
        frozen(images, 0)


def test_the_paper_has_three_groups_of_rates() -> None:
    with torch.device("meta"):
        paper_model = build(Subject(head="effseg", backbone="r50_defenc", preset="paper"))
    optimiser = adamw(paper_model, paper(100))
    rate = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    by_name = {name: rate[id(parameter)] for name, parameter in trainable(paper_model).items()}
    assert len(by_name) == len(rate)
    assert {rate for name, rate in by_name.items() if name.startswith("backbone.")} == {1e-5}
    offsets = {name for name, rate in by_name.items() if rate == 1e-5 and not name.startswith("backbone.")}
    assert offsets
    assert all("sampling_offsets" in name for name in offsets)
    assert set(by_name.values()) == {1e-5, 1e-4}
    assert {group["weight_decay"] for group in optimiser.param_groups} == {1e-4}


def test_rates_grow_and_fall() -> None:
    recipe = dataclasses.replace(RECIPE, schedule=Cosine(), num_steps=10, warmup_steps=2)
    factors = [recipe.factor(step) for step in range(10)]
    assert factors[0] == 0.5
    assert factors[1:] == sorted(factors[1:], reverse=True)
    assert 0 < factors[-1] < 0.05
    optimiser = adamw(model(task()), recipe)
    set_step(optimiser, recipe, 0)
    assert {group["lr"] for group in optimiser.param_groups} == {5e-4, 2.5e-4, 5e-5}


def test_recipes_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="0 steps"):
        small(0)
    with pytest.raises(ValueError, match="no schedule of 13 epochs"):
        paper(10, 13)
    assert small_head(3_000).described() != small().described()


@given(seed=st.integers(0, 5), size=st.integers(1, 9), per_step=st.integers(2, 7), num_steps=st.integers(1, 6))
def test_ranks_share_every_epoch_out(seed: int, size: int, per_step: int, num_steps: int) -> None:
    order = Order(data=Shapes(num_images=size, side=32), seed=seed)
    whole: dict[int, int] = {}
    for rank in range(2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WORLD_SIZE", "2")
            patch.setenv("RANK", str(rank))
            for step, images in enumerate(share(order, range(num_steps), per_step, 0)):
                assert all(position // per_step == step for position in images)
                assert not images.keys() & whole.keys()
                whole |= {position: image.image_id for position, image in images.items()}
    assert sorted(whole) == list(range(num_steps * per_step))
    for epoch in range(num_steps * per_step // size):
        assert len({whole[position] for position in range(epoch * size, (epoch + 1) * size)}) == size
    assert max(Counter(whole.values()).values()) == -(-num_steps * per_step // size)


def test_draws_depend_on_seed_and_position() -> None:
    def draw(seed: int, position: int) -> float:
        return float(torch.rand((), generator=randomness(seed, position, torch.device("cpu"))))

    assert draw(0, 1) == draw(0, 1)
    assert len({draw(seed, position) for seed in range(3) for position in range(3)}) == 9
    order = Order(data=Shapes(num_images=40), seed=0)
    epochs = [[order[epoch * 40 + place].image_id for place in range(40)] for epoch in range(2)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != [Order(data=Shapes(num_images=40), seed=1)[place].image_id for place in range(40)]


def test_coco_can_be_trained_on(coco_mini: Path) -> None:
    files = open_images(coco_layout(coco_mini).train, num_images=2)
    recipe: Recipe = small()
    data = CocoDataset(files=files, transform=recipe.augmentation)
    assert isinstance(data, TrainingData)
    order = Order(data=data, seed=0)
    first, later = order[0], order[2]
    assert isinstance(first, Sample)
    assert isinstance(later, Sample)
    again = Order(data=data, seed=0)[0]
    assert isinstance(again, Sample)
    assert torch.equal(first.pixels, again.pixels)
