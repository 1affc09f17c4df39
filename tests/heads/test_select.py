"""Budgets: scopes, counts, ties, and that images do not share."""

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heads._select import Budget, top_cells, top_per_region

SCORES = torch.tensor([0.1, 0.9, 0.8, 0.2, 0.7, 0.6, 0.5, 0.3])


@pytest.mark.parametrize(
    ("budget", "keep", "counts"),
    [
        (Budget(None), [0, 1, 2, 3, 4, 5, 6, 7], (6, 2)),
        (Budget(3, "image"), [1, 2, 4, 6, 7], (3, 2)),
        (Budget(1, "region_pool"), [1, 2, 4, 6], (3, 1)),
        (Budget(1, "per_region"), [1, 2, 4, 6], (3, 1)),
        (Budget(100, "image"), [0, 1, 2, 3, 4, 5, 6, 7], (6, 2)),
    ],
)
def test_scopes(budget: Budget, keep: list[int], counts: tuple[int, ...]) -> None:
    rows, kept = top_cells(SCORES, (6, 2), (3, 1), budget)
    assert rows.tolist() == keep
    assert kept == counts
    assert rows.dtype == torch.int64


def test_a_pool_is_spent_where_it_is_worth_most() -> None:
    scores = torch.tensor([0.1, 0.2, 0.9, 0.8])
    assert top_cells(scores, (4,), (2,), Budget(1, "region_pool"))[0].tolist() == [2, 3]
    assert top_cells(scores, (4,), (2,), Budget(1, "per_region"))[0].tolist() == [1, 2]


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(0, 5).map(lambda regions: 4 * regions), min_size=1, max_size=4),
    cells=st.integers(1, 30),
    scope=st.sampled_from(["image", "region_pool", "per_region"]),
    seed=st.integers(0, 1000),
)
def test_an_image_in_a_batch_is_an_image_alone(counts: list[int], cells: int, scope: str, seed: int) -> None:
    # Few different scores, so that most of them are tied.
    scores = torch.randint(0, 3, (sum(counts),), generator=torch.Generator().manual_seed(seed)).float()
    budget = Budget(cells, scope)  # type: ignore[arg-type]
    regions = [count // 4 for count in counts]
    keep, kept = top_cells(scores, counts, regions, budget)
    assert keep.tolist() == sorted(set(keep.tolist()))
    assert len(keep) == sum(kept)
    start, alone = 0, []
    for count, number in zip(counts, regions, strict=True):
        part, _ = top_cells(scores[start : start + count], [count], [number], budget)
        alone += (part + start).tolist()
        start += count
    assert keep.tolist() == alone
    dropped = scores[[row for row in range(len(scores)) if row not in set(keep.tolist())]]
    if len(counts) == 1 and scope == "image" and len(dropped) and len(keep):
        assert dropped.max() <= scores[keep].min()


def test_best_cells_of_each_region() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 5.0]])
    assert top_per_region(scores, 1).tolist() == [[0], [5]]
    assert top_per_region(scores, 9).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("scope", ["image", "region_pool", "per_region"])
@pytest.mark.parametrize("cells", [8, 9, 10**9])
def test_a_budget_beyond_the_cells_refines_all(
    scope: Literal["image", "region_pool", "per_region"], cells: int
) -> None:
    rows, kept = top_cells(SCORES, (6, 2), (3, 1), Budget(cells, scope))
    assert rows.tolist() == list(range(8))
    assert kept == (6, 2)


@pytest.mark.parametrize("cells", [0, -1])
def test_a_budget_of_nothing_is_refused(cells: int) -> None:
    with pytest.raises(ValueError, match="refines nothing"):
        Budget(cells)
