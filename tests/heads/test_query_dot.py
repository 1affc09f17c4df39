"""Query-dot: sizes, products of filters and pixels in both forms, losses."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from heads import Detections, Stage, query_dot
from tests.heads.scenes import CHANNELS, NUM_CLASSES, QUERY_SIZE, detections, left_half, num_parameters, pyramid

TINY = query_dot.Config(features=8, groups=2)


def small_head(config: query_dot.Config) -> query_dot.QueryDot:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = query_dot.build(config, CHANNELS, QUERY_SIZE, NUM_CLASSES)
    assert isinstance(head, query_dot.QueryDot)
    return head.double()


def sampled(head: query_dot.QueryDot, maps: dict[int, Tensor], regions: Detections) -> Tensor:
    """Every channel of the pixels in the regions."""
    boxes = torch.cat([regions.image[:, None].double(), regions.boxes], 1)
    return roi_align(head.pixels(maps[2]), boxes, (112, 112), spatial_scale=1 / 4, aligned=True)


@pytest.mark.parametrize(
    ("config", "size", "expected"),
    [
        (query_dot.PRESETS["paper"], 256, 854_787),
        (replace(query_dot.PRESETS["paper"], coordinates=False), 256, 854_016),
        (replace(query_dot.PRESETS["paper"], dynamic=8), 256, 767_921),
        (query_dot.PRESETS["small"], 64, 53_955),
        (query_dot.PRESETS["small_dynamic"], 64, 56_945),
    ],
)
def test_sizes(config: query_dot.Config, size: int, expected: int) -> None:
    with torch.device("meta"):
        assert num_parameters(query_dot.build(config, size, size, 80)) == expected


def test_products_on_the_image_equal_those_of_sampled_pixels() -> None:
    head = small_head(replace(TINY, coordinates=False))
    maps, regions = pyramid(2, torch.float64), detections((1, 2), dtype=torch.float64)
    (stage,) = head(maps, regions)
    expected = torch.einsum("rf,rfij->rij", head.filters(regions.queries), sampled(head, maps, regions))
    torch.testing.assert_close(stage.mask_logits, expected)


def test_coordinates_add_a_plane_over_the_box() -> None:
    head, regions = small_head(TINY), detections(dtype=torch.float64)
    with torch.no_grad():
        for parameter in head.pixels.parameters():
            parameter.zero_()
    (stage,) = head(pyramid(1, torch.float64), regions)
    for filters, logits in zip(head.filters(regions.queries), stage.mask_logits, strict=True):
        x, y, shift = filters[-3:].tolist()
        for row, column in ((0, 0), (0, 111), (111, 0), (37, 90)):
            at = x * (2 * (column + 0.5) / 112 - 1) + y * (2 * (row + 0.5) / 112 - 1) + shift
            assert logits[row, column].item() == pytest.approx(at)


def test_dynamic_filters_are_a_network_of_each_region() -> None:
    head = small_head(replace(TINY, dynamic=4))
    maps, regions = pyramid(2, torch.float64), detections((1, 2), dtype=torch.float64)
    (stage,) = head(maps, regions)
    channels = sampled(head, maps, regions)
    row, column = torch.meshgrid(torch.arange(112), torch.arange(112), indexing="ij")
    places = (2 * torch.stack([column, row]).double() + 1) / 112 - 1
    for numbers, found, logits in zip(head.filters(regions.queries), channels, stage.mask_logits, strict=True):
        # Weights of three layers first, then their biases.
        assert len(numbers) == 6 * 4 + 4 * 4 + 4 + 4 + 4 + 1
        first, second, third, *biases = numbers.split([24, 16, 4, 4, 4, 1])
        rows = torch.cat([places, found])[None]
        rows = F.conv2d(rows, first.view(4, 6, 1, 1), biases[0]).relu()
        rows = F.conv2d(rows, second.view(4, 4, 1, 1), biases[1]).relu()
        torch.testing.assert_close(logits, F.conv2d(rows, third.view(1, 4, 1, 1), biases[2])[0, 0])


def test_losses_are_small_only_for_the_right_mask() -> None:
    logits = torch.full((2, 112, 112), -20.0)
    logits[:, :, :56] = 20.0
    right, wrong = Stage(side=112, mask_logits=logits), Stage(side=112, mask_logits=-logits)
    targets = left_half(2)
    dot, dynamic = small_head(TINY), small_head(replace(TINY, dynamic=4))
    assert all(loss < 1e-3 for loss in dot.loss([right], targets).values())
    half = 112 * 56
    expected = {"mask_112": 2 * 5 * 20, "dice_112": 2 * 5 * (1 - 1 / (2 * half + 1))}
    assert dot.loss([wrong], targets) == {name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}
    assert dynamic.loss([right], targets)["dice_112"] < 1e-3
    assert dynamic.loss([wrong], targets) == {"dice_112": pytest.approx(2.0, rel=1e-4)}


def test_groups_must_divide_the_features() -> None:
    with pytest.raises(ValueError, match="64 features cannot be normalised in 48 groups"):
        query_dot.build(query_dot.Config(features=64, groups=48), CHANNELS, QUERY_SIZE, NUM_CLASSES)
