"""The validator names what is wrong with a grid.

That it accepts what the protocol makes is in `tests/whole/test_contract_of_backends.py`.
"""

from collections.abc import Callable
from dataclasses import replace

import jaxtyping
import pytest
import torch
from torch import Tensor

import sparsity
from sparsity import backend, check, names, neighbors, sps


def grid(name: str) -> sparsity.Grid:
    """Kept are cells 0 and 5 of 2 regions of 2x2."""
    features = torch.arange(1.0, 9).reshape(2, 1, 2, 2)
    return backend(name).dense(features).subdivide(torch.tensor([0, 5]), torch.arange(10.0, 18)[:, None])


@pytest.mark.parametrize("name", names("sparsity"))
def test_a_row_kept_twice_is_found(name: str) -> None:
    made = backend(name).dense(torch.zeros(1, 1, 2, 2)).subdivide(torch.tensor([1, 1]), torch.zeros(8, 1))
    with pytest.raises(ValueError, match=r"a cell is active twice.*was a row kept twice"):
        check(made)


@pytest.mark.parametrize("name", names("sparsity"))
@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ([0, 1, 4, 5, 32, 33, 34, 35], "outside the 2 regions of 4 x 4"),
        ([-1, 1, 4, 5, 18, 19, 22, 23], "outside the 2 regions of 4 x 4"),
        ([0, 1, 5, 4, 18, 19, 22, 23], "neither ascending nor in 2x2 blocks"),
        ([1, 2, 5, 6, 0, 3, 4, 7], "neither ascending nor in 2x2 blocks"),
    ],
)
def test_cells_that_cannot_be_are_found(
    name: str, cells: list[int], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Run-time types read `active`, which a full map cannot find outside.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    made = replace(grid(name), cells=torch.tensor(cells, dtype=torch.int32))  # type: ignore[type-var]
    with pytest.raises(ValueError, match=fault):
        check(made)


@pytest.mark.parametrize("name", names("sparsity"))
@pytest.mark.parametrize("change", [lambda rows: rows[1:], lambda rows: torch.cat((rows, rows))], ids=["less", "more"])
def test_a_map_that_changed_the_number_of_rows_is_found(
    name: str, change: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="or the number of rows changed in `map`"):
        check(grid(name).map(change))


@pytest.mark.parametrize("backend", [sps.Backend, neighbors.Backend])
def test_cells_of_the_wrong_region_contradict_the_index(backend: type) -> None:
    made = grid(backend.__module__.removeprefix("sparsity."))
    # Kept is cell 0 of the second region instead of the first.
    moved = replace(made, cells=made.cells + torch.tensor([16, 0]).repeat_interleave(4).int())  # type: ignore[type-var]
    with pytest.raises(ValueError, match=r"does not show its active feature|not those of"):
        check(moved)


@pytest.mark.parametrize(
    ("cell", "row", "fault"),
    [
        (0, -1, "outside the buffer of 15 rows"),
        (0, 15, "outside the buffer of 15 rows"),
        (0, 8, "does not show its active feature"),
        (2, 7, "a passive cell shows an active feature"),
        (2, 0, "a cell shows the zero row"),
    ],
)
def test_a_wrong_index_map_is_found(cell: int, row: int, fault: str) -> None:
    made = grid("sps")
    assert isinstance(made, sps.Backend)
    rows = made.rows.flatten().index_put((torch.tensor([cell]),), torch.tensor(row, dtype=torch.int32))
    with pytest.raises(ValueError, match=fault):
        check(replace(made, rows=rows.view_as(made.rows)))


@pytest.mark.parametrize(
    ("cell", "neighbor", "row", "fault"),
    [
        (0, 0, 99, "outside the buffer"),
        (0, 0, 1, "ids of cells outside the lattice"),
        (3, 8, 0, "ids of cells outside the lattice"),
        (0, 4, 1, "ids of active cells are not those of their own rows"),
        (0, 5, 1, "ids of active cells are not those of their own rows"),  # a stale copy
        (3, 8, 11, "ids of passive cells are those of active rows"),
    ],
)
def test_wrong_ids_of_neighbors_are_found(cell: int, neighbor: int, row: int, fault: str) -> None:
    made = grid("neighbors")
    assert isinstance(made, neighbors.Backend)
    ids = made.ids.clone()
    ids[cell, neighbor] = row
    with pytest.raises(ValueError, match=fault):
        check(replace(made, ids=ids))


@pytest.mark.parametrize("name", ["neighbors", "sps"])
def test_a_zero_row_with_something_in_it_is_found(name: str) -> None:
    made = grid(name)
    assert isinstance(made, sps.Backend | neighbors.Backend)
    with pytest.raises(ValueError, match="the zero row is not zero"):
        check(replace(made, buffer=made.buffer + 1))
