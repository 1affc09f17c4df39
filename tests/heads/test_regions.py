"""Level rule, RoIAlign over levels, sampling a pyramid."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import roi_align

from heads._regions import FlatPyramid, align_regions, cell_points, region_levels


def make_pyramid(generator: torch.Generator, images: int = 2, channels: int = 5) -> dict[int, Tensor]:
    """A small pyramid with odd sides, of images of about 600 x 440 pixels."""
    return {k: torch.randn(images, channels, 440 // 2**k, 600 // 2**k + 1, generator=generator) for k in range(2, 8)}


def square(side: float) -> list[float]:
    return [10.0, 20.0, 10.0 + side, 20.0 + side]


@pytest.mark.parametrize(
    ("side", "level"),
    [(0.0, 2), (3.0, 2), (111.9, 2), (112.0, 3), (223.9, 3), (224.0, 4), (447.0, 4), (448.0, 5), (5000.0, 5)],
)
def test_level_follows_the_size_of_a_box(side: float, level: int) -> None:
    assert region_levels(torch.tensor([[0.0, 0.0, side, side]])).tolist() == [level]


def test_level_uses_the_geometric_mean_and_survives_inverted_boxes() -> None:
    boxes = torch.tensor([[0.0, 0.0, 448.0, 112.0], [50.0, 50.0, 10.0, 90.0]])
    assert region_levels(boxes).tolist() == [4, 2]


def test_every_region_is_aligned_from_its_own_level_in_its_own_place() -> None:
    generator = torch.Generator().manual_seed(0)
    pyramid = make_pyramid(generator)
    boxes = torch.tensor([square(300), square(30), square(150), square(500), square(40)])
    image = torch.tensor([0, 0, 1, 1, 1])
    aligned = align_regions(pyramid, boxes, image, 14)
    for index, level in enumerate((4, 2, 3, 5, 2)):
        region = torch.cat([image[index, None].float(), boxes[index]])[None]
        expected = roi_align(pyramid[level], region, (14, 14), 1 / 2**level, sampling_ratio=-1, aligned=True)
        torch.testing.assert_close(aligned[index], expected[0])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("level", [None, 2])
def test_a_box_that_is_not_finite_reaches_no_native_code(number: float, level: int | None) -> None:
    """Which would read beyond the map."""
    pyramid = {k: features.requires_grad_() for k, features in make_pyramid(torch.Generator()).items()}
    boxes = torch.tensor([square(30), [5.0, 5.0, number, 9.0]])
    with pytest.raises(ValueError, match=r"^Box 1 is \[5.0, 5.0, (nan|inf), 9.0\]; expected four finite numbers"):
        align_regions(pyramid, boxes, torch.tensor([0, 1]), 14, level=level)


def test_a_fixed_level_takes_all_regions_from_it() -> None:
    generator = torch.Generator().manual_seed(1)
    pyramid = make_pyramid(generator)
    boxes, image = torch.tensor([square(300), square(30)]), torch.tensor([0, 1])
    aligned = align_regions(pyramid, boxes, image, 7, sampling_ratio=1, level=2)
    regions = torch.cat([image[:, None].float(), boxes], 1)
    torch.testing.assert_close(aligned, roi_align(pyramid[2], regions, (7, 7), 0.25, 1, True))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), side=st.integers(1, 7))
def test_fading_regions_are_plain_bilinear_samples(seed: int, side: int) -> None:
    """Against `grid_sample` with zeros outside, with and without gradients, of boxes in and out of the image."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 11, 17, generator=generator, dtype=torch.float64)
    corner = 100 * torch.rand(12, 2, generator=generator, dtype=torch.float64) - 20
    boxes = torch.cat([corner, corner + 60 * torch.rand(12, 2, generator=generator, dtype=torch.float64)], 1)
    image = torch.randint(0, 2, (12,), generator=generator)
    centre = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    within = torch.stack((centre.expand(side, side), centre[:, None].expand(side, side)), -1)
    points = boxes[:, None, None, :2] + within * (boxes[:, 2:] - boxes[:, :2])[:, None, None]
    grid = 2 * points / (4 * torch.tensor([17, 11])) - 1
    expected = F.grid_sample(features[image], grid, align_corners=False)
    choices = {"sampling_ratio": 1, "level": 2, "fading": True}
    torch.testing.assert_close(align_regions({2: features}, boxes, image, side, **choices), expected)
    with torch.no_grad():
        torch.testing.assert_close(align_regions({2: features}, boxes, image, side, **choices), expected)


