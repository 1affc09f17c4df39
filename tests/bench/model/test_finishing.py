"""Masks resized as the authors' code does it, against its way: a canvas of booleans through torch's resizing."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from bench.model import finishing
from bench.model.finishing import Dilation

CPU = torch.device("cpu")


def resized(mask: Tensor, top: int, left: int, input_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The whole canvas, made with the crop alone."""
    canvas = torch.zeros(size, dtype=torch.bool)
    crop, (first_row, first_column) = Dilation(input_size, size, CPU)(mask, top, left)
    canvas[first_row : first_row + crop.shape[0], first_column : first_column + crop.shape[1]] = crop
    return canvas


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    input_size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    per_pixel=st.sampled_from([0.02, 0.3, 1.0]),
)
def test_a_crop_gives_what_the_canvas_gives(
    seed: int, input_size: tuple[int, int], size: tuple[int, int], per_pixel: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    (top, height), (left, width) = (
        sorted(torch.randint(0, side + 1, (2,), generator=generator).tolist()) for side in input_size
    )
    mask = torch.rand(height - top, width - left, generator=generator) < per_pixel
    canvas = torch.zeros(input_size)
    canvas[top:height, left:width] = mask.float()
    expected = F.interpolate(canvas[None, None], size=size, mode="bilinear", align_corners=False)[0, 0] > 0
    assert torch.equal(resized(mask, top, left, input_size, size), expected)


def test_it_is_torchvisions_resizing_of_booleans() -> None:
    canvas = torch.rand(1, 203, 270, generator=torch.Generator().manual_seed(0)) < 0.01
    for size in ((480, 640), (203, 270), (96, 128)):
        expected = resize(canvas, list(size), antialias=False)
        assert expected.dtype == torch.bool
        assert torch.equal(resized(canvas[0], 0, 0, (203, 270), size), expected[0])


def test_masks_are_dilated_but_not_at_the_size_of_the_input() -> None:
    """A square of 4 x 4 pixels: at the same size, at half of it and at one and a half."""
    square = torch.ones(4, 4, dtype=torch.bool)
    assert resized(square, 2, 2, (12, 12), (12, 12)).sum() == 16
    assert resized(square, 3, 3, (12, 12), (6, 6)).sum() == 9
    assert resized(square, 2, 2, (12, 12), (18, 18)).sum() == 64


def test_large_images_are_looked_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.rand(30, 20, generator=torch.Generator().manual_seed(1)) < 0.1
    whole = resized(mask, 3, 4, (50, 40), (75, 31))
    monkeypatch.setattr(finishing, "_NUMBERS_AT_ONCE", 100)
    assert torch.equal(resized(mask, 3, 4, (50, 40), (75, 31)), whole)
