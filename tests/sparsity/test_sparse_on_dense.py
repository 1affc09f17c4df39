"""SparseOnDense is SPS (its naive kernel) with repeated features: same values, same arithmetic, same bits."""

import pytest
import torch
from hypothesis import assume, given
from torch.utils.flop_counter import FlopCounterMode

import sparsity
from sparsity import sparse_on_dense, sps
from tests.sparsity.walks import Walk, patient, randn, walks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@patient
@given(walk=walks())
def test_results_are_those_of_sps_bit_by_bit(dtype: torch.dtype, walk: Walk) -> None:
    # A single column may have any stride, and torch's bilinear reading depends on it.
    assume(walk.num_features > 1)
    generator = torch.Generator().manual_seed(walk.seed)
    leaves = walk.leaves(dtype)
    weight, bias = randn((3, 2, walk.num_features, 3, 3), generator, dtype), randn((3, 2), generator, dtype)
    one, other = (walk.replay(made, leaves) for made in (sparse_on_dense.Backend, sps.with_kernel("reference")))
    displacement = randn((len(one.cells), 9, 2), generator, dtype).detach()
    assert torch.equal(one.active, other.active)
    assert torch.equal(one.to_dense(), other.to_dense())
    for dilation in (1, 3, 5):
        assert torch.equal(*(sparsity.conv2d(grid, weight[0], bias[0], dilation) for grid in (one, other)))
    assert torch.equal(*(sparsity.sfm(grid, weight, bias, (1, 3, 5)) for grid in (one, other)))
    assert torch.equal(*(sparsity.deform_conv2d(grid, weight[0], None, displacement) for grid in (one, other)))


def test_only_active_cells_are_computed() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        grid = sparse_on_dense.Backend.dense(torch.zeros(2, 8, 5, 5)).subdivide(torch.arange(3), torch.zeros(12, 8))
        sparsity.conv2d(grid, torch.zeros(4, 8, 3, 3), None)
    assert counter.get_total_flops() == 2 * 12 * 4 * 8 * 9
