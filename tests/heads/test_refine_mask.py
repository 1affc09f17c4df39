"""RefineMask++: where its finer masks count, in the loss and in the assembled mask; its parameters and cost."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import roi_align

from heads import Detections, Stage, Targets
from heads._compose import boundary, compose
from heads.refine_mask import PRESETS, SIDES, Config, Refinement, build, counted_cells

NUM_REGIONS = 2
WEIGHTS = {"mask_14": 0.5, "mask_28": 0.75, "mask_56": 0.75, "mask_112": 1.0}


def small_head() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(Config(features=16, num_instance_convs=1, num_semantic_convs=1), 12, 10, 4)


def make_stages(*logits: Tensor) -> list[Stage]:
    """Stages with the rules of the head."""
    rules = [("all", False), ("all", False), ("boundary", True), ("boundary", True)]
    return [
        Stage(side=maps.shape[-1], mask_logits=maps, overwrite=overwrite, align_corners=corners)
        for maps, (overwrite, corners) in zip(logits, rules, strict=True)
    ]


def constant(value: float, side: int) -> Tensor:
    return torch.full((NUM_REGIONS, side, side), value)


def make_targets(mask: Tensor) -> Targets:
    """Targets whose object is a mask of 112x112 pixels, seen through a box of just that size."""
    return Targets(
        masks=mask[None],
        image=torch.zeros(1, dtype=torch.int64),
        index=torch.zeros(NUM_REGIONS, dtype=torch.int64),
        boxes=torch.tensor([[0.0, 0.0, 112.0, 112.0]]).repeat(NUM_REGIONS, 1),
        image_sizes=torch.full((NUM_REGIONS, 2), 112.0),
    )


def right_half(side: int, shift: int = 0) -> Tensor:
    return (torch.arange(side) >= side // 2 + shift).expand(side, side)


def logits_of(mask: Tensor) -> Tensor:
    return (mask.float() * 40 - 20).repeat(NUM_REGIONS, 1, 1)


def make_detections(num_regions: int, query_size: int, device: str = "cpu") -> Detections:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(num_regions, 2, generator=generator) * 40
    return Detections(
        boxes=torch.cat([corner, corner + 40], 1).to(device),
        image=torch.zeros(num_regions, dtype=torch.int64, device=device),
        queries=torch.randn(num_regions, query_size, generator=generator).to(device),
        region=torch.arange(num_regions, device=device),
        labels=(torch.arange(num_regions) % 4).to(device),
        scores=torch.ones(num_regions, device=device),
        region_counts=(num_regions,),
        prediction_counts=(num_regions,),
    )


def test_cells_count_near_the_boundary_of_the_predicted_or_the_wanted_mask() -> None:
    side = 16
    nothing = torch.zeros(1, side, side, dtype=torch.bool)
    predicted = right_half(side)[None]
    # In a middle row: two cells on either side of the edge at 8, two at the border, where the outside is background.
    near = np.isin(np.arange(side), (6, 7, 8, 9, 14, 15)).astype(float)
    assert boundary(predicted, 2)[0, side // 2].tolist() == near.astype(bool).tolist()
    # align_corners: the first and last cells of both lattices coincide.
    expected = np.interp(np.linspace(0, side - 1, 2 * side), np.arange(side), near) >= 0.5
    for one, other in ((predicted, nothing), (nothing, predicted), (predicted, predicted)):
        counted = counted_cells(one, other)
        assert counted.shape == (1, 2 * side, 2 * side)
        assert counted[0, side].tolist() == expected.tolist()
    assert not counted_cells(nothing, nothing).any()


def test_targets_are_those_of_boxes_cut_at_the_image() -> None:
    """A box that reaches out by its own size: its target is that of the part inside, stretched to all its cells."""
    targets = make_targets(right_half(112))
    beyond = dataclasses.replace(targets, boxes=torch.tensor([[0.0, 0.0, 224.0, 224.0]]).repeat(NUM_REGIONS, 1))
    losses = small_head().loss(make_stages(*(logits_of(right_half(side)) for side in SIDES)), beyond)
    assert sum(losses.values()) < 1e-6


def test_losses_of_undecided_masks_are_their_weights() -> None:
    # Logits of 0 cost ln 2 in every cell, so a mean costs ln 2 over any set of cells.
    stages = make_stages(*(constant(0.0, side) for side in SIDES))
    losses = small_head().loss(stages, make_targets(right_half(112)))
    assert losses == {name: pytest.approx(weight * NUM_REGIONS * math.log(2)) for name, weight in WEIGHTS.items()}


@pytest.mark.parametrize("index", [2, 3])
def test_finer_losses_see_only_counted_cells(index: int) -> None:
    right = [logits_of(right_half(side)) for side in SIDES]
    previous = right_half(SIDES[index - 1])[None]
    counted = counted_cells(previous, previous)
    name, targets = f"mask_{SIDES[index]}", make_targets(right_half(112))
    wrong_elsewhere = [torch.where(counted, maps, -maps) if i == index else maps for i, maps in enumerate(right)]
    wrong_there = [torch.where(counted, -maps, maps) if i == index else maps for i, maps in enumerate(right)]
    head = small_head()
    assert head.loss(make_stages(*wrong_elsewhere), targets)[name] < 1e-6
    expected = 20 * NUM_REGIONS * WEIGHTS[name]
    assert head.loss(make_stages(*wrong_there), targets)[name] == pytest.approx(expected)


def test_the_last_loss_follows_the_assembled_mask() -> None:
    # What the 56x56 stage says far from the boundary of the 28x28 mask is not part of the mask.
    right = [logits_of(right_half(side)) for side in SIDES]
    far = ~counted_cells(right_half(28)[None], right_half(28)[None])
    stray = [*right[:2], torch.where(far, -right[2], right[2]), right[3] * 0]
    wanted = [*right[:3], right[3] * 0]
    head, targets = small_head(), make_targets(right_half(112))
    assert torch.equal(compose(make_stages(*stray)[:2]) >= 0, compose(make_stages(*wanted)[:2]) >= 0)
    assert torch.equal(
        compose(
            make_stages(
                *stray,
            )[:3]
        )
        >= 0,
        compose(make_stages(*wanted)[:3]) >= 0,
    )
    # The logits of the last stage are wrong only where the stray mask, taken at its word, has its boundary.
    strayed = counted_cells(stray[2] >= 0, right_half(56).expand(NUM_REGIONS, -1, -1))
    clean = counted_cells(wanted[2] >= 0, right_half(56).expand(NUM_REGIONS, -1, -1))
    assert (strayed & ~clean).any()
    last = torch.where(strayed & ~clean, -right[3], right[3])
    assert head.loss(make_stages(*stray[:3], last), targets)["mask_112"] < 1e-6


def test_without_a_boundary_the_finer_losses_are_zero() -> None:
    stages = make_stages(*(constant(-1.0, side).requires_grad_() for side in SIDES))
    losses = small_head().loss(stages, make_targets(torch.zeros(112, 112, dtype=torch.bool)))
    assert losses["mask_14"] > 0
    assert losses["mask_56"] == losses["mask_112"] == 0
    sum(losses.values()).backward()
    assert all(stage.mask_logits.grad.isfinite().all() for stage in stages)


def test_finer_masks_change_only_the_boundary_of_the_coarser() -> None:
    coarse = logits_of(right_half(28))
    stages = make_stages(constant(5.0, 14), coarse, constant(7.0, 56), constant(9.0, 112))
    assert torch.equal(compose(stages[:2]), coarse), "28x28 replaces 14x14"
    masks = compose(stages[:3])
    up = F.interpolate(coarse[:, None], scale_factor=2, mode="bilinear", align_corners=True)[:, 0]
    not_near = (~boundary(coarse >= 0, 1)).float()[:, None]
    kept = F.interpolate(not_near, scale_factor=2, mode="bilinear", align_corners=True)[:, 0] >= 0.5
    torch.testing.assert_close(masks, torch.where(kept, up, torch.tensor(7.0)))
    # Columns 13 and 14 of 28 face the edge, cells 27 and 28 of 56 lie between them.
    assert (masks[:, 20:36, 27:29] == 7.0).all()
    torch.testing.assert_close(masks[:, 20:36, 2:24], torch.full((NUM_REGIONS, 16, 22), -20.0))
    torch.testing.assert_close(masks[:, 20:36, 32:52], torch.full((NUM_REGIONS, 16, 20), 20.0))
    finest = compose(stages)
    torch.testing.assert_close(finest[:, 40:70, 4:40], torch.full((NUM_REGIONS, 30, 36), -20.0))
    assert (finest == 9.0).any()


@torch.no_grad()
def test_semantic_features_are_computed_once_per_image() -> None:
    head, calls = small_head().eval(), []
    head.semantic.register_forward_hook(lambda module, inputs, output: calls.append(inputs[0].shape))
    pyramid = {level: torch.randn(1, 12, 2 ** (7 - level), 2 ** (7 - level)) for level in range(2, 6)}
    stages = head(pyramid, make_detections(5, 10))
    assert calls == [(1, 12, 32, 32)]
    assert [(stage.side, stage.overwrite, stage.align_corners) for stage in stages] == [
        (14, "all", False),
        (28, "all", False),
        (56, "boundary", True),
        (112, "boundary", True),
    ]


@torch.no_grad()
def test_a_stage_joins_instance_semantics_and_mask_cell_by_cell() -> None:
    """With torchvision's RoIAlign and products written out, from features of both memory layouts."""
    stage = Refinement(14, 8, 6, 4, fade_at_border=False).eval()
    generator = torch.Generator().manual_seed(0)
    instance = torch.randn(3, 8, 14, 14, generator=generator)
    semantic = torch.randn(2, 6, 16, 20, generator=generator)
    boxes = torch.tensor([[4.0, 8.0, 40.0, 50.0], [10.0, 2.0, 70.0, 30.0], [20.0, 20.0, 60.0, 44.0]])
    image, labels = torch.tensor([0, 0, 1]), torch.tensor([3, 0, 2])

    def pointwise(layer: torch.nn.Module, features: Tensor) -> Tensor:
        assert isinstance(layer, torch.nn.Conv2d)
        return torch.einsum("rfhw,of->rohw", features, layer.weight[:, :, 0, 0]) + layer.bias[:, None, None]

    expected = pointwise(stage.logits, instance)[torch.arange(3), labels]
    rois = torch.cat([image[:, None].float(), boxes], 1)
    context = roi_align(pointwise(stage.semantic, semantic).relu(), rois, 14, 1 / 4, sampling_ratio=1, aligned=True)
    mask = expected.sigmoid()[:, None]
    joined = pointwise(stage.join, torch.cat([instance, context, mask], 1)).relu()
    total = joined.mean((2, 3), keepdim=True)
    for dilation, branch in zip((1, 3, 5), stage.fuse.branches, strict=True):
        assert isinstance(branch, torch.nn.Conv2d)
        total = total + F.conv2d(joined, branch.weight, branch.bias, padding=dilation, dilation=dilation).relu()
    shrunk = pointwise(stage.shrink, pointwise(stage.fuse.mix, total).relu()).relu()
    for layout in (torch.contiguous_format, torch.channels_last):
        logits, features = stage(instance.contiguous(memory_format=layout), semantic, boxes, image, labels)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(features, torch.cat([shrunk, mask], 1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_last_mask_is_that_of_56_cells_stretched_to_the_corners() -> None:
    head, seen = small_head().eval(), []
    head.last_logits.register_forward_hook(lambda module, inputs, output: seen.append(output[:, 0]))
    last = head({level: torch.randn(1, 12, 32, 32) for level in range(2, 6)}, make_detections(3, 10))[-1].mask_logits
    (small,) = seen
    assert small.shape == (3, 56, 56)
    stretched = F.interpolate(small[:, None], size=(112, 112), mode="bilinear", align_corners=True)[:, 0]
    torch.testing.assert_close(last, stretched)


def paper_head() -> torch.nn.Module:
    with torch.device("meta"):
        return build(PRESETS["paper"], 256, 256, 80).eval()


def test_the_paper_preset_has_the_parameters_of_the_paper() -> None:
    head = paper_head()
    assert sum(parameter.numel() for parameter in head.parameters()) == 6_580_590
    with torch.device("meta"):
        stages = [
            Refinement(side, features, 256, 80, fade_at_border=True)
            for side, features in ((14, 256), (28, 128), (56, 64))
        ]
    sizes = [sum(p.numel() for name, p in s.named_parameters() if not name.startswith("logits")) for s in stages]
    assert sizes == [2_066_047, 533_311, 141_727]


def test_the_class_agnostic_head_has_one_map_per_stage() -> None:
    with torch.device("meta"):
        head = build(dataclasses.replace(PRESETS["paper"], class_agnostic=True), 256, 256, 80)
    assert not head.class_specific
    assert [refinement.logits.out_channels for refinement in head.refinements] == [1, 1, 1]


@torch.no_grad()
def test_the_cost_is_that_of_the_formula() -> None:
    num_regions, cells = 97, 200 * 278
    sizes = {2: (200, 278), 3: (100, 139), 4: (50, 70), 5: (25, 35)}
    pyramid = {level: torch.empty(1, 256, *size, device="meta") for level, size in sizes.items()}
    with FlopCounterMode(display=False) as counter:
        paper_head()(pyramid, make_detections(num_regions, 256, "meta"))
    region = 256 * 256 + 196 * (512 * 256 + 256 * 256) + 196 * 2 * 9 * 256 * 256 + 56**2 * 32
    image = cells * 4 * 9 * 256 * 256
    for features, side in ((256, 14), (128, 28), (64, 56)):
        per_cell = features * (80 + 2 * features + 1 + 27 * features + features + features // 2 - 1)
        region += side**2 * per_cell
        image += cells * 256 * features
    assert counter.get_total_flops() / 2 == num_regions * region + image
    # The paper's ruler also counts bilinear resampling and so arrives at 280.8 G.
    assert num_regions * region + image == pytest.approx(280.8e9, rel=2e-3)


def test_the_paper_preset_fades_at_the_border_and_the_small_ones_do_not() -> None:
    assert {name: config.fade_at_border for name, config in PRESETS.items()} == {
        "paper": True,
        "small": False,
        "small_agnostic": False,
    }
