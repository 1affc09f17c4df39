"""The native feed-forward block with every instruction set that this CPU has, any number of threads, wrong input."""

from dataclasses import replace

import pytest
import torch

from sparsity._kernels import native
from sparsity._kernels.native import _feedforward
from tests.sparsity._kernels.made_up import expected_feedforward, made_up_feedforward

WHY_NOT = native.unavailable(torch.device("cpu"), torch.float32)
FLOAT_SETS = ["none"] if WHY_NOT else native.instruction_sets(torch.float32)

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"the native kernel is not available: {WHY_NOT}")


@pytest.mark.parametrize("instructions", FLOAT_SETS)
def test_every_instruction_set_computes_the_formula(instructions: native.Instructions) -> None:
    # Panels of one, two and four registers, parts of hidden features and blocks of rows, full and not.
    for sizes in ((1, 1, 1), (0, 4, 4), (96, 32, 128), (97, 37, 140), (200, 64, 256), (13, 112, 300), (25, 128, 512)):
        call = made_up_feedforward(*sizes)
        found, wanted = _feedforward.compute_feedforward(call, instructions), expected_feedforward(call)
        assert found.shape == wanted.shape
        if wanted.numel():
            assert float((found.double() - wanted).abs().max() / wanted.abs().max()) < 1e-6, sizes


def test_the_number_of_threads_changes_no_bit() -> None:
    call = made_up_feedforward(500, 33, 140)
    assert 2 * 500 * 33 * 140 > 2 * 2_000_000, "this call was to be large enough for a second thread"
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(native.feedforward(call))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_the_variance_of_large_means_keeps_its_digits() -> None:
    call = made_up_feedforward(5, 40, 8)
    call = replace(call, rows=call.rows + 1000)
    found, wanted = native.feedforward(call), expected_feedforward(call)
    assert float((found.double() - wanted).abs().max() / wanted.abs().max()) < 5e-4


def test_bfloat16_is_rounded_once() -> None:
    call = made_up_feedforward(9, 20, 30, dtype=torch.bfloat16)
    out, wanted = native.feedforward(call), expected_feedforward(call)
    assert out.dtype == torch.bfloat16
    assert float(((out.double() - wanted).abs() / wanted.abs().clamp(min=1e-2)).max()) < 2**-8 * 1.01


def test_nan_is_not_hidden_and_stays_in_its_row() -> None:
    call = made_up_feedforward(5, 16, 32)
    rows = call.rows.clone()
    rows[3, 7] = torch.nan
    found = native.feedforward(replace(call, rows=rows))
    assert bool(found[3].isnan().all())
    others = [0, 1, 2, 4]
    assert torch.equal(found[others], native.feedforward(call)[others])


def test_tensors_that_do_not_fit_are_refused() -> None:
    call = made_up_feedforward(5, 4, 6)
    for broken, why in (
        (replace(call, added=call.added.double()), "added .* of torch.float64"),
        (replace(call, bias_in=call.bias_in.to("meta")), "bias_in .* on meta"),
    ):
        with pytest.raises(ValueError, match=why):
            native.feedforward(broken)
    call.__dict__["weight_out"] = call.weight_in  # past the types that would refuse the shape
    with pytest.raises(ValueError, match=r"weight_out \(6, 4\)"):
        native.feedforward(call)
