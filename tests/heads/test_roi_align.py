"""RoIAlign by rows equals torchvision's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import roi_align

from heads._roi_align import align_by_rows


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    side=st.integers(1, 14),
    sampling_ratio=st.integers(0, 3),
    num_regions=st.integers(0, 12),
    largest=st.sampled_from([3.0, 40.0, 400.0]),
)
def test_it_equals_torchvision(seed: int, side: int, sampling_ratio: int, num_regions: int, largest: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 11, 17, generator=generator, dtype=torch.float64)
    image = torch.randint(0, 2, (num_regions, 1), generator=generator)
    # Boxes of every size, some without extent, some partly or all outside.
    corners = 100 * torch.rand(num_regions, 2, generator=generator, dtype=torch.float64) - 20
    extent = largest * (torch.rand(num_regions, 2, generator=generator, dtype=torch.float64) - 0.1).clamp(min=0)
    regions = torch.cat([image, corners, corners + extent], 1)
    expected = roi_align(features, regions, (side, side), 0.25, sampling_ratio, aligned=True)
    aligned = align_by_rows(features, regions, side, 0.25, sampling_ratio)
    torch.testing.assert_close(aligned, expected, rtol=1e-10, atol=1e-12)


def test_the_memory_layout_of_the_map_does_not_matter_and_the_result_is_channels_last() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 4, 9, 9, generator=generator)
    regions = torch.tensor([[0.0, 3.0, 5.0, 28.0, 21.0]])
    aligned = align_by_rows(features, regions, 7, 0.25, 0)
    other = align_by_rows(features.contiguous(memory_format=torch.channels_last), regions, 7, 0.25, 0)
    torch.testing.assert_close(aligned, other)
    assert aligned.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_weights_but_no_positions(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, 4, 120, 120, generator=generator).to(dtype)
    regions = torch.tensor([[0.0, 401.3, 301.7, 431.9, 322.1]])
    expected = roi_align(features.float(), regions, (7, 7), 0.25, 0, aligned=True)
    aligned = align_by_rows(features, regions, 7, 0.25, 0)
    assert aligned.dtype == dtype
    torch.testing.assert_close(aligned.float(), expected, rtol=0, atol=4 * torch.finfo(dtype).eps)
