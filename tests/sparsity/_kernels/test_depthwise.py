"""Every kernel's depthwise convolution beside a dense one in groups, and the operation of torch around them."""

from dataclasses import replace

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sparsity import names
from sparsity._kernels._call import Call, DepthwiseCall
from sparsity._kernels._choose import DepthwiseKernel, _kernel
from sparsity._kernels._depthwise import convolve_depthwise, depthwise_macs
from sparsity._kernels._trial import FORWARD_LIMITS, GRADIENT_LIMITS
from tests.own_process import run_alone
from tests.sparsity._kernels.made_up import (
    double,
    expected_depthwise,
    expected_depthwise_gradients,
    lonely,
    made_up,
    made_up_depthwise,
)

CPU = torch.device("cpu")
KERNELS = [name for name in names("sparsity._kernels") if isinstance(_kernel(name), DepthwiseKernel)]
CASES: dict[str, Call] = {
    "three branches": made_up(),
    "sizes of stage 3": made_up(features=32),
    "many features": made_up(features=128, dilations=(1, 3)),
    "odd sizes": made_up(features=37),
    "one feature": made_up(features=1),
    "1x1": made_up(kernel_size=1, dilations=(1,)),
    "5x5": made_up(kernel_size=5, dilations=(1, 2)),
    "beyond the lattice": made_up(dilations=(40,)),
    "no bias": made_up(has_bias=False),
    "all cells active": made_up(kept_shares=()),
    "no active cells": made_up(kept_shares=(0.5, 0.0)),
    "no regions": made_up(size=(0, 4, 4)),
    "many regions": made_up(features=4, size=(300, 2, 2), kept_shares=(0.3,)),
    "passive neighbours only": lonely(made_up(dilations=(1,))),
}


def call_of(case: str, dtype: torch.dtype = torch.float32) -> DepthwiseCall:
    call = made_up_depthwise(CASES[case])
    bias = None if call.bias is None else call.bias.to(dtype)
    return replace(call, buffer=call.buffer.to(dtype), weight=call.weight.to(dtype), bias=bias)


def kernel_that_can(name: str, dtype: torch.dtype) -> DepthwiseKernel:
    kernel = _kernel(name)
    reason = kernel.unavailable(CPU, dtype)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    assert isinstance(kernel, DepthwiseKernel)
    return kernel


def near(actual: Tensor, wanted: Tensor, limit: float) -> bool:
    assert actual.shape == wanted.shape
    if not wanted.numel():
        return True
    return bool((actual.double() - wanted).abs().max() <= limit * wanted.abs().max().clamp(min=1e-9))


def run(call: DepthwiseCall, buffer: Tensor, weight: Tensor, bias: Tensor | None, kernel: str | None = None) -> Tensor:
    return convolve_depthwise(replace(call, buffer=buffer, weight=weight, bias=bias), kernel)


def leaves(call: DepthwiseCall) -> list[Tensor]:
    return [value.clone().requires_grad_() for value in (call.buffer, call.weight, call.bias) if value is not None]


def test_the_kernels_that_have_it_are_found() -> None:
    assert {"reference", "blocked", "native"} <= set(KERNELS)


