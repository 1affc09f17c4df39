"""Every kernel's feed-forward block beside its formula in float64, and the operation of torch around them."""

from collections.abc import Callable

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sparsity import feedforward, names
from sparsity._kernels import _choose
from sparsity._kernels._call import FeedforwardCall
from sparsity._kernels._feedforward import feedforward_macs
from sparsity._kernels._trial import FORWARD_LIMITS, FeedforwardKernel
from sparsity._kernels.native import _library
from tests.sparsity._kernels.made_up import expected_feedforward, made_up_feedforward

CPU = torch.device("cpu")
KERNELS = [name for name in names("sparsity._kernels") if isinstance(_choose._kernel(name), FeedforwardKernel)]
SIZES = ((0, 8, 32), (1, 32, 128), (95, 33, 20), (97, 64, 256), (193, 5, 129), (2, 1, 1))


def run(call: FeedforwardCall) -> Tensor:
    return feedforward(**vars(call))


def test_the_kernels_that_have_it_are_found() -> None:
    assert {"reference", "blocked", "native"} <= set(KERNELS)


@pytest.mark.parametrize("dtype", FORWARD_LIMITS, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_it_computes_the_formula(name: str, dtype: torch.dtype) -> None:
    kernel = _choose._kernel(name)
    assert isinstance(kernel, FeedforwardKernel)
    if (reason := kernel.unavailable(CPU, dtype)) is not None:  # type: ignore[attr-defined]
        pytest.skip(f"{name}: {reason}")
    for sizes in SIZES:
        call = made_up_feedforward(*sizes, dtype=dtype)
        found, wanted = kernel.feedforward(call), expected_feedforward(call)
        assert found.dtype == dtype
        assert found.shape == wanted.shape
        if wanted.numel():
            assert float((found.double() - wanted).abs().max() / wanted.abs().max()) < FORWARD_LIMITS[dtype], sizes


def variables(call: FeedforwardCall) -> list[Tensor]:
    return [value.clone().requires_grad_() for value in vars(call).values() if isinstance(value, Tensor)]


def test_gradients_are_slopes() -> None:
    call = made_up_feedforward(3, 2, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *tensors: torch.ops.sps.feedforward(*tensors, 1e-5), variables(call))


def test_gradients_that_nobody_needs_are_not_made() -> None:
    call = made_up_feedforward(3, 2, 5)
    tensors = variables(call)
    tensors[0].requires_grad_(False)
    torch.ops.sps.feedforward(*tensors, 1e-5).sum().backward()
    assert [tensor.grad is not None for tensor in tensors] == [False] + 7 * [True]
    assert torch.equal(tensors[1].grad, torch.ones(3, 2))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's check reads it
def test_the_operation_is_well_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Schema, gradient, fake tensors, compiled graphs: with symbolic sizes, no numbers to the run-time types."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch.library.opcheck(torch.ops.sps.feedforward, (*variables(made_up_feedforward(3, 2, 5)), 1e-5))


def test_multiply_adds_are_those_of_both_layers() -> None:
    call = made_up_feedforward(7, 6, 5)
    assert feedforward_macs(7, call.weight_in.shape) == 7 * 6 * 5 * 2
    with FlopCounterMode(display=False) as counter:
        run(call)
    assert counter.get_total_flops() == 2 * 7 * 6 * 5 * 2


def test_a_trace_holds_one_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    call = made_up_feedforward(7, 6, 5)
    *tensors, epsilon = vars(call).values()
    traced = torch.jit.trace(
        lambda *given: torch.ops.sps.feedforward(*given, epsilon), tuple(tensors), check_trace=False
    )
    kinds = [node.kind() for node in traced.inlined_graph.nodes() if not node.kind().startswith("prim::")]
    assert kinds == ["sps::feedforward"]
    torch.testing.assert_close(traced(*tensors), run(call))


@pytest.fixture
def forgetful() -> object:
    """Let the choice be made anew, and forget it."""
    caches: tuple[Callable[[], None], ...] = (_choose._best.cache_clear, _choose._obstacle.cache_clear)
    for clear in caches:
        clear()
    yield
    for clear in caches:
        clear()


@pytest.mark.usefixtures("forgetful")
def test_without_a_compiler_torchs_products_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_choose.VARIABLE, raising=False)
    monkeypatch.setattr(_library, "library", lambda: "there is no C compiler")
    assert _choose.feedforward_kernel_for(CPU, torch.float32) is _choose._kernel("blocked")
    call = made_up_feedforward(97, 16, 64)
    torch.testing.assert_close(run(call).double(), expected_feedforward(call), atol=1e-4, rtol=1e-4)
