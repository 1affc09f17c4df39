"""Region features as torchvision has them: equal to its module, which finds out scales by itself."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from heads import align_as_torchvision, align_regions

SIZE = (256, 320)
BOXES = (
    torch.tensor([[10.0, 20, 40, 60], [0, 0, 320, 256], [30, 40, 190, 200], [-20, 5, 150, 300]]),
    torch.tensor([[50.0, 60, 50, 60], [100, 100, 215, 210]]),
)


def pyramid(dtype: torch.dtype = torch.float32) -> dict[int, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {k: (2, 4, SIZE[0] // 2**k, SIZE[1] // 2**k) for k in range(2, 7)}
    return {k: torch.randn(shape, generator=generator).to(dtype) for k, shape in shapes.items()}


def test_it_equals_the_module_of_torchvision() -> None:
    maps = {str(level): features for level, features in pyramid().items() if level < 6}
    expected = MultiScaleRoIAlign(list(maps), 7, 2)(maps, list(BOXES), [SIZE, SIZE])
    found = align_as_torchvision(pyramid(), BOXES, 7)
    assert found.equal(expected)
    image = torch.tensor([0] * 4 + [1] * 2)
    assert not torch.allclose(found, align_regions(pyramid(), torch.cat(BOXES), image, 7), atol=0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_number_type_is_that_of_the_pyramid(dtype: torch.dtype) -> None:
    found = align_as_torchvision(pyramid(dtype), BOXES, 7)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), align_as_torchvision(pyramid(), BOXES, 7), rtol=0.02, atol=0.02)


def test_a_box_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"Box 0 is \[nan, .*; expected four finite numbers"):
        align_as_torchvision(pyramid(), [BOXES[0], torch.full((1, 4), torch.nan)], 7)


def test_without_values_the_shape_is_the_same() -> None:
    maps = {level: features.to("meta") for level, features in pyramid().items()}
    found = align_as_torchvision(maps, [boxes.to("meta") for boxes in BOXES], 7)
    assert found.shape == (6, 4, 7, 7)
