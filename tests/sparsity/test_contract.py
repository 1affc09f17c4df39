"""What every backend must do: tested for each module found in the folder."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import sparsity
from sparsity import Grid, backend, names, unravel
from tests.sparsity.walks import (
    TOLERANCE,
    Walk,
    assert_equal_with_gradients,
    patient,
    randn,
    skip_unsupported,
    walks,
)

pytestmark = pytest.mark.parametrize("name", names("sparsity"))
DTYPES = st.sampled_from(list(TOLERANCE))


def at_cells(full: Tensor, grid: Grid) -> Tensor:
    """Rows of a full map at the active cells."""
    region, row, column = unravel(grid.cells, grid.size)
    return full.permute(0, 2, 3, 1)[region, row, column]


@patient
@given(walk=walks(), dtype=DTYPES)
def test_a_grid_shows_every_feature_where_the_walk_put_it(name: str, walk: Walk, dtype: torch.dtype) -> None:
    leaves = walk.leaves(dtype)
    grid = walk.replay(backend(name), leaves)
    full = walk.full_map(leaves)
    assert isinstance(grid, Grid)
    assert grid.size == (full.shape[0], *full.shape[2:])
    assert_equal_with_gradients(grid.active, at_cells(full, grid), leaves)
    with skip_unsupported():
        assert_equal_with_gradients(grid.to_dense(), full, leaves)


@patient
@given(walk=walks())
def test_active_cells_are_the_children_of_the_kept_ones_in_order(name: str, walk: Walk) -> None:
    grid = walk.replay(backend(name), walk.leaves(torch.float32))
    cells = list(itertools.product(range(walk.regions), range(walk.height), range(walk.width)))
    for _, children in walk.keeps():
        cells = children
    assert grid.cells.dtype == torch.int32
    assert torch.stack(unravel(grid.cells, grid.size), dim=-1).tolist() == [list(cell) for cell in cells]


@patient
@given(walk=walks(), dtype=DTYPES, kernel_size=st.sampled_from((1, 3, 5)), dilation=st.sampled_from((1, 3, 5)))
def test_convolution_is_dense_convolution_at_active_cells(
    name: str, walk: Walk, dtype: torch.dtype, kernel_size: int, dilation: int
) -> None:
    generator = torch.Generator().manual_seed(walk.seed)
    leaves = walk.leaves(dtype)
    weight = randn((3, walk.num_features, kernel_size, kernel_size), generator, dtype)
    bias = randn((3,), generator, dtype)
    grid = walk.replay(backend(name), leaves)
    with skip_unsupported():
        actual = sparsity.conv2d(grid, weight, bias, dilation)
    padding = dilation * (kernel_size // 2)
    full = F.conv2d(walk.full_map(leaves), weight, bias, padding=padding, dilation=dilation)
    assert_equal_with_gradients(actual, at_cells(full, grid), [*leaves, weight, bias])


# Where a gradient has jumps (ReLU, cell borders), float32 rounding alone could take the other side: float64 only.
@patient
@given(walk=walks())
def test_sfm_is_dense_sfm_at_active_cells(name: str, walk: Walk) -> None:
    generator = torch.Generator().manual_seed(walk.seed)
    leaves = walk.leaves(torch.float64)
    weight, bias = randn((3, 2, walk.num_features, 3, 3), generator), randn((3, 2), generator)
    grid = walk.replay(backend(name), leaves)
    with skip_unsupported():
        actual = sparsity.sfm(grid, weight, bias, (1, 3, 5))
    full = walk.full_map(leaves)
    branches = [F.conv2d(full, weight[i], bias[i], padding=d, dilation=d).relu() for i, d in enumerate((1, 3, 5))]
    expected = at_cells(branches[0] + branches[1] + branches[2], grid)
    assert_equal_with_gradients(actual, expected, [*leaves, weight, bias])


@patient
@given(walk=walks(), spread=st.sampled_from((0.3, 4.0)))
def test_sampling_off_the_cell_centers_is_grid_sample_of_the_full_map(name: str, walk: Walk, spread: float) -> None:
    leaves = walk.leaves(torch.float64)
    grid = walk.replay(backend(name), leaves)
    assume(grid.cells.shape[0] > 0)
    region, row, column = unravel(grid.cells, grid.size)
    noise = randn((len(grid.cells), 4, 2), torch.Generator().manual_seed(walk.seed)).detach() * spread
    points = (torch.stack((row, column), dim=-1)[:, None] + noise).requires_grad_()
    with skip_unsupported():
        actual = grid.sample(points)
    _, height, width = grid.size
    normalised = (points.flip(-1) + 0.5) / torch.tensor([width, height]) * 2 - 1
    maps = walk.full_map(leaves)[region]
    expected = F.grid_sample(maps, normalised[:, :, None], align_corners=False)[..., 0].permute(0, 2, 1)
    assert_equal_with_gradients(actual, expected, [*leaves, points])


@patient
@given(walk=walks(), offsets=st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=1, max_size=4))
def test_gathering_reads_the_full_map_and_zeros_outside(name: str, walk: Walk, offsets: list[tuple[int, int]]) -> None:
    leaves = walk.leaves(torch.float64)
    grid = walk.replay(backend(name), leaves)
    with skip_unsupported():
        actual = grid.gather(torch.tensor(offsets))
    padded = F.pad(walk.full_map(leaves), (40, 40, 40, 40)).permute(0, 2, 3, 1)
    region, row, column = unravel(grid.cells, grid.size)
    expected = torch.stack([padded[region, row + dy + 40, column + dx + 40] for dy, dx in offsets], dim=1)
    assert_equal_with_gradients(actual, expected, leaves)


@patient
@given(walk=walks())
def test_map_reaches_passive_features_but_not_the_outside(name: str, walk: Walk) -> None:
    generator = torch.Generator().manual_seed(walk.seed)
    leaves = walk.leaves(torch.float64)
    weight, bias = randn((2, walk.num_features), generator), randn((2,), generator)
    kernel = randn((3, 2, 3, 3), generator)
    grid = walk.replay(backend(name), leaves).map(lambda rows: F.linear(rows, weight, bias))
    with skip_unsupported():
        actual = sparsity.conv2d(grid, kernel, None)
    full = F.conv2d(F.conv2d(walk.full_map(leaves), weight[:, :, None, None], bias), kernel, padding=1)
    assert_equal_with_gradients(actual, at_cells(full, grid), [*leaves, weight, bias, kernel])


@patient
@given(walk=walks())
def test_with_active_replaces_active_features_only(name: str, walk: Walk) -> None:
    leaves = walk.leaves(torch.float64)
    grid = walk.replay(backend(name), leaves)
    before = grid.active.clone()
    replacement = randn(tuple(grid.active.shape), torch.Generator().manual_seed(walk.seed))
    replaced = grid.with_active(replacement)
    assert torch.equal(grid.active, before)
    assert_equal_with_gradients(replaced.active, replacement, [replacement])
    with skip_unsupported():
        region, row, column = unravel(grid.cells, grid.size)
        full = walk.full_map(leaves).permute(0, 2, 3, 1).index_put((region, row, column), replacement)
        assert_equal_with_gradients(replaced.to_dense(), full.permute(0, 3, 1, 2), [*leaves, replacement])


def test_with_active_guards_rows_and_the_feature_size_of_passive_cells(name: str) -> None:
    grid = backend(name).dense(torch.zeros(1, 4, 2, 2))
    assert grid.with_active(torch.ones(4, 3)).active.shape == (4, 3)
    with pytest.raises(ValueError, match="give one row per active cell"):
        grid.with_active(torch.ones(3, 4))
    partial = grid.subdivide(torch.tensor([1, 2]), torch.zeros(8, 4))
    with pytest.raises(ValueError, match="`map` first"):
        partial.with_active(torch.ones(8, 3))


@patient
@given(walk=walks())
def test_storage_counts_all_that_grows(name: str, walk: Walk) -> None:
    grid = walk.replay(backend(name), walk.leaves(torch.float64))
    single = walk.replay(backend(name), walk.leaves(torch.float32))
    storage = grid.storage()
    assert all(isinstance(size, int) and size >= 0 for size in storage.values())
    assert storage["features"] >= grid.active.nbytes
    assert storage["features"] == 2 * single.storage()["features"]
    assert storage["index"] == single.storage()["index"]


@pytest.mark.parametrize("regions", [0, 3])
@pytest.mark.parametrize("num_kept", [0, 5, 48])
def test_everything_runs_on_meta_tensors(name: str, num_kept: int, regions: int) -> None:
    num_kept = min(num_kept, 16 * regions)
    with torch.device("meta"):
        grid = backend(name).dense(torch.zeros(regions, 6, 4, 4))
        keep = torch.zeros(num_kept, dtype=torch.int32)
        grid = grid.subdivide(keep, torch.zeros(4 * num_kept, 6)).map(lambda rows: rows[:, :3])
        active = 4 * num_kept
        assert grid.size == (regions, 8, 8)
        assert grid.cells.shape == (active,)
        assert grid.with_active(torch.zeros(active, 3)).active.shape == (active, 3)
        assert sum(grid.storage().values()) >= 0
        with skip_unsupported():
            assert sparsity.conv2d(grid, torch.zeros(5, 3, 3, 3), torch.zeros(5), 3).shape == (active, 5)
            assert sparsity.sfm(grid, torch.zeros(2, 5, 3, 3, 3), torch.zeros(2, 5), (1, 3)).shape == (active, 5)
            displaced = sparsity.deform_conv2d(grid, torch.zeros(5, 3, 3, 3), None, torch.zeros(active, 9, 2))
            assert displaced.shape == (active, 5)
            assert grid.to_dense().shape == (regions, 3, 8, 8)
            assert grid.to_dense().is_meta
