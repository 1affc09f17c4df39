"""The native kernel against a dense convolution in float64, with every instruction set that this CPU has."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sparsity._kernels import _compile, native, reference
from sparsity._kernels._call import Call, pack
from tests.sparsity._kernels.made_up import double, expected, expected_gradients, lonely, made_up, off_kink

CPU = torch.device("cpu")
WHY_NOT = native.unavailable(CPU, torch.float32)
FLOAT_SETS = ["none"] if WHY_NOT else native.instruction_sets(torch.float32)
ALL = (True, True, True)

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"the native kernel is not available: {WHY_NOT}")


def relative(found: Tensor, wanted: Tensor) -> float:
    """Largest difference, of the largest value."""
    assert found.shape == wanted.shape
    if not wanted.numel():
        return 0.0
    return float((found.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


def calls() -> Iterator[Call]:
    """All tile widths and their tails, all windows, near and far taps."""
    for features, outputs in ((1, 1), (3, 17), (8, 33), (16, 100), (32, 32), (33, 64), (70, 9)):
        yield made_up(features=features, outputs=outputs)
    for kernel_size, dilations in ((1, (1,)), (3, (1, 2, 3, 4, 5, 6)), (5, (1, 3)), (3, (2**31 - 1,))):
        yield made_up(kernel_size=kernel_size, dilations=dilations, features=5, outputs=12)
    yield made_up(kept_shares=())
    yield made_up(kept_shares=(0.5, 0.0))
    yield made_up(size=(0, 4, 4))
    yield made_up(size=(200, 2, 3), kept_shares=(0.3,))
    yield made_up(has_bias=False)
    yield made_up(activation=False)
    yield lonely(made_up())


@pytest.mark.parametrize("instructions", FLOAT_SETS)
def test_it_equals_the_dense_convolution(instructions: native.Instructions) -> None:
    for call in calls():
        out, _ = native.convolve(call, False, instructions)
        assert relative(out, expected(double(call))) < 2e-6


@pytest.mark.parametrize("instructions", FLOAT_SETS)
def test_gradients_are_those_of_autograd(instructions: native.Instructions) -> None:
    for made in calls():
        call = off_kink(made) if made.bias is not None else replace(made, activation=False)
        out, signs = native.convolve(call, True, instructions)
        gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(5))
        found = native.differentiate(call, signs, gradient, ALL, instructions)
        of_buffer, of_weight, of_bias = expected_gradients(double(call), gradient.double())
        of_buffer[0] = 0
        assert relative(found[0], of_buffer) < 2e-6
        assert relative(found[1], of_weight) < 2e-6
        if of_bias is not None:
            assert relative(found[2], of_bias) < 2e-6


@pytest.mark.parametrize("instructions", FLOAT_SETS)
@pytest.mark.parametrize("features", [32, 64])
def test_winograd_on_quads_is_the_convolution(instructions: native.Instructions, features: int) -> None:
    call = made_up(features=features, outputs=40, dilations=(1, 2), size=(2, 23, 23), kept_shares=(0.3,))
    quads, signs = native.convolve(call, True, instructions)
    direct, _ = native.convolve(replace(call, quads=False), False, instructions)
    assert not torch.equal(quads, direct), "this call was to be large enough for Winograd"
    wanted = expected(double(call))
    assert relative(quads, wanted) < 2e-6
    call = replace(call, activation=False)
    gradient = torch.randn(quads.shape, generator=torch.Generator().manual_seed(5))
    found = native.differentiate(call, signs, gradient, (True, False, False), instructions)[0]
    assert relative(found[1:], expected_gradients(double(call), gradient.double())[0][1:]) < 2e-6


@pytest.mark.parametrize("instructions", FLOAT_SETS)
@pytest.mark.parametrize("outputs", [1, 7, 8, 20, 65])
def test_signs_are_one_bit_per_output(instructions: native.Instructions, outputs: int) -> None:
    call = off_kink(made_up(outputs=outputs))
    _, signs = native.convolve(call, True, instructions)
    _, wanted = reference.forward(call, True)
    assert torch.equal(signs, wanted)
    # Zero is not above zero.
    assert call.bias is not None
    still = replace(call, weight=torch.zeros_like(call.weight), bias=torch.zeros_like(call.bias))
    out, signs = native.convolve(still, True, instructions)
    assert torch.equal(signs, pack(out.new_zeros(len(out), 3, outputs, dtype=torch.bool)))


def test_nobody_asked_for_signs() -> None:
    assert native.forward(made_up(), False)[1].shape == (len(made_up().cells), 3, 0)


@pytest.mark.parametrize("instructions", FLOAT_SETS)
def test_the_number_of_threads_changes_no_bit(instructions: native.Instructions) -> None:
    call = made_up(features=32, outputs=32, size=(2, 23, 23), kept_shares=(0.3,))
    gradient = torch.randn(len(call.cells), 32, generator=torch.Generator().manual_seed(5))
    results = []
    try:
        for threads in (1, 2, 8):
            torch.set_num_threads(threads)
            out, signs = native.convolve(call, True, instructions)
            results.append((out, signs, *native.differentiate(call, signs, gradient, ALL, instructions)))
    finally:
        torch.set_num_threads(1)
    for one, two, eight in zip(*results, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, eight)


def test_bfloat16_is_rounded_once() -> None:
    why_not = native.unavailable(CPU, torch.bfloat16)
    if why_not:
        pytest.skip(why_not)
    for features, outputs in ((8, 8), (7, 33), (64, 100), (33, 16)):
        call = off_kink(made_up(features=features, outputs=outputs, dtype=torch.bfloat16))
        out, signs = native.forward(call, True)
        wanted = expected(double(call))
        assert out.dtype == torch.bfloat16
        # Sums are float32: all the error is that of the last rounding, half of 2^-7 at most.
        assert float(((out.double() - wanted).abs() / wanted.abs().clamp(min=1e-3)).max()) < 2**-8 * 1.01
        gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).bfloat16()
        found = native.backward(call, signs, gradient, ALL)
        of_buffer, *others = expected_gradients(double(call), gradient.double())
        of_buffer[0] = 0
        for one, other in zip(found, (of_buffer, *others), strict=True):
            assert other is not None
            assert one.dtype == torch.bfloat16
            assert relative(one, other) < 2**-8


def test_what_is_not_needed_is_empty() -> None:
    call = made_up()
    out, signs = native.forward(call, True)
    for needed in ((True, False, False), (False, True, False), (False, False, True)):
        found = native.backward(call, signs, out, needed)
        assert [bool(one.numel()) for one in found] == list(needed)


def test_tensors_need_not_be_contiguous() -> None:
    call = made_up()
    out, signs = native.forward(call, True)
    strided = replace(
        call,
        buffer=call.buffer.T.contiguous().T,
        rows=call.rows.mT.contiguous().mT,
        cells=torch.stack((call.cells, call.cells), 1)[:, 0],
        weight=call.weight.mT.contiguous().mT,
    )
    assert torch.equal(native.forward(strided, False)[0], out)
    for one, other in zip(
        native.backward(strided, signs, out.T.contiguous().T, ALL), native.backward(call, signs, out, ALL), strict=True
    ):
        assert torch.equal(one, other)


def test_nan_is_not_hidden() -> None:
    call = made_up()
    out, _ = native.forward(replace(call, buffer=call.buffer * float("nan")), False)
    assert bool(out.isnan().all())


@pytest.mark.parametrize("wrong", [-1, 10**6])
def test_a_wrong_number_is_an_error_and_reads_nothing(wrong: int) -> None:
    call = made_up()
    out, signs = native.forward(call, True)
    rows = call.rows.clone()
    rows.view(-1)[call.cells.long()] = wrong
    cells = call.cells.clone()
    cells[-1] = wrong
    for broken in (replace(call, rows=rows), replace(call, cells=cells)):
        with pytest.raises(IndexError, match="no row or no cell"):
            native.forward(broken, False)
        for needed in ((True, False, False), (False, True, False)):
            with pytest.raises(IndexError, match="no row or no cell"):
                native.backward(broken, signs, out, needed)


def test_tensors_that_do_not_fit_are_refused() -> None:
    call = made_up()
    for broken, why in (
        (replace(call, weight=call.weight.double()), "another dtype"),
        (replace(call, weight=call.weight[:, :, :4]), "odd and square"),
        (replace(call, dilations=(1, 2)), "dilation per branch"),
        (replace(call, dilations=(1, 2, 0)), "below 1"),
        (replace(call, buffer=call.buffer[:4]), "more active cells"),
        (replace(call, cells=call.cells[:-1]), "fours"),
    ):
        with pytest.raises(ValueError, match=why):
            native.forward(broken, False)
    with pytest.raises(ValueError, match="keep_signs"):
        native.backward(call, native.forward(call, False)[1], torch.ones(len(call.cells), 8), ALL)


def test_it_says_where_it_cannot_run() -> None:
    assert "not on meta" in str(native.unavailable(torch.device("meta"), torch.float32))
    for dtype in (torch.float16, torch.float64):
        assert "computes float32 and bfloat16" in str(native.unavailable(CPU, dtype))


def test_sanitizers_find_nothing() -> None:
    """Address and undefined-behaviour sanitizers, whose runtime must be in the process before all else."""
    runtimes = [_runtime("libasan.so"), _runtime("libubsan.so")]
    flags = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    target = _compile.build(Path(native.__file__).with_name("native.c"), flags)
    done = subprocess.run(
        [sys.executable, "-m", "tests.sparsity._kernels.native.native_sanitized", str(target)],
        env={**os.environ, "LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "clean"


def _runtime(name: str) -> str:
    compiler = os.environ.get("CC", "cc").split()[0]
    path = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"{compiler} has no {name}")
    return path
