"""What every backend must do: tested for each module found in the folder."""

import itertools
from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import sparsity
from sparsity import Grid, Unsupported, backend, names, unravel
from tests.sparsity.walks import (
    TOLERANCE,
    Walk,
    assert_equal,
    assert_equal_with_gradients,
    patient,
    randn,
    walks,
)

pytestmark = pytest.mark.parametrize("name", names("sparsity"))
KERNELS = [(1, 1), (3, 1), (3, 3), (3, 5), (5, 1), (5, 2)]
DTYPES = st.sampled_from(list(TOLERANCE))


def overwritten(full: Tensor, grid: Grid, features: Tensor) -> Tensor:
    """A full map with new features at the active cells."""
    region, row, column = unravel(grid.cells, grid.size)
    return full.permute(0, 2, 3, 1).index_put((region, row, column), features).permute(0, 3, 1, 2)


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
    sparsity.check(grid)
    with suppress(Unsupported):
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


@pytest.mark.parametrize(("kernel_size", "dilation"), KERNELS)
@settings(parent=patient, max_examples=15)
@given(walk=walks(), dtype=DTYPES)
def test_convolution_is_dense_convolution_at_active_cells(
    name: str, walk: Walk, dtype: torch.dtype, kernel_size: int, dilation: int
) -> None:
    generator = torch.Generator().manual_seed(walk.seed)
    leaves = walk.leaves(dtype)
    weight = randn((3, walk.num_features, kernel_size, kernel_size), generator, dtype)
    bias = randn((3,), generator, dtype)
    grid = walk.replay(backend(name), leaves)
    padding = dilation * (kernel_size // 2)
    full = F.conv2d(walk.full_map(leaves), weight, bias, padding=padding, dilation=dilation)
    with suppress(Unsupported):
        actual = sparsity.conv2d(grid, weight, bias, dilation)
        assert_equal_with_gradients(actual, at_cells(full, grid), [*leaves, weight, bias])


# Where a gradient has jumps (ReLU, cell borders), float32 rounding alone could take the other side: float64 only.
@patient
@given(walk=walks())
def test_sfm_is_dense_sfm_at_active_cells(name: str, walk: Walk) -> None:
    generator = torch.Generator().manual_seed(walk.seed)
    leaves = walk.leaves(torch.float64)
    weight, bias = randn((3, 2, walk.num_features, 3, 3), generator), randn((3, 2), generator)
    grid = walk.replay(backend(name), leaves)
    full = walk.full_map(leaves)
    branches = [F.conv2d(full, weight[i], bias[i], padding=d, dilation=d).relu() for i, d in enumerate((1, 3, 5))]
    expected = at_cells(branches[0] + branches[1] + branches[2], grid)
    with suppress(Unsupported):
        actual = sparsity.sfm(grid, weight, bias, (1, 3, 5))
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
    _, height, width = grid.size
    normalised = (points.flip(-1) + 0.5) / torch.tensor([width, height]) * 2 - 1
    maps = walk.full_map(leaves)[region]
    expected = F.grid_sample(maps, normalised[:, :, None], align_corners=False)[..., 0].permute(0, 2, 1)
    with suppress(Unsupported):
        assert_equal_with_gradients(grid.sample(points), expected, [*leaves, points])


@pytest.mark.parametrize("furthest", [0, 1, 40])
@patient
@given(walk=walks(), data=st.data())
def test_gathering_reads_the_full_map_and_zeros_outside(
    name: str, walk: Walk, furthest: int, data: st.DataObject
) -> None:
    step = st.integers(-furthest, furthest)
    offsets = data.draw(st.lists(st.tuples(step, step), min_size=1, max_size=4))
    leaves = walk.leaves(torch.float64)
    grid = walk.replay(backend(name), leaves)
    padded = F.pad(walk.full_map(leaves), (40, 40, 40, 40)).permute(0, 2, 3, 1)
    region, row, column = unravel(grid.cells, grid.size)
    expected = torch.stack([padded[region, row + dy + 40, column + dx + 40] for dy, dx in offsets], dim=1)
    with suppress(Unsupported):
        assert_equal_with_gradients(grid.gather(torch.tensor(offsets)), expected, leaves)


@patient
@given(walk=walks())
def test_map_reaches_passive_features_but_not_the_outside(name: str, walk: Walk) -> None:
    generator = torch.Generator().manual_seed(walk.seed)
    leaves = walk.leaves(torch.float64)
    weight, bias = randn((2, walk.num_features), generator), randn((2,), generator)
    kernel = randn((3, 2, 3, 3), generator)
    grid = walk.replay(backend(name), leaves).map(lambda rows: F.linear(rows, weight, bias))
    mapped = F.conv2d(walk.full_map(leaves), weight[:, :, None, None], bias)
    assert_equal_with_gradients(grid.active, at_cells(mapped, grid), [*leaves, weight, bias])
    expected = at_cells(F.conv2d(mapped, kernel, padding=1), grid)
    with suppress(Unsupported):
        assert_equal_with_gradients(sparsity.conv2d(grid, kernel, None), expected, [*leaves, weight, bias, kernel])


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
    full = overwritten(walk.full_map(leaves), grid, replacement)
    with suppress(Unsupported):
        assert_equal_with_gradients(replaced.to_dense(), full, [*leaves, replacement])


@patient
@given(walk=walks(max_subdivisions=2))
def test_neighbours_see_an_update_at_once_and_after_the_next_subdivision(name: str, walk: Walk) -> None:
    generator = torch.Generator().manual_seed(walk.seed)
    leaves = walk.leaves(torch.float64)
    weight = randn((2, walk.num_features, 3, 3), generator)
    grid = walk.replay(backend(name), leaves)
    replacement = randn(tuple(grid.active.shape), generator)
    updated = grid.with_active(replacement)
    full = overwritten(walk.full_map(leaves), grid, replacement)
    keep = torch.arange(0, len(grid.cells), 2)
    children = randn((4 * len(keep), walk.num_features), generator)
    finer = updated.subdivide(keep, children)
    fine = overwritten(full.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), finer, children)
    sparsity.check(finer)
    with suppress(Unsupported):
        for view, shown in ((updated, full), (finer, fine)):
            expected = at_cells(F.conv2d(shown, weight, padding=1), view)
            actual = sparsity.conv2d(view, weight, None)
            assert_equal_with_gradients(actual, expected, [*leaves, replacement, children, weight])


@patient
@given(walk=walks())
def test_rows_to_keep_may_come_in_any_order(name: str, walk: Walk) -> None:
    generator = torch.Generator().manual_seed(walk.seed)
    grid = walk.replay(backend(name), walk.leaves(torch.float64))
    keep = torch.randperm(len(grid.cells), generator=generator)[: len(grid.cells) // 2]
    children = randn((4 * len(keep), walk.num_features), generator).detach()
    ascending, order = keep.sort()
    shuffled = grid.subdivide(keep, children)
    sorted_ = grid.subdivide(ascending, children.unflatten(0, (-1, 4))[order].flatten(0, 1))
    sparsity.check(shuffled)
    assert torch.equal(shuffled.cells.unflatten(0, (-1, 4))[order].flatten(), sorted_.cells)
    weight = randn((2, walk.num_features, 3, 3), generator).detach()
    with suppress(Unsupported):
        results = [sparsity.conv2d(view, weight, None) for view in (shuffled, sorted_)]
        assert_equal(results[0].unflatten(0, (-1, 4))[order].flatten(0, 1), results[1])
