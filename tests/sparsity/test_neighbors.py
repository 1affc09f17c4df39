"""What is particular to Neighbors: one ring, each feature once, and never a stale copy."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from sparsity import window
from sparsity.neighbors import Backend
from tests.sparsity.walks import Walk, patient, walks


def test_the_toy_example() -> None:
    """Cells 0 and 4 of 3x3 are kept: of the 7 others only those around them stay, each in one row."""
    start = Backend.dense(torch.arange(1.0, 10).reshape(1, 1, 3, 3))
    assert start.ids[0].tolist() == [0, 0, 0, 0, 1, 2, 0, 4, 5]
    corner = start.subdivide(torch.tensor([0]), torch.tensor([[10.0], [11], [12], [13]]))
    assert corner.buffer.flatten().tolist() == [0, 2, 4, 5, 10, 11, 12, 13]
    assert corner.gather(window(3, 1, torch.device("cpu")))[..., 0].tolist() == [
        [0, 0, 0, 0, 10, 11, 0, 12, 13],
        [0, 0, 0, 10, 11, 2, 12, 13, 2],
        [0, 10, 11, 0, 12, 13, 0, 4, 4],
        [10, 11, 2, 12, 13, 2, 4, 4, 5],
    ]
    # The next subdivision leaves a demoted sibling behind that nobody touches, and feature 5.
    finer = corner.subdivide(torch.tensor([0]), torch.tensor([[20.0], [21], [22], [23]]))
    assert finer.buffer.flatten().tolist() == [0, 11, 12, 13, 20, 21, 22, 23]


@patient
@given(walk=walks())
def test_every_stored_feature_is_touched_and_none_is_stored_twice(walk: Walk) -> None:
    leaves = walk.leaves(torch.float32)
    numbers, start = [], 1
    for leaf in leaves:
        count = leaf.numel() // leaf.shape[1]
        numbers.append(torch.arange(start, start + count, dtype=torch.float32))
        start += count
    first = numbers[0].view(walk.regions, 1, walk.height, walk.width)
    grid = walk.replay(Backend, [first, *(part[:, None] for part in numbers[1:])])
    assert isinstance(grid, Backend)
    touched: Tensor = grid.ids.unique()
    stored = torch.arange(1, len(grid.buffer))
    assert torch.equal(touched[touched > 0].long(), stored)
    assert len(grid.buffer.unique()) == len(grid.buffer)


@pytest.mark.parametrize("num_kept", [0, 3, 16])
def test_without_values_all_features_are_kept(num_kept: int) -> None:
    """On the meta device storage is an upper bound."""
    with torch.device("meta"):
        grid = Backend.dense(torch.zeros(1, 2, 4, 4)).subdivide(torch.arange(num_kept), torch.zeros(4 * num_kept, 2))
    assert grid.num_passive == 16 - num_kept
