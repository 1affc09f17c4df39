"""Two-way: sizes, attention, finer features, the code of places, its losses and its quality."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.ops import roi_align

from heads import Stage, region_levels, two_way
from tests.heads.scenes import CHANNELS, NUM_CLASSES, QUERY_SIZE, detections, left_half, num_parameters, pyramid


def small_head(seed: int = 0) -> two_way.TwoWay:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = two_way.Config(hidden=32, attention_heads=2)
        head = two_way.build(config, CHANNELS, QUERY_SIZE, NUM_CLASSES)
    assert isinstance(head, two_way.TwoWay)
    return head


@pytest.mark.parametrize(("preset", "size", "expected"), [("paper", 256, 3_727_841), ("small", 64, 236_153)])
def test_sizes(preset: str, size: int, expected: int) -> None:
    with torch.device("meta"):
        assert num_parameters(two_way.build(two_way.PRESETS[preset], size, size, 80)) == expected


def test_attention_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    own, theirs = two_way.Attention(16, 16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        parts = (own.query, own.key, own.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(own.out.state_dict())
    query, key, value = (torch.randn(2, size, 16, generator=generator) for size in (3, 7, 7))
    torch.testing.assert_close(own(query, key, value), theirs(query, key, value)[0])


@pytest.mark.parametrize("depth", [1, 2])
def test_finer_features_come_from_finer_levels_at_the_centres_of_cells(depth: int) -> None:
    head, maps, side = small_head(), pyramid(size=(512, 512)), 28 * 2**depth
    boxes = ((8.0, 10.0, 60.0, 70.0), (5.0, 5.0, 150.0, 140.0), (20.0, 20.0, 300.0, 260.0), (10.0, 9.0, 500.0, 490.0))
    regions = detections((4,), boxes)
    levels = region_levels(regions.boxes).tolist()
    assert levels == [2, 3, 4, 5]
    found = head.upscaling._sampled(maps, regions, depth)
    for number, level in enumerate(levels):
        chosen = max(level - depth, 2)
        thin = head.upscaling.finer[depth - 1](maps[chosen])
        box = torch.tensor([[0.0, *boxes[number]]])
        expected = roi_align(thin, box, (side, side), spatial_scale=1 / 2**chosen, sampling_ratio=1, aligned=True)
        # Between the border of a map and the centres of its outermost cells, RoIAlign repeats cells.
        inner = slice(4, -4)
        torch.testing.assert_close(found[number, :, inner, inner], expected[0, :, inner, inner], atol=1e-5, rtol=1e-4)


def test_places_are_told_apart_by_frequencies_that_are_kept_with_the_weights() -> None:
    one, other = small_head(), small_head(seed=1)
    assert not torch.equal(one(pyramid(), detections())[0].mask_logits, other(pyramid(), detections())[0].mask_logits)
    assert "frequencies" in one.state_dict()
    other.load_state_dict(one.state_dict())
    (a,), (b,) = one(pyramid(), detections()), other(pyramid(), detections())
    torch.testing.assert_close(a.mask_logits, b.mask_logits)
    code, cell = one._places(), 28 * 3 + 20
    x, y = (2 * 20.5 / 28 - 1), (2 * 3.5 / 28 - 1)
    angle = 2 * math.pi * (x * one.frequencies[0] + y * one.frequencies[1])
    torch.testing.assert_close(code[cell], torch.cat([angle.sin(), angle.cos()]), atol=1e-5, rtol=1e-5)
    assert torch.cdist(code, code).fill_diagonal_(1).min() > 0.01


def test_the_query_prompts_the_mask_of_its_region_only() -> None:
    head, regions = small_head().eval(), detections()
    queries = regions.queries.clone()
    queries[1] += 1
    (before,), (after,) = head(pyramid(), regions), head(pyramid(), replace(regions, queries=queries))
    changed = (before.mask_logits != after.mask_logits).flatten(1).any(1)
    assert changed.tolist() == [False, True, False]


def test_losses_of_the_mask() -> None:
    head, targets = small_head(), left_half(2)
    logits = torch.full((2, 112, 112), -20.0)
    logits[:, :, :56] = 20.0
    right = head.loss([Stage(side=112, mask_logits=logits, quality=torch.ones(2))], targets)
    assert list(right) == ["mask_112", "dice_112", "quality"]
    assert all(loss < 1e-3 for loss in right.values()), right
    undecided = head.loss([Stage(side=112, mask_logits=0 * logits, quality=torch.zeros(2))], targets)
    # Half of the cells weigh 0.25, half 0.75, each times (1/2)^2 ln 2.
    assert undecided["mask_112"].item() == pytest.approx(2 * 20 * 0.5 * 0.25 * math.log(2), rel=1e-4)


def test_the_quality_learns_the_iou() -> None:
    targets = left_half(3)
    logits = torch.full((3, 112, 112), -1.0)
    logits[0, :, :28] = 1.0  # half of the object: 1/2
    logits[1, :, 28:84] = 1.0  # half of the object, and as much beside it: 1/3
    quality = torch.tensor([0.6, 0.6, 0.6], requires_grad=True)
    loss = small_head().loss([Stage(side=112, mask_logits=logits, quality=quality)], targets)["quality"]
    assert loss.item() == pytest.approx(0.1 + (0.6 - 1 / 3) + 0.6, abs=1e-4)


def test_channels_must_fit() -> None:
    with pytest.raises(ValueError, match="20 channels; expected a multiple"):
        two_way.build(two_way.PRESETS["small"], 20, QUERY_SIZE, NUM_CLASSES)
