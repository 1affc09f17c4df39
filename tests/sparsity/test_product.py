"""The product of many rows: the same numbers either way, and a convolution only where that is worth it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsity import product


@settings(max_examples=40)
@given(
    num_rows=st.integers(0, 300),
    features=st.integers(1, 40),
    outputs=st.integers(1, 70),
    has_bias=st.booleans(),
    is_transposed=st.booleans(),
)
def test_as_a_convolution_it_is_the_product(
    num_rows: int, features: int, outputs: int, has_bias: bool, is_transposed: bool
) -> None:
    """Also of operands that are transposed in memory."""
    generator = torch.Generator().manual_seed(num_rows)
    rows = torch.randn(num_rows, features, generator=generator)
    weight = torch.randn(outputs, features, generator=generator)
    bias = torch.randn(outputs, generator=generator) if has_bias else None
    if is_transposed:
        rows, weight = rows.T.contiguous().T, weight.T.contiguous().T
    expected = rows.double() @ weight.double().T + (0 if bias is None else bias.double())
    found = product(rows, weight, bias, worth_convolving=1)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)
    assert found.shape == (num_rows, outputs)


@pytest.mark.parametrize(
    ("num_rows", "dtype", "convolves"),
    [
        (8192, torch.float32, True),
        (8191, torch.float32, False),
        (8192, torch.float64, False),
        (8192, torch.bfloat16, False),
    ],
)
def test_small_ones_and_other_types_are_plain_products(num_rows: int, dtype: torch.dtype, convolves: bool) -> None:
    rows, weight = torch.ones(num_rows, 32, dtype=dtype), torch.ones(32, 32, dtype=dtype)
    with torch.profiler.profile() as profile:
        found = product(rows, weight)
    assert found.unique().tolist() == [32]
    assert ("aten::conv2d" in {event.key for event in profile.key_averages()}) == convolves
