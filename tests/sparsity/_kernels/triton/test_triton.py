import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsity._kernels import blocked
from sparsity._kernels import triton as kernel
from tests.sparsity._kernels.made_up import made_up, made_up_depthwise, off_kink
from tests.sparsity._kernels.triton.triton_interpreted import DEPTHWISE, RUNS

ROOT = Path(__file__).parents[4]
TOLERANCES = {"float32": 1e-6, "float16": 2e-3}
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")


def output_of(module: str, *arguments: str, **environment: str) -> Any:
    """JSON that a module of this folder prints, run in a process of its own."""
    pytest.importorskip("triton", reason="triton is not installed: this torch was built without CUDA")
    command = [sys.executable, "-m", f"tests.sparsity._kernels.triton.{module}", *arguments]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def interpreted() -> Any:
    return output_of("triton_interpreted", TRITON_INTERPRET="1")


@pytest.mark.parametrize(("case", "dtype"), RUNS)
def test_interpreted_it_gives_what_a_dense_convolution_gives(interpreted: Any, case: str, dtype: str) -> None:
    errors = interpreted["errors"][f"{case} {dtype}"]
    assert errors["signs"] == 0
    assert errors["zero row"] == 0
    assert {"out", "buffer", "weight"} <= errors.keys()
    assert max(errors.values()) < TOLERANCES[dtype], errors


@pytest.mark.parametrize(("case", "dtype"), [run for run in RUNS if run[0] in DEPTHWISE])
def test_interpreted_its_depthwise_is_that_of_torch(interpreted: Any, case: str, dtype: str) -> None:
    errors = interpreted["depthwise"][f"{case} {dtype}"]
    assert errors["zero row"] == 0
    assert errors.keys() == {"zero row", "out", "buffer", "weight"}
    assert max(errors.values()) < TOLERANCES[dtype], errors


def test_an_activation_does_not_hide_nan(interpreted: Any) -> None:
    assert interpreted["lost_nan"] == 0


@pytest.mark.parametrize("capability", [80, 90])
def test_it_compiles_for_a_gpu_that_is_not_here(capability: int, tmp_path: Path) -> None:
    launches = output_of("triton_compiled", str(capability), TRITON_CACHE_DIR=str(tmp_path))
    assert {launch["kernel"] for launch in launches} == {
        "convolve",
        "depthwise",
        "depthwise_passive",
        "depthwise_weight",
        "mask_gradient",
        "passive_gradient",
        "passive_pairs",
        "weight_gradient",
    }
    for launch in launches:
        assert launch[".local"] == 0, launch
        if launch["kernel"] in ("convolve", "passive_gradient", "weight_gradient"):
            has_matrix_unit = launch["wgmma.mma_async"] + launch["mma.sync"] > 0
            assert has_matrix_unit == ((launch["dtype"], launch["precision"]) != ("float32", "ieee")), launch
        if launch["kernel"] in ("convolve", "weight_gradient"):
            assert launch["cp.async.cg.shared.global"] > 0, f"rows are not copied 16 bytes at a time: {launch}"
        if launch["kernel"] == "convolve" and capability == 90 and has_matrix_unit:
            assert launch["wgmma.mma_async"] > 0, launch


def test_it_says_why_it_cannot_run() -> None:
    assert kernel.unavailable(torch.device("cpu"), torch.float32) == "it runs on GPUs, not on cpu"
    if not torch.cuda.is_available():
        assert kernel.unavailable(torch.device("cuda"), torch.float32) == "torch finds no GPU"


def test_other_reasons_than_a_missing_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(kernel, "find_spec", lambda name: object())
    assert kernel.unavailable(gpu, torch.bfloat16) is None
    assert "not in float64" in str(kernel.unavailable(gpu, torch.float64))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert "compute capability 8.0" in str(kernel.unavailable(gpu, torch.float32))
    monkeypatch.setattr(kernel, "find_spec", lambda name: None)
    assert "triton is not installed" in str(kernel.unavailable(gpu, torch.float32))


def test_run_time_checkers_leave_the_source_alone() -> None:
    pytest.importorskip("triton", reason="triton is not installed: this torch was built without CUDA")

    from sparsity._kernels.triton import convolution, gradients

    for module in (convolution, gradients):
        for name in ("neighbor_rows", "dilation_of", "convolve", "weight_gradient", "passive_gradient"):
            if hasattr(module, name):
                assert not hasattr(getattr(module, name).fn, "__wrapped__"), name


@NEEDS_GPU
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize(("features", "outputs"), [(32, 32), (64, 128), (33, 3)])
def test_on_a_gpu_it_equals_blocked(features: int, outputs: int, dtype: torch.dtype, tolerance: float) -> None:
    call = off_kink(made_up(features=features, outputs=outputs, size=(8, 14, 14), dtype=dtype, device="cuda"))
    (out, signs), (wanted, wanted_signs) = kernel.forward(call, True), blocked.forward(call, True)
    gradient = torch.randn_like(out)
    found = kernel.backward(call, signs, gradient, (True, True, True))
    again = kernel.backward(call, signs, gradient, (True, True, True))
    others = blocked.backward(call, wanted_signs, gradient, (True, True, True))
    assert torch.equal(signs, wanted_signs)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    for one, other in zip((out, *found), (wanted, *others), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))


@NEEDS_GPU
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("features", [32, 33, 200])
def test_on_a_gpu_its_depthwise_equals_blocked(features: int, dtype: torch.dtype, tolerance: float) -> None:
    call = made_up_depthwise(made_up(features=features, size=(8, 14, 14), dtype=dtype, device="cuda"))
    out, wanted = kernel.depthwise(call), blocked.depthwise(call)
    gradient = torch.randn_like(out)
    found = kernel.depthwise_backward(call, gradient, (True, True))
    others = blocked.depthwise_backward(call, gradient, (True, True))
    for one, other in zip((out, *found), (wanted, *others), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))


@NEEDS_GPU
def test_a_graph_replays_it_on_new_features() -> None:
    call = made_up(features=32, outputs=32, size=(8, 14, 14), device="cuda")
    _, signs = kernel.forward(call, True)
    gradient = torch.ones_like(call.buffer[-len(call.cells) :])
    kernel.backward(call, signs, gradient, (True, True, True))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out, signs = kernel.forward(call, True)
        gradients = kernel.backward(call, signs, gradient, (True, True, True))
    fresh = replace(call, buffer=call.buffer * 2)
    wanted, wanted_signs = kernel.forward(fresh, True)
    wanted_gradients = kernel.backward(fresh, wanted_signs, gradient, (True, True, True))
    call.buffer.mul_(2)
    graph.replay()
    assert torch.equal(out, wanted)
    assert all(torch.equal(one, other) for one, other in zip(gradients, wanted_gradients, strict=True))
