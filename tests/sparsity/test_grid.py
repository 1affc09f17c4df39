"""What every backend refuses, in words, and what it takes: shapes, dtypes and layouts of features and rows."""

import jaxtyping
import pytest
import torch
from torch import Tensor

import sparsity
from sparsity import Grid, backend, names

pytestmark = pytest.mark.parametrize("name", names("sparsity"))


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without run-time types, which would answer first."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def partial(name: str) -> Grid:
    """Eight active cells among 16, features of size 4."""
    return backend(name).dense(torch.zeros(1, 4, 2, 2)).subdivide(torch.tensor([1, 2]), torch.zeros(8, 4))


@pytest.mark.parametrize(
    "features",
    [torch.zeros(4, 3, 3), torch.zeros(3), torch.zeros(1, 1, 4, 3, 3), torch.zeros(1, 4, 3, 3, dtype=torch.int32)],
)
def test_what_is_no_full_map_is_refused(name: str, features: Tensor) -> None:
    with pytest.raises(ValueError, match=r"a full map is floating point and \[R F H W\]; add a dimension"):
        backend(name).dense(features)


@pytest.mark.parametrize(
    ("active", "message"),
    [
        (torch.ones(7, 4), "give one row per active cell"),
        (torch.ones(8, 3), "`map` first"),
        (torch.ones(8, 4, dtype=torch.float64), "convert all features with `map`"),
    ],
)
def test_active_features_that_do_not_fit_are_refused(name: str, active: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partial(name).with_active(active)


def test_where_all_cells_are_active_size_and_dtype_may_change(name: str) -> None:
    grid = backend(name).dense(torch.zeros(1, 4, 2, 2)).with_active(torch.ones(4, 3, dtype=torch.float64))
    assert grid.active.dtype == torch.float64
    assert torch.equal(grid.map(lambda rows: 2 * rows).active, torch.full((4, 3), 2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("keep", "children", "message"),
    [
        (torch.tensor([True] + 7 * [False]), torch.zeros(4, 4), r"mask\.nonzero"),
        (torch.tensor([0.0, 1.0]), torch.zeros(8, 4), "expected row numbers"),
        (torch.arange(9), torch.zeros(36, 4), "keep 9 of 8 active rows"),
        (torch.tensor([0, 1]), torch.zeros(7, 4), "four children per kept row"),
        (torch.tensor([0, 1]), torch.zeros(8, 3), r"expected \(8, 4\)"),
        (torch.tensor([0, 1]), torch.zeros(8, 4, dtype=torch.float16), "torch.float32 as in the grid"),
    ],
)
def test_subdivisions_that_do_not_fit_are_refused(name: str, keep: Tensor, children: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partial(name).subdivide(keep, children)


@pytest.mark.parametrize("row", [-1, 8])
def test_on_the_cpu_a_row_out_of_range_is_an_error_at_once(name: str, row: int) -> None:
    with pytest.raises(IndexError):
        partial(name).subdivide(torch.tensor([0, row]), torch.zeros(8, 4))


def test_a_lattice_beyond_int32_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="process fewer regions at a time"):
        backend(name).dense(torch.zeros(3, 1, 2**15, 2**15, device="meta"))
    grid = backend(name).dense(torch.zeros(1, 1, 2**15, 2**15, device="meta"))
    with pytest.raises(ValueError, match="process fewer regions at a time"):
        grid.subdivide(torch.zeros(1, dtype=torch.int64, device="meta"), torch.zeros(4, 1, device="meta"))


def test_weights_for_other_features_are_refused(name: str) -> None:
    grid = partial(name)
    for size in (1, 3):
        with pytest.raises((ValueError, sparsity.Unsupported), match=r"build the layer|use .* sps"):
            sparsity.conv2d(grid, torch.zeros(5, 3, size, size), None)


@pytest.mark.parametrize("kept", [torch.int32, torch.int64])
def test_rows_may_be_numbered_in_either_integer_type(name: str, kept: torch.dtype) -> None:
    grid = backend(name).dense(torch.zeros(1, 1, 2, 2)).subdivide(torch.tensor([3], dtype=kept), torch.ones(4, 1))
    assert grid.cells.tolist() == [10, 11, 14, 15]
    assert grid.cells.dtype == torch.int32
    sparsity.check(grid)


def test_features_need_not_be_contiguous(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4, 4, 3, 2, generator=generator)
    children = torch.randn(3, 8, generator=generator)
    replacement = torch.randn(3, 8, generator=generator)
    weight = torch.randn(3, 3, 1, 1, generator=generator)
    results = []
    for copy in (False, True):
        strided = [features.permute(2, 1, 0, 3)[:, :3], children.T, replacement.T, weight.permute(1, 0, 2, 3)]
        start, split, update, kernel = (part.contiguous() if copy else part for part in strided)
        assert copy == all(part.is_contiguous() for part in (start, split, update))
        grid = backend(name).dense(start).subdivide(torch.arange(10)[::5], split).with_active(update)
        results.append(sparsity.conv2d(grid.map(lambda rows: rows.T.contiguous().T), kernel, None))
    torch.testing.assert_close(*results)  # how rows lie in memory may choose another product, which rounds otherwise


def test_no_regions_are_an_empty_grid(name: str) -> None:
    grid = backend(name).dense(torch.zeros(0, 4, 3, 3)).subdivide(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))
    sparsity.check(grid)
    assert grid.size == (0, 6, 6)
    assert grid.with_active(torch.zeros(0, 2)).active.shape == (0, 2)
    assert sparsity.conv2d(grid, torch.zeros(5, 4, 1, 1), torch.zeros(5)).shape == (0, 5)
