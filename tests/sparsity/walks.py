"""Random histories of a grid, drawn by hypothesis and replayed on any backend.

A walk is one dense start and some subdivisions. It says which share of the active cells is kept each time and whether
a whole region is given up; every number in it comes from the walk's own generator, so two backends get the same ones.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from sparsity import Grid, GridType, Unsupported

# A busy machine is not a failure.
patient = settings(deadline=None, max_examples=20)

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass(frozen=True, kw_only=True)
class Walk:
    seed: int
    regions: int
    height: int
    width: int
    num_features: int
    kept_shares: tuple[float, ...]
    gives_up_region: bool

    def keeps(self) -> Iterator[tuple[Tensor, list[tuple[int, int, int]]]]:
        """Per subdivision the kept rows and the (region, row, column) of their children, in plain Python."""
        generator = torch.Generator().manual_seed(self.seed)
        cells = list(itertools.product(range(self.regions), range(self.height), range(self.width)))
        for share in self.kept_shares:
            candidates = [row for row, (region, _, _) in enumerate(cells) if region or not self.gives_up_region]
            chosen = torch.randperm(len(candidates), generator=generator)[: round(share * len(candidates))]
            keep = sorted(candidates[i] for i in chosen.tolist())
            parents = [cells[row] for row in keep]
            cells = [(r, 2 * y + dy, 2 * x + dx) for r, y, x in parents for dy in (0, 1) for dx in (0, 1)]
            yield torch.tensor(keep, dtype=torch.int32), cells

    def leaves(self, dtype: torch.dtype) -> list[Tensor]:
        """The features of the start and the children of every subdivision, as leaves of autograd."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        shapes = [(self.regions, self.num_features, self.height, self.width)]
        shapes += [(4 * len(keep), self.num_features) for keep, _ in self.keeps()]
        return [randn(shape, generator, dtype) for shape in shapes]

    def replay(self, backend: GridType, leaves: Sequence[Tensor]) -> Grid:
        """The grid at the end of the walk."""
        grid: Grid = backend.dense(leaves[0])
        for (keep, _), children in zip(self.keeps(), leaves[1:], strict=True):
            grid = grid.subdivide(keep, children)
        return grid

    def full_map(self, leaves: Sequence[Tensor]) -> Tensor:
        """What the grid must show at the end: nearest upsampling and overwriting, with no grid involved."""
        full = leaves[0]
        for (_, cells), children in zip(self.keeps(), leaves[1:], strict=True):
            full = full.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            region, row, column = torch.tensor(cells, dtype=torch.int64).reshape(-1, 3).unbind(-1)
            full = full.permute(0, 2, 3, 1).index_put((region, row, column), children).permute(0, 3, 1, 2)
        return full


def walks(max_subdivisions: int = 3) -> st.SearchStrategy[Walk]:
    """Small lattices, including none at all, with nothing, some or everything kept."""
    return st.builds(
        Walk,
        seed=st.integers(0, 2**31),
        regions=st.integers(0, 3),
        height=st.integers(1, 4),
        width=st.integers(1, 4),
        num_features=st.integers(1, 4),
        kept_shares=st.lists(st.sampled_from((0.0, 0.3, 0.7, 1.0)), max_size=max_subdivisions).map(tuple),
        gives_up_region=st.booleans(),
    )


def randn(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    """A random leaf, drawn in float64 so that all dtypes get the same numbers."""
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def assert_equal(actual: Tensor, expected: Tensor, what: str = "output") -> None:
    """`max|a - b| / max|b|` must be rounding only."""
    assert actual.shape == expected.shape, what
    assert actual.dtype == expected.dtype, what
    if expected.numel():
        error = (actual - expected).detach().abs().max()
        assert bool(error <= TOLERANCE[expected.dtype] * expected.detach().abs().max()), what


def assert_equal_with_gradients(actual: Tensor, expected: Tensor, leaves: Sequence[Tensor]) -> None:
    """Same values, and the same gradient of a random projection in every leaf (an unused leaf has a zero gradient)."""
    assert_equal(actual, expected)
    projection = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=expected.dtype)
    # The outputs may share a graph, and may be checked more than once.
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    gradients = [torch.autograd.grad((output * projection).sum(), leaves, **options) for output in (actual, expected)]
    for number, pair in enumerate(zip(*gradients, strict=True)):
        assert_equal(*pair, what=f"gradient of leaf {number}")


@contextmanager
def skip_unsupported() -> Iterator[None]:
    """A backend may say that it cannot do something; what it does must be right.

    Not for property tests, where a skip would end the search at the first example: these `suppress(Unsupported)`.
    """
    try:
        yield
    except Unsupported as reason:
        pytest.skip(str(reason))
