"""Phases of a call, each with what it found and its own peak."""

from collections.abc import Callable

import pytest
import torch

from bench.rulers.peak_memory import phase_peaks

MIB = 2**20


NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_phases_have_their_own_peaks(device: str) -> None:
    def call(lap: Callable[[str], None]) -> torch.Tensor:
        kept = torch.zeros(MIB // 4, device=device)  # 1 MiB
        lap("first")
        large = kept.repeat(4)  # 1 + 4 MiB
        total = large.sum()
        del large
        lap("second")
        lap("third")
        return kept + total  # after the last phase

    found = phase_peaks(call, device)
    assert [each.phase for each in found] == ["first", "second", "third"]
    # Beside the tensors there may be scalars and, on a GPU, what a sum needs, both in whole blocks.
    assert [each.before for each in found] == pytest.approx([0, MIB, MIB], abs=20_000)
    assert [each.peak for each in found] == pytest.approx([MIB, 5 * MIB, MIB], abs=20_000)
