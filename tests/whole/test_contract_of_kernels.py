"""What every kernel of the folder must do: equal a dense convolution of the expanded map, forward and gradient."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsity import names
from sparsity._kernels._call import Call, unpack
from sparsity._kernels._choose import _kernel
from sparsity._kernels._op import convolve
from sparsity._kernels._trial import FORWARD_LIMITS, GRADIENT_LIMITS
from tests.sparsity._kernels.made_up import double, expected, expected_gradients, lonely, made_up, off_kink

KERNELS, DTYPES = names("sparsity._kernels"), list(FORWARD_LIMITS)
CPU = torch.device("cpu")

CASES: dict[str, Callable[[torch.dtype], Call]] = {
    "three branches": lambda dtype: made_up(dtype=dtype),
    "sizes of stage 3": lambda dtype: made_up(features=32, outputs=32, dtype=dtype),
    "odd sizes": lambda dtype: made_up(features=5, outputs=13, dtype=dtype),
    "one feature": lambda dtype: made_up(features=1, outputs=1, dtype=dtype),
    "1x1": lambda dtype: made_up(kernel_size=1, dilations=(1,), activation=False, dtype=dtype),
    "5x5": lambda dtype: made_up(kernel_size=5, dilations=(1, 2), dtype=dtype),
    "even dilations": lambda dtype: made_up(dilations=(2, 4, 6), dtype=dtype),
    "beyond the lattice": lambda dtype: made_up(dilations=(40,), dtype=dtype),
    "no bias": lambda dtype: made_up(dilations=(1,), activation=False, has_bias=False, dtype=dtype),
    "branches without activation": lambda dtype: made_up(activation=False, dtype=dtype),
    "all cells active": lambda dtype: made_up(kept_shares=(), dtype=dtype),
    "no passive cells": lambda dtype: made_up(kept_shares=(1.0,), dtype=dtype),
    "no active cells": lambda dtype: made_up(kept_shares=(0.5, 0.0), dtype=dtype),
    "no regions": lambda dtype: made_up(size=(0, 4, 4), dtype=dtype),
    "one region": lambda dtype: made_up(size=(1, 4, 5), dtype=dtype),
    "many regions": lambda dtype: made_up(features=4, outputs=4, size=(300, 2, 2), kept_shares=(0.3,), dtype=dtype),
    "passive neighbours only": lambda dtype: lonely(made_up(dilations=(1,), dtype=dtype)),
}


def skip_unavailable(name: str, dtype: torch.dtype) -> None:
    reason = _kernel(name).unavailable(CPU, dtype)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")


def convolved(name: str, call: Call) -> Tensor:
    return convolve(call, name)


def assert_near(actual: Tensor, wanted: Tensor, limit: float, what: str) -> None:
    assert actual.shape == wanted.shape, what
    if wanted.numel():
        error = (actual.detach().double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-9)
        assert error <= limit, f"{what}: {error:.1e}"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_output_is_that_of_a_dense_convolution(name: str, dtype: torch.dtype, case: str) -> None:
    skip_unavailable(name, dtype)
    call = CASES[case](dtype)
    output = convolved(name, call)
    assert output.dtype == dtype
    assert_near(output, expected(double(call)), FORWARD_LIMITS[dtype], case)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_gradients_are_those_of_a_dense_convolution(name: str, dtype: torch.dtype, case: str) -> None:
    skip_unavailable(name, dtype)
    call = CASES[case](dtype)
    call = off_kink(call) if call.activation else call
    leaves = {
        part: value.requires_grad_()
        for part in ("buffer", "weight", "bias")
        if (value := getattr(call, part)) is not None
    }
    output = convolved(name, call)
    gradient = torch.randn(output.shape, generator=torch.Generator().manual_seed(3)).to(dtype)
    found = torch.autograd.grad(output, list(leaves.values()), gradient)
    for part, of_part, wanted in zip(
        leaves, found, expected_gradients(double(call), gradient.double()), strict=call.bias is not None
    ):
        assert wanted is not None
        assert of_part.dtype == dtype
        assert_near(of_part, wanted, GRADIENT_LIMITS[dtype], part)
    assert not found[0][0].any()


@pytest.mark.parametrize("name", KERNELS)
def test_the_layout_of_the_weight_changes_nothing(name: str) -> None:
    """A layer has its taps next to each other in memory; contiguous weights, in the order of a call, its features."""
    skip_unavailable(name, torch.float32)
    call, kernel = off_kink(made_up(features=5, outputs=13)), _kernel(name)
    as_in_a_layer = replace(call, weight=call.weight.mT.contiguous().mT)
    assert not as_in_a_layer.weight.is_contiguous()
    output, signs = kernel.forward(call, True)
    same_output, same_signs = kernel.forward(as_in_a_layer, True)
    assert torch.equal(same_output, output)
    assert torch.equal(same_signs, signs)
    needed = (True, True, True)
    found = kernel.backward(call, signs, output, needed)
    for one, other in zip(kernel.backward(as_in_a_layer, signs, output, needed), found, strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-6)
        assert one.is_contiguous()


@pytest.mark.parametrize("name", KERNELS)
def test_gradients_that_nobody_needs_are_not_made(name: str) -> None:
    skip_unavailable(name, torch.float32)
    call, kernel = made_up(), _kernel(name)
    output, signs = kernel.forward(call, True)
    complete = kernel.backward(call, signs, torch.ones_like(output), (True, True, True))
    for wanted in range(3):
        needed = (wanted == 0, wanted == 1, wanted == 2)
        found = kernel.backward(call, signs, torch.ones_like(output), needed)
        for place, gradient in enumerate(found):
            assert torch.equal(gradient, complete[place]) if place == wanted else gradient.shape == (0,)


@pytest.mark.parametrize("name", KERNELS)
def test_signs_say_which_branches_are_above_zero(name: str) -> None:
    skip_unavailable(name, torch.float32)
    call, kernel = made_up(outputs=11), _kernel(name)
    output, signs = kernel.forward(call, True)
    assert signs.dtype == torch.uint8
    is_positive = unpack(signs, 11)
    for branch, dilation in enumerate(call.dilations):
        assert call.bias is not None
        alone = replace(
            call,
            weight=call.weight[branch, None],
            bias=call.bias[branch, None],
            dilations=(dilation,),
            activation=False,
        )
        one = expected(double(alone))
        is_clear = one.abs() > 1e-5
        assert torch.equal(is_positive[:, branch][is_clear], (one > 0)[is_clear])
    unasked, nothing = kernel.forward(call, False)
    assert nothing.shape == (len(call.cells), 3, 0)
    assert torch.equal(unasked, output)


@pytest.mark.parametrize("name", KERNELS)
def test_results_do_not_change_from_run_to_run(name: str) -> None:
    skip_unavailable(name, torch.float32)
    call, kernel = made_up(features=32, outputs=24, size=(9, 6, 6)), _kernel(name)
    before = torch.get_num_threads()
    outputs = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs = []
            for _ in range(2):
                output, signs = kernel.forward(call, True)
                runs.append((output, signs, *kernel.backward(call, signs, output, (True, True, True))))
            assert all(torch.equal(*pair) for pair in zip(*runs, strict=True))
            outputs.append(runs[0][0])
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("name", KERNELS)
def test_strides_do_not_matter(name: str) -> None:
    skip_unavailable(name, torch.float32)
    call = made_up(features=6, outputs=5)
    strided = replace(
        call,
        buffer=call.buffer.T.contiguous().T.requires_grad_(),
        weight=call.weight.flip(0).permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0).flip(0).requires_grad_(),
        rows=call.rows.permute(2, 0, 1).contiguous().permute(1, 2, 0),
        cells=call.cells.repeat_interleave(2)[::2],
    )
    assert not any(value.is_contiguous() for value in (strided.buffer, strided.weight, strided.rows, strided.cells))
    output = convolved(name, strided)
    assert torch.equal(output, convolved(name, call))
    # The gradient of a sum is expanded: one number with strides of zero.
    found = torch.autograd.grad(output.sum(), (strided.buffer, strided.weight))
    for gradient, wanted in zip(found, expected_gradients(call, torch.ones_like(output)), strict=False):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


@settings(max_examples=15)
@given(
    features=st.integers(1, 40),
    outputs=st.integers(1, 40),
    kernel_size=st.sampled_from((1, 3, 5)),
    dilations=st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    activation=st.booleans(),
    has_bias=st.booleans(),
    size=st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 5)),
    kept_shares=st.lists(st.sampled_from((0.0, 0.3, 0.6, 1.0)), max_size=3).map(tuple),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("name", KERNELS)
def test_any_call_is_computed(name: str, **drawn: object) -> None:
    skip_unavailable(name, torch.float32)
    call = made_up(**drawn)  # type: ignore[arg-type]
    assert_near(convolved(name, call), expected(double(call)), 2e-5, str(drawn))
