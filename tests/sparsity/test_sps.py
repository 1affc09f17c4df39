import pytest
import torch
from hypothesis import given
from torch import Tensor

from bench.rulers.peak_memory import peak_bytes
from sparsity import conv2d, sfm
from sparsity._kernels import native
from sparsity.sps import Backend
from tests.sparsity.walks import Walk, patient, walks


def test_the_toy_example_of_figure_2() -> None:
    """Four active and three passive features on 3x3 cells; the passive ids 5 and 6 fill two cells each."""
    index = torch.tensor([[0, 4, 5], [1, 2, 5], [6, 6, 3]], dtype=torch.int32)
    value_of_id = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])[:, None]
    active, passive = value_of_id[:4], value_of_id[4:]
    grid = Backend(
        buffer=torch.cat((torch.zeros(1, 1), passive, active)),
        rows=torch.where(index < 4, index + 4, index - 3)[None],
        cells=torch.tensor([0, 3, 4, 8], dtype=torch.int32),
    )
    assert torch.equal(grid.index, index[None])
    assert torch.equal(grid.active, active)
    assert torch.equal(grid.passive, passive)

    weight = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    result = conv2d(grid, weight, torch.tensor([10.0]))
    assert result.flatten().tolist() == [
        10 + 5 * 1 + 6 * 5 + 8 * 2 + 9 * 3,
        10 + 2 * 1 + 3 * 5 + 5 * 2 + 6 * 3 + 8 * 7 + 9 * 7,
        10 + 1 * 1 + 2 * 5 + 3 * 6 + 4 * 2 + 5 * 3 + 6 * 6 + 7 * 7 + 8 * 7 + 9 * 4,
        10 + 1 * 3 + 2 * 6 + 4 * 7 + 5 * 4,
    ]
    updated = grid.with_active(result)
    assert updated.rows is grid.rows
    assert torch.equal(updated.passive, passive)


@patient
@given(walk=walks())
def test_ids_are_the_papers(walk: Walk) -> None:
    grid = walk.replay(Backend, walk.leaves(torch.float32))
    assert isinstance(grid, Backend)
    index = grid.index
    assert index.dtype == grid.rows.dtype == torch.int32
    # The cell of active feature i shows id i, and no other cell does.
    assert torch.equal(index.flatten()[grid.cells.long()], torch.arange(grid.num_active, dtype=torch.int32))
    ids, counts = index.unique(return_counts=True)
    assert bool((counts[ids < grid.num_active] == 1).all())
    # Every id is in use: no passive feature is stored in vain.
    assert ids.tolist() == list(range(grid.num_active + grid.num_passive))
    for passive_id in range(grid.num_active, grid.num_active + grid.num_passive):
        assert_aligned_block(index == passive_id)


def assert_aligned_block(mask: Tensor) -> None:
    """True cells form one square of 2^k cells a side whose corner is a multiple of its side, in one region."""
    region, row, column = mask.nonzero().unbind(-1)
    side = round(len(row) ** 0.5)
    assert side * side == len(row)
    assert side & (side - 1) == 0
    assert region.unique().numel() == 1
    assert row.min() % side == 0
    assert column.min() % side == 0
    assert row.max() - row.min() == side - 1
    assert column.max() - column.min() == side - 1


@patient
@given(walk=walks())
def test_a_subdivision_moves_cells_from_active_to_passive_in_order(walk: Walk) -> None:
    leaves = walk.leaves(torch.float32)
    grid = Backend.dense(leaves[0])
    for (keep, _), children in zip(walk.keeps(), leaves[1:], strict=True):
        finer = grid.subdivide(keep, children)
        demoted = [row for row in range(grid.num_active) if row not in set(keep.tolist())]
        assert finer.num_active == 4 * len(keep)
        assert finer.num_passive == grid.num_passive + grid.num_active - len(keep)
        assert torch.equal(finer.passive, torch.cat((grid.passive, grid.active[demoted])))
        assert torch.equal(finer.active, children)
        assert bool((finer.buffer[0] == 0).all())
        grid = finer


def test_a_forward_pass_of_the_native_kernel_takes_only_its_result() -> None:
    """No copy of the weight either, which would be 27 times as large here."""
    why_not = native.unavailable(torch.device("cpu"), torch.float32)
    if why_not is not None:
        pytest.skip(why_not)
    generator = torch.Generator().manual_seed(0)
    grid = Backend(
        buffer=torch.cat((torch.zeros(1, 64), torch.randn(64, 64, generator=generator))),
        rows=torch.arange(1, 65, dtype=torch.int32).reshape(1, 8, 8),
        cells=torch.arange(64, dtype=torch.int32),
        kernel="native",
    )
    weight, bias = torch.randn(3, 64, 64, 3, 3, generator=generator), torch.zeros(3, 64)
    with torch.inference_mode():
        peak = peak_bytes(lambda: sfm(grid, weight, bias, (1, 3, 5)), "cpu")
    assert grid.active.nbytes <= peak < grid.active.nbytes + weight.nbytes / 10
