"""The oracle of the certificates against sums written out by hand, and against torchvision."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torchvision.ops import deform_conv2d

import sparsity
from bench.backends.masked_dense import MaskedDense
from sparsity import Grid

REGIONS, HEIGHT, WIDTH, FEATURES = 2, 3, 4, 3


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def full(generator: torch.Generator) -> Tensor:
    return torch.randn(REGIONS, FEATURES, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)


def some_active(full: Tensor) -> MaskedDense:
    """Active: the first and last cell of both regions, and one in the middle, which is out of order."""
    cells = torch.tensor([0, 11, 12, 23, 17], dtype=torch.int32)
    return MaskedDense(full=full, cells=cells)


def value(full: Tensor, cell: int, down: int, right: int) -> Tensor:
    """Feature at an offset from a cell, zero outside its region, in plain Python."""
    region, position = divmod(cell, HEIGHT * WIDTH)
    row, column = position // WIDTH + down, position % WIDTH + right
    inside = 0 <= row < HEIGHT and 0 <= column < WIDTH
    return full[region, :, row, column] if inside else torch.zeros(FEATURES, dtype=full.dtype)


def test_it_is_a_grid(full: Tensor) -> None:
    grid = MaskedDense.dense(full)
    assert isinstance(grid, Grid)
    assert grid.size == (REGIONS, HEIGHT, WIDTH)
    assert grid.cells.tolist() == list(range(24))
    assert torch.equal(grid.active, torch.stack([value(full, cell, 0, 0) for cell in range(24)]))
    assert sum(grid.storage().values()) == full.nbytes + 24 * 4


@pytest.mark.parametrize(("side", "dilation"), [(1, 1), (3, 1), (3, 3), (5, 1)])
def test_convolution_is_the_sum_over_taps(full: Tensor, generator: torch.Generator, side: int, dilation: int) -> None:
    weight = torch.randn(2, FEATURES, side, side, generator=generator, dtype=torch.float64)
    bias = torch.randn(2, generator=generator, dtype=torch.float64)
    grid = some_active(full)
    expected = []
    for cell in grid.cells.tolist():
        total = bias.clone()
        for i, j in itertools.product(range(side), repeat=2):
            tap = value(full, cell, (i - side // 2) * dilation, (j - side // 2) * dilation)
            total += weight[:, :, i, j] @ tap
        expected.append(total)
    torch.testing.assert_close(sparsity.conv2d(grid, weight, bias, dilation), torch.stack(expected))


def test_gathering_reads_neighbours_and_zeros(full: Tensor) -> None:
    grid, offsets = some_active(full), torch.tensor([[0, 0], [-1, 2], [7, 0]])
    expected = [
        torch.stack([value(full, cell, down, right) for down, right in offsets.tolist()])
        for cell in grid.cells.tolist()
    ]
    assert torch.equal(grid.gather(offsets), torch.stack(expected))


def test_sampling_weighs_the_four_corners_of_its_own_region(full: Tensor) -> None:
    grid = some_active(full)
    points = torch.tensor([[0.25, 1.5], [-0.5, 3.25]], dtype=torch.float64).repeat(5, 1, 1)
    expected = []
    for cell in grid.cells.tolist():
        start = cell - cell % (HEIGHT * WIDTH)
        first = 0.75 * 0.5 * (value(full, start, 0, 1) + value(full, start, 0, 2))
        first += 0.25 * 0.5 * (value(full, start, 1, 1) + value(full, start, 1, 2))
        second = 0.5 * 0.75 * value(full, start, 0, 3)
        expected.append(torch.stack([first, second]))
    torch.testing.assert_close(grid.sample(points), torch.stack(expected))


def test_deformable_convolution_is_torchvisions(full: Tensor, generator: torch.Generator) -> None:
    weight = torch.randn(2, FEATURES, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(2, generator=generator, dtype=torch.float64)
    shifts = torch.randn(REGIONS, 18, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)
    expected = deform_conv2d(full, shifts, weight, bias, padding=1).permute(0, 2, 3, 1).flatten(0, 2)
    grid = MaskedDense.dense(full)
    displacement = shifts.permute(0, 2, 3, 1).reshape(-1, 9, 2) + sparsity.window(3, 1, torch.device("cpu"))
    torch.testing.assert_close(sparsity.deform_conv2d(grid, weight, bias, displacement), expected)


def test_depthwise_convolution_is_torchs_in_groups(full: Tensor, generator: torch.Generator) -> None:
    weight = torch.randn(2, 3, 3, FEATURES, generator=generator, dtype=torch.float64)
    bias = torch.randn(FEATURES, generator=generator, dtype=torch.float64)
    expected = bias[:, None, None]
    for kernel, dilation in zip(weight.permute(0, 3, 1, 2)[:, :, None], (1, 2), strict=True):
        expected = expected + conv2d(full, kernel, padding=dilation, dilation=dilation, groups=FEATURES)
    actual = sparsity.depthwise(MaskedDense.dense(full), weight, bias, (1, 2))
    torch.testing.assert_close(actual, expected.permute(0, 2, 3, 1).flatten(0, 2))


def test_the_branches_of_the_sfm_are_rectified_one_by_one(full: Tensor, generator: torch.Generator) -> None:
    weight = torch.randn(2, 2, FEATURES, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(2, 2, generator=generator, dtype=torch.float64)
    grid = some_active(full)
    branches = [sparsity.conv2d(grid, weight[i], bias[i], dilation).clamp(min=0) for i, dilation in enumerate((1, 3))]
    torch.testing.assert_close(sparsity.sfm(grid, weight, bias, (1, 3)), branches[0] + branches[1])


def test_subdividing_repeats_every_cell_and_writes_the_children(full: Tensor) -> None:
    children = torch.arange(8 * FEATURES, dtype=torch.float64).view(8, FEATURES) + 100
    grid = some_active(full).subdivide(torch.tensor([1, 2]), children)
    assert grid.size == (REGIONS, 2 * HEIGHT, 2 * WIDTH)
    places = [(0, 4, 6), (0, 4, 7), (0, 5, 6), (0, 5, 7), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)]
    assert grid.cells.tolist() == [(region * 6 + row) * 8 + column for region, row, column in places]
    for region, row, column in itertools.product(range(REGIONS), range(2 * HEIGHT), range(2 * WIDTH)):
        is_child = (region, row, column) in places
        expected = children[places.index((region, row, column))] if is_child else full[region, :, row // 2, column // 2]
        assert torch.equal(grid.to_dense()[region, :, row, column], expected)


def test_overwriting_and_mapping_leave_the_old_grid_alone(full: Tensor) -> None:
    grid, before = some_active(full), full.clone()
    written = grid.with_active(torch.ones(5, FEATURES, dtype=torch.float64))
    assert torch.equal(full, before)
    assert written.active.unique().tolist() == [1]
    assert (written.to_dense() != full).any(1).sum() == 5
    assert torch.equal(grid.map(lambda rows: rows[:, :1]).to_dense(), full[:, :1])
    with pytest.raises(AssertionError, match="another size"):
        grid.with_active(torch.ones(5, 1, dtype=torch.float64))
    assert MaskedDense.dense(full).with_active(torch.ones(24, 1, dtype=torch.float64)).size == grid.size
