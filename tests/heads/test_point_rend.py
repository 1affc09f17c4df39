"""PointRend++: which points it refines and what it leaves alone, its loss, parameters and cost."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from heads import Detections, Stage, Targets
from heads._compose import compose
from heads._regions import FlatPyramid
from heads.point_rend import PRESETS, Config, build, least_certain, sample_masks, training_points

CHANNELS, QUERY_SIZE, NUM_CLASSES = 12, 10, 4


def scene(num_regions: int, device: str = "cpu") -> tuple[dict[int, Tensor], Detections]:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(num_regions, 2, generator=generator) * 60
    detections = Detections(
        boxes=torch.cat([corner, corner + 20 + torch.rand(num_regions, 2, generator=generator) * 60], 1).to(device),
        image=torch.zeros(num_regions, dtype=torch.int64, device=device),
        queries=torch.randn(num_regions, QUERY_SIZE, generator=generator).to(device),
        region=torch.arange(num_regions, device=device),
        labels=(torch.arange(num_regions) % NUM_CLASSES).to(device),
        scores=torch.ones(num_regions, device=device),
        region_counts=(num_regions,),
        prediction_counts=(num_regions,),
    )
    return {2: torch.randn(1, CHANNELS, 32, 32, generator=generator).to(device)}, detections


def small_head(**changes: int | bool) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = dataclasses.replace(Config(features=8, num_convs=1), **changes)
        return build(config, CHANNELS, QUERY_SIZE, NUM_CLASSES)


def flat_cells(stage: Stage, num_regions: int) -> Tensor:
    column, row = (stage.point * stage.side).long().unbind(1)
    return (row * stage.side + column).view(num_regions, -1)


@torch.no_grad()
def test_inference_refines_the_784_least_certain_cells_and_no_other() -> None:
    pyramid, detections = scene(3)
    stages = small_head().eval()(pyramid, detections)
    assert [stage.side for stage in stages] == [28, 56, 112, 224]
    masks = stages[0].mask_logits
    for index, stage in enumerate(stages[1:], start=1):
        upsampled = F.interpolate(masks[:, None], scale_factor=2, mode="bilinear").flatten(1)
        cells = flat_cells(stage, 3)
        chosen = torch.zeros_like(upsampled, dtype=torch.bool).scatter(1, cells, True)
        assert (chosen.sum(1) == 784).all(), "784 different cells in every region"
        for region in range(3):
            certainty = upsampled[region].abs()
            assert certainty[chosen[region]].max() <= certainty[~chosen[region]].min()
        masks = compose(stages[: index + 1])
        torch.testing.assert_close(masks.flatten(1)[~chosen], upsampled[~chosen])
        assert torch.equal(masks.flatten(1).gather(1, cells).flatten(), stage.mask_logits)
        assert not torch.allclose(upsampled.gather(1, cells).flatten(), stage.mask_logits)


@torch.no_grad()
def test_carrying_one_class_gives_the_masks_of_carrying_all() -> None:
    pyramid, detections = scene(4)
    every, own = (small_head(upsample_all_classes=choice).eval()(pyramid, detections) for choice in (True, False))
    for one, other in zip(every, own, strict=True):
        torch.testing.assert_close(one.mask_logits, other.mask_logits)
        if one.point is not None:
            assert torch.equal(one.point, other.point)


@torch.no_grad()
def test_points_always_see_the_original_coarse_masks() -> None:
    seen: list[Tensor] = []
    head = small_head().eval()
    head.point_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    pyramid, detections = scene(2)
    head(pyramid, detections)
    assert len(seen) == 3
    assert all(coarse is seen[0] for coarse in seen)
    assert seen[0].shape == (2, NUM_CLASSES, 28, 28)


@torch.no_grad()
def test_a_point_sees_the_pyramid_where_it_lies_and_the_coarse_masks_in_every_layer() -> None:
    """Point by point with `grid_sample` and plain products, at points where no border matters."""
    head, (pyramid, detections) = small_head().point_head, scene(3)
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(3, NUM_CLASSES, 28, 28, generator=generator)
    point = 0.1 + 0.8 * torch.rand(3, 50, 2, generator=generator)
    found = head(FlatPyramid({2: pyramid[2]}), detections, coarse, point)
    assert found.shape == (3, NUM_CLASSES, 50)
    for region in range(3):
        low, high = detections.boxes[region].split(2)
        at_image = 2 * (low + point[region] * (high - low)) / (4 * 32) - 1
        features = F.grid_sample(pyramid[2], at_image[None, None], align_corners=False)[0, :, 0].T
        before = F.grid_sample(coarse[region : region + 1], 2 * point[None, None, region] - 1, align_corners=False)[
            0, :, 0
        ].T
        for layer in head.hidden:
            features = (torch.cat([features, before], 1) @ layer.weight.T + layer.bias).relu()
        logits = torch.cat([features, before], 1) @ head.logits.weight.T + head.logits.bias
        torch.testing.assert_close(found[region].T, logits, atol=1e-5, rtol=1e-4)


def test_least_certain_takes_the_values_closest_to_zero() -> None:
    logits = torch.tensor([[3.0, -0.5, 1.0, -2.0], [-1.0, 4.0, 0.0, 2.0]])
    assert least_certain(logits, 2).tolist() == [[1, 2], [0, 2]]
    assert least_certain(logits, 9).tolist() == [[0, 1, 2, 3]] * 2


def test_masks_are_sampled_at_cell_centres_and_between_them() -> None:
    masks = torch.arange(16.0).view(1, 1, 4, 4).repeat(1, 2, 1, 1)
    masks[:, 1] *= -1
    point = torch.tensor([[[0.125, 0.125], [0.875, 0.375], [0.5, 0.125], [0.25, 0.5]]])
    values = torch.tensor([0.0, 7.0, 1.5, 6.5])
    torch.testing.assert_close(sample_masks(masks, point), torch.stack([values, -values])[None])


def test_training_draws_147_of_588_where_the_mask_is_least_certain() -> None:
    boxes = torch.tensor([[0.0, 0.0, 50.0, 50.0], [10.0, 10.0, 30.0, 20.0]])
    centres = (torch.arange(28) + 0.5) / 28
    along_x = (centres - 0.5).expand(28, 28)
    coarse = torch.stack([along_x, along_x.T])
    point = training_points(coarse, boxes, torch.Generator().manual_seed(5))
    assert point.shape == (2, 196, 2)
    candidates = torch.rand(2, 588, 2, generator=torch.Generator().manual_seed(5))
    # Outside of the mask there are zeros, so logits fade at the rim.
    lattice = np.arange(-1, 29)
    slope = np.concatenate([[0], along_x[0].numpy(), [0]])
    fade = np.concatenate([[0], np.ones(28), [0]])
    for region, axis in ((0, 0), (1, 1)):
        position = candidates[region].numpy() * 28 - 0.5
        logits = np.interp(position[:, axis], lattice, slope) * np.interp(position[:, 1 - axis], lattice, fade)
        chosen = np.sort(np.argsort(np.abs(logits))[:147])
        assert torch.equal(point[region, :147], candidates[region][chosen])
    assert (point[:, 147:] - 0.5).abs().max() > 0.4, "the last 49 points lie anywhere"


def test_training_gives_the_coarse_masks_and_points_off_the_lattice() -> None:
    pyramid, detections = scene(3)
    first, points = small_head().train()(pyramid, detections, torch.Generator().manual_seed(0))
    assert first.mask_logits.shape == (3, 28, 28)
    assert points.mask_logits.shape == (3 * 196,)
    assert points.region.tolist() == [region for region in range(3) for _ in range(196)]
    on_lattice = (points.point * points.side - 0.5) % 1 < 1e-3
    assert not on_lattice.all(1).any()


def test_each_loss_is_a_mean_per_region_summed_over_regions() -> None:
    detections = scene(3)[1]
    targets = Targets(
        masks=torch.ones(1, 128, 128, dtype=torch.bool),
        image=torch.zeros(1, dtype=torch.int64),
        index=torch.zeros(3, dtype=torch.int64),
        boxes=detections.boxes.clamp(max=100),
        image_sizes=torch.full((3, 2), 128.0),
    )
    stages = [
        Stage(side=28, mask_logits=torch.zeros(3, 28, 28)),
        Stage(
            side=56,
            mask_logits=torch.zeros(3 * 196),
            region=torch.arange(3).repeat_interleave(196),
            point=torch.full((3 * 196, 2), 0.5),
            overwrite="selected",
        ),
    ]
    losses = small_head().loss(stages, targets)
    assert {name: pytest.approx(3 * math.log(2)) for name in ("mask_28", "points")} == losses
    sure = [dataclasses.replace(stage, mask_logits=stage.mask_logits + 20) for stage in stages]
    assert all(loss < 1e-6 for loss in small_head().loss(sure, targets).values())


def test_coarse_targets_cut_boxes_at_the_image_border() -> None:
    # A box half outside an image full of object: all of what remains of it is object, so a sure mask has no loss.
    boxes = torch.tensor([[-50.0, 0.0, 50.0, 100.0]])
    targets = Targets(
        masks=torch.ones(1, 100, 100, dtype=torch.bool),
        image=torch.zeros(1, dtype=torch.int64),
        index=torch.zeros(1, dtype=torch.int64),
        boxes=boxes,
        image_sizes=torch.full((1, 2), 100.0),
    )
    stages = [
        Stage(side=28, mask_logits=torch.full((1, 28, 28), 20.0)),
        Stage(
            side=56,
            mask_logits=torch.full((196,), 20.0),
            region=torch.zeros(196, dtype=torch.int64),
            point=torch.full((196, 2), 0.25),
            overwrite="selected",
        ),
    ]
    losses = small_head().loss(stages, targets)
    assert losses["mask_28"] < 1e-6
    assert losses["points"] > 10, "points are compared where they lie, outside of the image there is no object"


def paper_head(**changes: bool) -> torch.nn.Module:
    with torch.device("meta"):
        return build(dataclasses.replace(PRESETS["paper"], **changes), 256, 256, 80).eval()


def test_the_paper_preset_has_the_parameters_of_the_paper() -> None:
    head = paper_head()
    assert sum(parameter.numel() for parameter in head.parameters()) == 3_191_968
    assert sum(parameter.numel() for parameter in head.point_head.parameters()) == 285_776
    assert head.class_specific
    assert not paper_head(class_agnostic=True).class_specific


def test_the_last_layer_of_the_point_head_starts_near_zero() -> None:
    head = small_head().point_head
    assert head.logits.weight.std().item() == pytest.approx(0.001, rel=0.3)
    assert not head.logits.bias.any()


@torch.no_grad()
def test_the_cost_is_that_of_the_formula() -> None:
    num_regions = 97
    _, detections = scene(num_regions, "meta")
    detections = dataclasses.replace(detections, queries=torch.empty(num_regions, 256, device="meta"))
    with FlopCounterMode(display=False) as counter:
        paper_head()({2: torch.empty(1, 256, 200, 278, device="meta")}, detections)
    fusion = 256 * 256 + 196 * (512 * 256 + 256 * 256)
    coarse = 196 * (4 * 9 * 256 * 256 + 4 * 256 * 256) + 784 * 256 * 80
    points = 3 * 784 * (3 * 336 * 256 + 336 * 80)
    assert counter.get_total_flops() / 2 == num_regions * (fusion + coarse + points)
    # The rest of the 122.5 G of the paper's ruler is bilinear sampling and upsampling, which only that ruler counts.
    sampling = 4 * (3 * 784 * 256 + 80 * (56**2 + 112**2 + 224**2))
    assert num_regions * (fusion + coarse + points + sampling) == pytest.approx(122.5e9, rel=2e-3)


def test_the_paper_preset_fades_at_the_border_and_the_small_ones_do_not() -> None:
    assert {name: config.fade_at_border for name, config in PRESETS.items()} == {
        "paper": True,
        "small": False,
        "small_agnostic": False,
    }
