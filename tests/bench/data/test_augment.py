"""Augmentation: sizes within the rules, image, boxes and masks in step, everything from the generator."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from bench.data.augment import PAPER_TEST, PAPER_TRAINING, SMALL_TEST, SMALL_TRAINING, MultiScale, Picture

seeds = st.integers(0, 2**32)


def rectangles(height: int, width: int, seed: int, num_objects: int = 4) -> Picture:
    """An image of white rectangles on black, boxes and masks exactly those of the rectangles."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((height, width, 3), np.uint8)
    masks = np.zeros((num_objects, height, width), np.uint8)
    boxes = []
    for mask in masks:
        left, top = rng.integers(0, width - 30), rng.integers(0, height - 30)
        right, bottom = rng.integers(left + 10, width), rng.integers(top + 10, height)
        mask[top:bottom, left:right] = 1
        pixels[top:bottom, left:right] = 255
        boxes.append([left, top, right, bottom])
    return Picture.of(
        Image.fromarray(pixels),
        torch.tensor(np.array(boxes).reshape(-1, 4), dtype=torch.float32),
        torch.from_numpy(masks),
        torch.arange(num_objects),
    )


def extent(mask: Tensor) -> list[int]:
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from([(120, 160), (200, 90), (150, 150)]), st.sampled_from([PAPER_TRAINING, SMALL_TRAINING]))
def test_boxes_enclose_masks_and_masks_cover_the_object(
    seed: int, size: tuple[int, int], augmentation: MultiScale
) -> None:
    picture = augmentation(rectangles(*size, seed), torch.Generator().manual_seed(seed))
    height, width = picture.image.height, picture.image.width
    assert picture.masks.shape[1:] == (height, width)
    # "nearest" moves an edge right and down, by less than a pixel of each resize; the last one enlarges at most 2.1 x.
    shift = 1 + 2.1
    for box, mask in zip(picture.boxes.as_subclass(Tensor).tolist(), picture.masks.as_subclass(Tensor), strict=True):
        if mask.any():
            left, top, right, bottom = extent(mask)
            assert box[0] - 0.01 <= left <= box[0] + shift
            assert box[1] - 0.01 <= top <= box[1] + shift
            assert box[2] - 0.01 <= right <= box[2] + shift or right == width
            assert box[3] - 0.01 <= bottom <= box[3] + shift or bottom == height
    covered = picture.masks.as_subclass(Tensor).any(0).numpy()
    white = np.asarray(picture.image)[..., 0] > 127
    assert (covered == white).mean() > 0.96


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(60, 700), st.integers(60, 700))
def test_sizes_follow_the_rules(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    paper = PAPER_TRAINING(rectangles(height, width, seed, 0), generator).image.size
    assert max(paper) <= 1333
    assert max(paper) == 1333 or min(paper) in range(480, 801, 32) or max(paper) >= 1332
    small = SMALL_TRAINING(rectangles(height, width, seed, 0), generator).image.size
    assert max(small) <= 320


def test_every_second_picture_is_cropped_to_sides_between_the_limits() -> None:
    everything = MultiScale(shorts=(100,), long=10_000, crop_from=(400,), crop_sides=(384, 600))
    picture = rectangles(100, 300, 0, 0)
    sizes = [everything(picture, torch.Generator().manual_seed(seed)).image.size for seed in range(60)]
    ratios = [width / height for width, height in sizes]
    cropped = [ratio for ratio in ratios if ratio != 3]
    assert 15 < len(cropped) < 45
    assert all(384 / 600 - 0.02 <= ratio <= 600 / 384 + 0.02 for ratio in cropped)
    assert len(set(cropped)) > 10


def test_every_second_picture_is_flipped() -> None:
    uncut = MultiScale(shorts=(40,), long=100, crop_from=(40,), crop_sides=(1000, 1000))
    picture = Picture.of(
        Image.new("RGB", (60, 40)),
        torch.tensor([[0.0, 0, 10, 10]]),
        torch.zeros(1, 40, 60, dtype=torch.uint8),
        torch.zeros(1, dtype=torch.int64),
    )
    lefts = [float(uncut(picture, torch.Generator().manual_seed(seed)).boxes[0, 0]) for seed in range(200)]
    assert set(lefts) == {0.0, 50.0}
    assert 70 < lefts.count(50.0) < 130


@pytest.mark.parametrize("augmentation", [PAPER_TRAINING, SMALL_TRAINING])
def test_the_generator_decides_and_the_global_one_is_untouched(augmentation: MultiScale) -> None:
    before = torch.random.get_rng_state()
    first, second, other = (
        augmentation(rectangles(100, 140, 1), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    torch.testing.assert_close(first.boxes, second.boxes, rtol=0, atol=0)
    assert torch.equal(first.masks, second.masks)
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
    assert first.image.size != other.image.size or not torch.equal(first.boxes, other.boxes)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_test_transforms_scale_boxes_with_the_image_and_resize_as_pillow_does() -> None:
    picture = rectangles(120, 160, 3)
    paper, small = PAPER_TEST(picture, torch.Generator()), SMALL_TEST(picture, torch.Generator())
    assert paper.image.size == (1066, 800)
    assert small.image.size == (320, 240)
    torch.testing.assert_close(small.boxes.as_subclass(Tensor), picture.boxes.as_subclass(Tensor) * 2)
    assert torch.equal(small.masks.as_subclass(Tensor)[:, ::2, ::2], picture.masks.as_subclass(Tensor))
    expected = picture.image.resize((1066, 800), Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(paper.image), np.asarray(expected))
