"""Peers of the kernels compute the same; one that does not work here is left out and says so."""

import logging
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

import bench.backends.peers
from bench.backends.peers import COMPILED, SPCONV, SPCONV_VERSION, peers, spconv, spconv_version
from bench.backends.rivals import OURS, Workload, forward, make_workload
from bench.backends.stages import draw_activity
from bench.contract import Context
from sparsity import backend
from tests.own_process import run_alone

SMALL = Context(regions=4, budget=40)


def workload(context: Context = SMALL) -> Workload:
    return make_workload(backend("sps:reference"), draw_activity(2, 40, context, stages=2), context)


def test_dense_compiles_and_computes_the_same() -> None:
    """In a process of its own, without run-time types."""
    program = """
        import torch
        from bench.contract import Context
        from bench.backends.peers import COMPILED, peers
        from bench.backends.rivals import OURS, forward, make_workload
        from bench.backends.stages import draw_activity
        from sparsity import backend

        context = Context(regions=4, budget=40)
        workload = make_workload(backend("sps:reference"), draw_activity(2, 40, context, stages=1), context)
        with torch.inference_mode():
            ours, compiled = forward(workload)[OURS](), peers(workload)[COMPILED]()
        torch.testing.assert_close(compiled, ours, atol=1e-5, rtol=1e-4)
        print(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    """
    done = run_alone(program)
    if COMPILED in done.stderr:
        pytest.skip(f"torch.compile does not work here: {done.stderr[-300:]}")
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize(("error", "when_made"), [(RuntimeError, False), (AssertionError, False), (ImportError, True)])
def test_a_peer_that_fails_is_left_out_with_its_reason(
    error: type[Exception], when_made: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise error("no C++ compiler\nand many lines of torch")

    monkeypatch.setattr(bench.backends.peers, "compiled_dense", fails if when_made else lambda workload: fails)
    with caplog.at_level(logging.WARNING):
        assert peers(workload()) == {}
    assert caplog.messages == [f"{COMPILED} is not measured beside the kernels, because it fails here: no C++ compiler"]


def test_what_spconv_is_given_makes_it_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in that reads its arguments as spconv-triton's documentation has them: it runs on GPUs only."""

    def conv_forward(features: Tensor, filters: Tensor, pairs: Tensor, num_out: int, bias: Tensor) -> Tensor:
        assert (pairs.dtype, tuple(pairs.shape)) == (torch.int32, (filters.shape[1], num_out))
        rows = torch.where(pairs[:, :, None] < 0, 0.0, features[pairs.clamp(min=0)])
        return torch.einsum("tnc,ktc->nk", rows, filters) + bias

    for name in ("spconv_triton", "spconv_triton.pytorch", "spconv_triton.pytorch._impl"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    stand_in = ModuleType("spconv_triton.pytorch._impl.gemm")
    stand_in.conv_forward = conv_forward  # type: ignore[attr-defined]
    monkeypatch.setattr(sys.modules["spconv_triton.pytorch._impl"], "gemm", stand_in, raising=False)
    with torch.inference_mode():
        given = workload()
        assert any(bool((rows == 0).any()) for rows in given.neighbors), "no neighbour is outside: nothing to test"
        torch.testing.assert_close(spconv(given)(), forward(given)[OURS](), atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(
    not torch.cuda.is_available() or spconv_version() != SPCONV_VERSION, reason="no GPU, or no spconv-triton beside it"
)
def test_spconv_computes_the_same_on_a_gpu() -> None:
    given = workload(Context(regions=4, budget=40, device="cuda"))
    with torch.inference_mode():
        torch.testing.assert_close(peers(given)[SPCONV](), forward(given)[OURS](), atol=1e-4, rtol=1e-3)
