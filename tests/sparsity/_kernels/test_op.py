"""The operation of torch around the kernels: gradients, shapes without values, traces, autocast, counting."""

from dataclasses import replace

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import sparsity
from sparsity._kernels._call import Call
from sparsity._kernels._op import convolve, macs
from tests.own_process import run_alone
from tests.sparsity._kernels.made_up import made_up


def run(call: Call, buffer: Tensor, weight: Tensor, bias: Tensor | None, kernel: str | None = None) -> Tensor:
    return convolve(replace(call, buffer=buffer, weight=weight, bias=bias), kernel)


def leaves(call: Call) -> list[Tensor]:
    return [value.clone().requires_grad_() for value in (call.buffer, call.weight, call.bias) if value is not None]


@pytest.mark.parametrize("kernel", ["reference", "blocked"])
@pytest.mark.parametrize("activation", [True, False])
def test_gradients_are_slopes(kernel: str, activation: bool) -> None:
    call = made_up(
        features=2,
        outputs=2,
        dilations=(1, 2),
        size=(1, 2, 1),
        kept_shares=(0.5,),
        activation=activation,
        dtype=torch.float64,
    )

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
    call = made_up(features=3, outputs=4, size=(1, 3, 2), has_bias=has_bias)
    buffer, weight, *bias = leaves(call)
    inputs = (buffer, call.rows, call.cells, weight, bias[0] if bias else None, [1, 3, 5], True, True, True, kernel)
    torch.library.opcheck(torch.ops.sps.conv, inputs)


def test_the_meta_device_gives_shapes() -> None:
    call = made_up(outputs=5)
    meta = [
        None if value is None else value.to("meta")
        for value in (call.buffer, call.rows, call.cells, call.weight, call.bias)
    ]
    output, signs = torch.ops.sps.conv(*meta, [1, 3, 5], True, True, True, None)
    real_output, real_signs = torch.ops.sps.conv(
        call.buffer, call.rows, call.cells, call.weight, call.bias, [1, 3, 5], True, True, True, None
    )
    assert output.is_meta
    assert (output.shape, output.dtype) == (real_output.shape, real_output.dtype)
    assert (signs.shape, signs.dtype) == (real_signs.shape, real_signs.dtype)


def test_signs_are_kept_for_a_backward_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    conv = torch.ops.sps.conv

    def watched(*inputs: object) -> tuple[Tensor, Tensor]:
        asked.append(inputs[8])
        return conv(*inputs)

    monkeypatch.setattr(torch.ops.sps, "conv", watched)
    call, linear = made_up(), made_up(activation=False)
    run(call, *leaves(call))
    run(linear, *leaves(linear))
    run(call, call.buffer, call.weight, call.bias)
    with torch.no_grad():
        run(call, *leaves(call))
    assert asked == [True, False, False, False]


def test_autocast_computes_in_its_type_and_leaves_double_precision_alone() -> None:
    call = made_up()
    variables = leaves(call)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = run(call, *variables)
        assert half.dtype == torch.bfloat16
        double = made_up(dtype=torch.float64)
        assert run(double, *leaves(double)).dtype == torch.float64
    gradients = torch.autograd.grad(half.float().sum(), variables)
    whole = run(call, *variables)
    assert (half - whole).abs().max() <= 5e-2 * whole.abs().max()
    for rounded, exact in zip(gradients, torch.autograd.grad(whole.sum(), variables), strict=True):
        assert rounded.dtype == torch.float32
        assert (rounded - exact).norm() <= 0.1 * exact.norm()


@pytest.mark.parametrize("kernel", ["reference", None])
def test_flops_are_those_of_matrix_products(kernel: str | None) -> None:
    call = made_up(features=6, outputs=5)
    expected = len(call.cells) * 3 * 9 * 6 * 5
    assert macs(len(call.cells), call.weight.shape) == expected
    with FlopCounterMode(display=False) as counter:
        output = run(call, *leaves(call), kernel)
    assert counter.get_total_flops() == 2 * expected
    with FlopCounterMode(display=False) as counter:
        output.sum().backward()
    assert counter.get_total_flops() == 4 * expected


def test_a_trace_holds_one_operation_and_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    call = made_up()
    traced = torch.jit.trace(
        lambda *tensors: run(call, *tensors), (call.buffer, call.weight, call.bias), check_trace=False
    )
    kinds = [node.kind() for node in traced.inlined_graph.nodes() if not node.kind().startswith("prim::")]
    assert kinds == ["sps::conv"]
    torch.testing.assert_close(
        traced(call.buffer, call.weight, call.bias), run(call, call.buffer, call.weight, call.bias)
    )


def test_weights_of_another_type_are_refused() -> None:
    grid = sparsity.backend("sps").dense(torch.zeros(1, 2, 3, 3))
    with pytest.raises(ValueError, match=r"weight is torch.float64 on cpu; the features are torch.float32"):
        sparsity.conv2d(grid, torch.zeros(4, 2, 3, 3, dtype=torch.float64), None)
    with pytest.raises(ValueError, match=r"bias is torch.float64"):
        sparsity.conv2d(grid, torch.zeros(4, 2, 3, 3), torch.zeros(4, dtype=torch.float64))


def test_it_compiles_into_one_graph() -> None:
    """In a process of its own, without run-time types; one graph serves grids of several sizes."""
    program = """
        import torch
        from sparsity import backend, sfm

        kind = backend("sps")

        def refine(features, weight, bias):
            grid = kind.dense(features).map(torch.relu)
            return sfm(grid, weight, bias, (1, 3, 5)).exp()

        compiled = torch.compile(refine, fullgraph=True, dynamic=True, backend="aot_eager")
        for side in (4, 6):
            shapes = ((2, 3, side, 5), (3, 7, 3, 3, 3), (3, 7))
            values = [torch.randn(shape, requires_grad=True) for shape in shapes]
            results = [function(*values) for function in (refine, compiled)]
            torch.testing.assert_close(*results)
            gradients = [torch.autograd.grad(result.sum(), values) for result in results]
            for pair in zip(*gradients, strict=True):
                torch.testing.assert_close(*pair)
        print("compiled")
    """
    done = run_alone(program)
    assert done.stdout == "compiled\n", done.stderr