@pytest.mark.parametrize("dtype", FORWARD_LIMITS, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_output_and_gradients_are_those_of_a_dense_convolution(name: str, dtype: torch.dtype) -> None:
    kernel = kernel_that_can(name, dtype)
    for case in CASES:
        call = call_of(case, dtype)
        output = kernel.depthwise(call)
        assert output.dtype == dtype
        assert near(output, expected_depthwise(double(call)), FORWARD_LIMITS[dtype]), case
        gradient = torch.randn(output.shape, generator=torch.Generator().manual_seed(3)).to(dtype)
        found = kernel.depthwise_backward(call, gradient, (True, True))
        for one, wanted in zip(found, expected_depthwise_gradients(double(call), gradient.double()), strict=True):
            assert one.dtype == dtype
            assert near(one, wanted, GRADIENT_LIMITS[dtype]), case
        assert not found[0][:1].any()


@pytest.mark.parametrize("name", KERNELS)
def test_gradients_that_nobody_needs_are_not_made(name: str) -> None:
    kernel, call = kernel_that_can(name, torch.float32), call_of("three branches")
    gradient = torch.ones(len(call.cells), 8)
    complete = kernel.depthwise_backward(call, gradient, (True, True))
    for needed in ((True, False), (False, True), (False, False)):
        for asked, one, wanted in zip(needed, kernel.depthwise_backward(call, gradient, needed), complete, strict=True):
            assert torch.equal(one, wanted) if asked else one.shape == (0,)


@pytest.mark.parametrize("kernel", ["reference", "blocked"])
def test_gradients_are_slopes(kernel: str) -> None:
    made = made_up(features=2, dilations=(1, 2), size=(1, 2, 1), kept_shares=(0.5,), dtype=torch.float64)
    call = made_up_depthwise(made)

    def of(stored: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # The zero row is no variable: its slope is not what its gradient says, which is zero.
        return run(call, torch.cat((torch.zeros_like(stored[:1]), stored)), weight, bias, kernel)

    buffer, weight, bias = leaves(call)
    assert torch.autograd.gradcheck(of, (buffer[1:].detach().requires_grad_(), weight, bias))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's check reads it
@pytest.mark.parametrize("kernel", ["reference", None])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_operation_is_well_formed(kernel: str | None, has_bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schema, gradient, fake tensors, compiled graphs: with symbolic sizes, no numbers to the run-time types."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    call = made_up_depthwise(made_up(features=3, size=(1, 3, 2), has_bias=has_bias))
    buffer, weight, *bias = leaves(call)
    inputs = (buffer, call.rows, call.cells, weight, bias[0] if bias else None, [1, 3, 5], kernel)
    torch.library.opcheck(torch.ops.sps.depthwise, inputs)


def test_autocast_computes_in_its_type() -> None:
    call = call_of("three branches")
    variables = leaves(call)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = run(call, *variables)
    assert half.dtype == torch.bfloat16
    whole = run(call, *variables)
    assert near(half, whole.detach().double(), 5e-2)
    for rounded, exact in zip(
        torch.autograd.grad(half.float().sum(), variables), torch.autograd.grad(whole.sum(), variables), strict=True
    ):
        assert rounded.dtype == torch.float32
        assert (rounded - exact).norm() <= 0.1 * exact.norm()


@pytest.mark.parametrize("kernel", ["reference", None])
def test_multiply_adds_are_those_of_the_taps(kernel: str | None) -> None:
    call = made_up_depthwise(made_up(features=6))
    expected = len(call.cells) * 27 * 6
    assert depthwise_macs(len(call.cells), call.weight.shape) == expected
    with FlopCounterMode(display=False) as counter:
        output = run(call, *leaves(call), kernel)
    assert counter.get_total_flops() == 2 * expected
    with FlopCounterMode(display=False) as counter:
        output.sum().backward()
    assert counter.get_total_flops() == 4 * expected


def test_a_trace_holds_one_operation_and_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    call = call_of("three branches")
    inputs = (call.buffer, call.weight, call.bias)
    traced = torch.jit.trace(lambda *tensors: run(call, *tensors), inputs, check_trace=False)
    kinds = [node.kind() for node in traced.inlined_graph.nodes() if not node.kind().startswith("prim::")]
    assert kinds == ["sps::depthwise"]
    torch.testing.assert_close(traced(*inputs), run(call, *inputs))


def test_weights_of_another_type_are_refused() -> None:
    call = call_of("three branches")
    with pytest.raises(ValueError, match=r"weight is torch.float64 on cpu; the features are torch.float32"):
        run(call, call.buffer, call.weight.double(), call.bias)


def test_it_compiles_into_one_graph() -> None:
    """In a process of its own, without run-time types; one graph serves grids of several sizes."""
    program = """
        import torch
        from sparsity import backend, depthwise

        kind = backend("sps")

        def refine(features, weight, bias):
            grid = kind.dense(features).map(torch.tanh)
            return depthwise(grid, weight, bias, (1, 3)).exp()

        compiled = torch.compile(refine, fullgraph=True, dynamic=True, backend="aot_eager")
        for side in (4, 6):
            values = [torch.randn(shape, requires_grad=True) for shape in ((2, 3, side, 5), (2, 3, 3, 3), (3,))]
            results = [function(*values) for function in (refine, compiled)]
            torch.testing.assert_close(*results)
            gradients = [torch.autograd.grad(result.sum(), values) for result in results]
            for pair in zip(*gradients, strict=True):
                torch.testing.assert_close(*pair)
        print("compiled")
    """
    done = run_alone(program)
    assert done.stdout == "compiled\n", done.stderr
