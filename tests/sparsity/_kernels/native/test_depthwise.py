"""The native depthwise convolution with every instruction set that this CPU has, any number of threads, wrong input."""

from dataclasses import replace

import pytest
import torch

from sparsity._kernels import native
from sparsity._kernels.native import _depthwise
from tests.sparsity._kernels.made_up import (
    double,
    expected_depthwise,
    expected_depthwise_gradients,
    made_up,
    made_up_depthwise,
)

WHY_NOT = native.unavailable(torch.device("cpu"), torch.float32)
FLOAT_SETS = ["none"] if WHY_NOT else native.instruction_sets(torch.float32)
BOTH = (True, True)

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"the native kernel is not available: {WHY_NOT}")


@pytest.mark.parametrize("instructions", FLOAT_SETS)
def test_every_instruction_set_equals_the_dense_convolution(instructions: native.Instructions) -> None:
    # Panels of one, two and four registers and all after each other, with and without padding.
    for features in (1, 16, 33, 64, 112, 240):
        for made in (made_up(features=features), made_up(features=features, kernel_size=5, dilations=(2,))):
            call = made_up_depthwise(made)
            out = _depthwise.convolve_depthwise(call, instructions)
            gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(5))
            found = (out, *_depthwise.differentiate_depthwise(call, gradient, BOTH, instructions))
            wanted = expected_depthwise_gradients(double(call), gradient.double())
            for one, other in zip(found, (expected_depthwise(double(call)), *wanted), strict=True):
                assert one.shape == other.shape
                assert float((one.double() - other).abs().max() / other.abs().max()) < 2e-6


@pytest.mark.parametrize("instructions", FLOAT_SETS)
def test_the_number_of_threads_changes_no_bit(instructions: native.Instructions) -> None:
    call = made_up_depthwise(made_up(features=64, size=(2, 30, 30), kept_shares=(0.5,)))
    gradient = torch.randn(len(call.cells), 64, generator=torch.Generator().manual_seed(5))
    assert len(call.cells) * 27 * 64 > 1.5 * 2_000_000, "this call was to be large enough for a second thread"
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            out = _depthwise.convolve_depthwise(call, instructions)
            results.append((out, *_depthwise.differentiate_depthwise(call, gradient, BOTH, instructions)))
    finally:
        torch.set_num_threads(before)
    for one, two, three in zip(*results, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_the_gradient_of_the_weight_does_not_lose_digits_over_many_cells() -> None:
    call = made_up_depthwise(made_up(features=16, size=(4, 60, 60), kept_shares=(), dilations=(1,)))
    call = replace(call, buffer=call.buffer.abs())
    gradient = torch.ones(len(call.cells), 16)
    _, found = native.depthwise_backward(call, gradient, BOTH)
    _, wanted = expected_depthwise_gradients(double(call), gradient.double())
    assert float((found.double() - wanted).abs().max() / wanted.abs().max()) < 2e-6


def test_bfloat16_is_rounded_once() -> None:
    call = made_up_depthwise(made_up(features=20, dtype=torch.bfloat16))
    out, wanted = native.depthwise(call), expected_depthwise(double(call))
    assert out.dtype == torch.bfloat16
    assert float(((out.double() - wanted).abs() / wanted.abs().clamp(min=1e-3)).max()) < 2**-8 * 1.01


def test_nan_is_not_hidden() -> None:
    call = made_up_depthwise(made_up())
    assert bool(native.depthwise(replace(call, buffer=call.buffer * float("nan"))).isnan().all())


@pytest.mark.parametrize("wrong", [-1, 10**6])
def test_a_wrong_number_is_an_error_and_reads_nothing(wrong: int) -> None:
    call = made_up_depthwise(made_up())
    rows, cells = call.rows.clone(), call.cells.clone()
    rows.view(-1)[call.cells.long()] = wrong
    cells[-1] = wrong
    for broken in (replace(call, rows=rows), replace(call, cells=cells)):
        with pytest.raises(IndexError, match="no row or no cell"):
            native.depthwise(broken)
        for needed in ((True, False), (False, True)):
            with pytest.raises(IndexError, match="no row or no cell"):
                native.depthwise_backward(broken, torch.ones(len(call.cells), 8), needed)


def test_tensors_that_do_not_fit_are_refused() -> None:
    call = made_up_depthwise(made_up())
    for broken, why in (
        (replace(call, weight=call.weight.double()), "another dtype"),
        (replace(call, weight=call.weight[:, :4]), "odd and square"),
        (replace(call, dilations=(1, 2)), "dilation per branch"),
        (replace(call, dilations=(1, 2, 0)), "below 1"),
        (replace(call, buffer=call.buffer[:4]), "more active cells"),
    ):
        with pytest.raises(ValueError, match=why):
            native.depthwise(broken)
    with pytest.raises(ValueError, match="a gradient"):
        native.depthwise_backward(call, torch.ones(3, 8), BOTH)
