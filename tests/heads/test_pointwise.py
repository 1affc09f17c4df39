"""Pointwise layers in blocks and by the faster product: the same numbers, the same names, the same gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from heads import _pointwise
from heads._pointwise import Linear, in_blocks


@settings(max_examples=30)
@given(num_rows=st.integers(0, 700), features=st.integers(1, 40), outputs=st.sampled_from([1, 7, 128]))
def test_a_layer_at_inference_equals_the_one_in_training(num_rows: int, features: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(num_rows)
    layer = Linear(features, outputs)
    rows = torch.randn(num_rows, features, generator=generator)
    with torch.inference_mode():
        found = layer(rows)
    torch.testing.assert_close(found, nn.functional.linear(rows, layer.weight, layer.bias))
    assert found.is_contiguous()


def test_a_large_layer_is_a_convolution_only_where_nobody_wants_gradients() -> None:
    layer, rows = Linear(16, 128), torch.randn(2400, 2, 16)
    with torch.no_grad(), torch.profiler.profile() as at_inference:
        inferred = layer(rows)
    with torch.profiler.profile() as in_training:
        trained = layer(rows)
    torch.testing.assert_close(inferred, trained)
    assert inferred.shape == (2400, 2, 128)
    assert "aten::conv2d" in {event.key for event in at_inference.key_averages()}
    assert "aten::conv2d" not in {event.key for event in in_training.key_averages()}


def test_it_has_the_parameters_of_a_linear_layer() -> None:
    assert Linear(3, 5).state_dict().keys() == nn.Linear(3, 5).state_dict().keys()


@pytest.mark.parametrize("num_rows", [0, 1, 4, 5, 11])
def test_blocks_are_put_together_in_order(num_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pointwise, "BLOCK_NUMBERS", 8)
    sizes: list[int] = []

    def add(first: Tensor, second: Tensor) -> Tensor:
        sizes.append(len(first))
        return first.sum(1, keepdim=True) + second

    first, second = torch.randn(num_rows, 2), torch.randn(num_rows, 1)
    with torch.inference_mode():
        found = in_blocks(add, first, second)
    assert torch.equal(found, first.sum(1, keepdim=True) + second)
    assert max(sizes) <= 4
    assert sum(sizes) == num_rows
    with torch.inference_mode():
        assert torch.equal(in_blocks(add, first, second, numbers=4), found)
    assert max(sizes[-2:]) <= 2


def test_where_gradients_are_wanted_all_rows_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pointwise, "BLOCK_NUMBERS", 8)
    rows = torch.randn(11, 2, requires_grad=True)
    calls: list[int] = []

    def double(block: Tensor) -> Tensor:
        calls.append(len(block))
        return 2 * block

    in_blocks(double, rows).sum().backward()
    assert calls == [11]
    assert rows.grad is not None
    assert torch.equal(rows.grad, torch.full((11, 2), 2.0))


def test_rows_without_numbers_or_wider_than_a_block_are_blocks_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pointwise, "BLOCK_NUMBERS", 2)
    with torch.inference_mode():
        assert in_blocks(lambda block: block + 1, torch.zeros(3, 5)).sum() == 15
