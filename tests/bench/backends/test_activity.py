"""Made-up activity: the fractions of EffSeg, cells that cling together, and budgets at their limits."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.backends.activity import Activity, activity
from sparsity import backend, children_of, unravel


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def active_cells(made: Activity) -> list[Tensor]:
    """Flat numbers of the active cells of stages 1, 2, ..."""
    cells, side, found = torch.arange(made.regions * made.side**2, dtype=torch.int32), made.side, []
    for keep in made.keeps:
        cells = children_of(cells[keep], (made.regions, side, side))
        side *= 2
        found.append(cells)
    return found


def share_of_active_neighbors(made: Activity) -> list[float]:
    """Of the cells beside an active one, the share that is active, by stage."""
    shares = []
    for stage, cells in enumerate(active_cells(made), start=1):
        side = made.side * 2**stage
        places = [place.long() for place in unravel(cells, (made.regions, side, side))]
        full = torch.zeros(made.regions, 1, side, side).index_put(
            (places[0], torch.zeros_like(places[0]), *places[1:]), torch.ones(())
        )
        around = (9 * F.avg_pool2d(full, 3, stride=1, padding=1) - full) / 8
        shares.append(float(around[full > 0].mean()))
    return shares


def test_fractions_at_the_operating_point_of_effseg() -> None:
    made = activity(100, 10_000, seeded())
    assert [len(keep) for keep in made.keeps] == [10_000] * 3
    assert made.active_fractions == pytest.approx([0.510, 0.128, 0.032], abs=1e-3)


def test_objects_are_refined_along_their_outlines_and_scattered_cells_are_not() -> None:
    """Children cling together in both; an outline also has active cells beside the children."""
    blobs = share_of_active_neighbors(activity(100, 10_000, seeded()))
    scattered = share_of_active_neighbors(activity(100, 10_000, seeded(), kind="scattered"))
    assert all(ours > 1.15 * theirs for ours, theirs in zip(blobs, scattered, strict=True))


def test_neither_the_inside_nor_the_far_outside_of_an_object_is_refined() -> None:
    """Objects are around the middle: with a fifth of the cells, corners and centres are rarely among them."""
    made = activity(100, 100 * 14 * 14 // 5, seeded())
    _, row, column = unravel(active_cells(made)[0], (100, 28, 28))
    for place in (0, 13):
        assert int(((row == place) & (column == place)).sum()) < 30


@settings(deadline=None, max_examples=30)
@given(regions=st.integers(0, 4), budget=st.integers(0, 400), seed=st.integers(0, 99), stages=st.integers(1, 3))
def test_rows_are_ascending_and_as_many_as_the_budget_or_all(regions: int, budget: int, seed: int, stages: int) -> None:
    made = activity(regions, budget, seeded(seed), stages=stages, side=5)
    assert len(made.keeps) == stages
    num_active = regions * 25
    for keep in made.keeps:
        assert keep.dtype == torch.int64
        assert len(keep) == min(budget, num_active)
        assert bool((keep[1:] > keep[:-1]).all())
        assert not len(keep) or 0 <= int(keep[0]) <= int(keep[-1]) < num_active
        num_active = 4 * len(keep)
    assert all(0 <= fraction <= 1 for fraction in made.active_fractions)


@pytest.mark.parametrize("kind", ["objects", "scattered"])
def test_the_seed_decides_everything(kind: str) -> None:
    first, again, other = (activity(3, 60, seeded(seed), kind=kind) for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert all(torch.equal(*pair) for pair in zip(first.keeps, again.keeps, strict=True))
    assert not all(torch.equal(*pair) for pair in zip(first.keeps, other.keeps, strict=True))


def test_nothing_is_refined_without_a_budget_and_everything_with_too_large_a_one() -> None:
    assert activity(2, 0, seeded()).active_fractions == (0, 0, 0)
    assert activity(2, 10**6, seeded()).active_fractions == (1, 1, 1)
    assert activity(0, 5, seeded()).active_fractions == (0, 0, 0)
    # A grid takes both.
    for budget in (0, 10**6):
        made = activity(2, budget, seeded(), stages=1, side=4)
        grid = backend("sps").dense(torch.zeros(2, 1, 4, 4))
        grid = grid.subdivide(made.keeps[0], torch.zeros(4 * len(made.keeps[0]), 1))
        assert torch.equal(grid.cells, active_cells(made)[0])


@pytest.mark.parametrize(("regions", "budget"), [(-1, 5), (5, -1)])
def test_negative_numbers_are_refused(regions: int, budget: int) -> None:
    with pytest.raises(ValueError, match=r"expected neither to be negative; give numbers from 0"):
        activity(regions, budget, seeded())