def test_no_regions_stay_attached_to_the_graph() -> None:
    pyramid = {k: features.requires_grad_() for k, features in make_pyramid(torch.Generator()).items()}
    aligned = align_regions(pyramid, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 14)
    assert aligned.shape == (0, 5, 14, 14)
    aligned.sum().backward()
    assert pyramid[2].grad is not None
    assert not pyramid[2].grad.any()


def test_half_precision_features_keep_full_precision_boxes() -> None:
    generator = torch.Generator().manual_seed(2)
    pyramid = make_pyramid(generator)
    boxes, image = torch.tensor([[401.3, 301.7, 431.9, 322.1]]), torch.tensor([1])
    half = align_regions({k: v.bfloat16() for k, v in pyramid.items()}, boxes, image, 7)
    assert half.dtype == torch.bfloat16
    full = align_regions({k: v.bfloat16().float() for k, v in pyramid.items()}, boxes, image, 7)
    torch.testing.assert_close(half, full.bfloat16())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), num_points=st.integers(0, 40))
def test_sampling_equals_grid_sample_level_by_level(seed: int, num_points: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pyramid = make_pyramid(generator)
    levels = torch.randint(2, 8, (num_points,), generator=generator)
    image = torch.randint(0, 2, (num_points,), generator=generator)
    points = torch.rand(num_points, 2, generator=generator) * 800 - 100
    sampled = FlatPyramid(pyramid).sample(levels, image, points)
    assert sampled.shape == (num_points, 5)
    for index in range(num_points):
        features = pyramid[int(levels[index])][image[index], None]
        extent = torch.tensor([features.shape[3], features.shape[2]]) * 2 ** int(levels[index])
        grid = (2 * points[index] / extent - 1)[None, None, None]
        expected = F.grid_sample(features, grid, align_corners=False)[0, :, 0, 0]
        torch.testing.assert_close(sampled[index], expected, atol=1e-4, rtol=1e-4)


def test_maps_are_stretched_over_an_image_whose_size_is_known() -> None:
    """43 x 61 pixels have maps of 11 x 16 and 6 x 8 cells: a place in the image is the same share of every map."""
    generator = torch.Generator().manual_seed(4)
    pyramid = {2: torch.randn(1, 5, 11, 16, generator=generator), 3: torch.randn(1, 5, 6, 8, generator=generator)}
    points = torch.rand(30, 2, generator=generator) * torch.tensor([70, 50]) - 4
    image = torch.zeros(30, dtype=torch.long)
    grid = (2 * points / torch.tensor([61, 43]) - 1)[None, None]
    for level, features in pyramid.items():
        levels = torch.full((30,), level)
        expected = F.grid_sample(features, grid, align_corners=False)[0, :, 0].T
        found = FlatPyramid(pyramid, (43, 61)).sample(levels, image, points)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(FlatPyramid(pyramid).sample(levels, image, points), expected, atol=1e-2)


def test_sampling_is_differentiable_in_features_and_points() -> None:
    generator = torch.Generator().manual_seed(3)
    maps = [torch.randn(1, 2, size, size, generator=generator, dtype=torch.double) for size in (6, 3)]
    points = torch.tensor([[3.1, 5.3], [11.9, 20.2], [22.7, 0.9]], dtype=torch.double)
    levels, image = torch.tensor([2, 3, 2]), torch.zeros(3, dtype=torch.long)

    def sample(fine: Tensor, coarse: Tensor, places: Tensor) -> Tensor:
        return FlatPyramid({2: fine, 3: coarse}).sample(levels, image, places)

    assert torch.autograd.gradcheck(sample, [value.requires_grad_() for value in (*maps, points)])


def test_everything_runs_without_values() -> None:
    pyramid = {k: torch.empty(1, 8, 800 // 2**k, 1112 // 2**k, device="meta") for k in range(2, 8)}
    boxes = torch.empty(60, 4, device="meta")
    image = torch.empty(60, dtype=torch.long, device="meta")
    assert align_regions(pyramid, boxes, image, 14).shape == (60, 8, 14, 14)
    points = cell_points(boxes, image, torch.empty(60, 2, device="meta"))
    assert FlatPyramid(pyramid).sample(region_levels(boxes), image, points).shape == (60, 8)


def test_cell_points_are_pixels_of_the_box() -> None:
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [10.0, 20.0, 30.0, 60.0]])
    points = cell_points(boxes, torch.tensor([1, 1, 0]), torch.tensor([[0.0, 1.0], [0.5, 0.25], [0.5, 0.5]]))
    assert points.tolist() == [[10.0, 60.0], [20.0, 30.0], [0.5, 0.5]]
