"""Stored bytes: the closed formula of every backend, and Table 2's storage at EffSeg's operating point in megabytes.

e bytes per number, A active cells and P passive features on R lattices of H x W: `sps` (A + P) F e + 4 R H W + 4 A;
`dense` and `sparse_on_dense` R H W F e + 4 A; `pointwise` A F e + 4 A; `neighbors` (A + P) F e + 40 A with P counting
only the passive features next to an active cell, or 9 A F e as the paper's words have it. The buffers of `sps` and
`neighbors` have a zero row on top.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.backends.activity import Activity, activity, grids
from sparsity import Grid, backend, names, neighbors, sps
from tests.sparsity.walks import TOLERANCE, Walk, patient, walks

EFFSEG_FEATURES = (256, 128, 64, 32)


def held_bytes(grid: Grid) -> int:
    """Bytes of all memory behind the tensors of a grid, whole buffers where it holds a view."""
    memory = [value.untyped_storage() for value in vars(grid).values() if isinstance(value, Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in memory}.values())


def num_passive_features(walk: Walk, *, next_to_active: bool = False) -> int:
    """Count the features that passive cells show, all or those of the 8 neighbours of active cells, without a grid."""
    leaves = walk.leaves(torch.float32)
    numbers = torch.arange(sum(leaf.numel() // leaf.shape[1] for leaf in leaves)) + 1.0
    parts = numbers.split([leaf.numel() // leaf.shape[1] for leaf in leaves])
    start = parts[0].view(walk.regions, 1, walk.height, walk.width)
    shown = walk.full_map([start, *(part[:, None] for part in parts[1:])])
    is_active = torch.isin(shown, parts[-1])
    if next_to_active and shown.numel():
        around = F.max_pool2d(is_active.float(), 3, stride=1, padding=1) > 0
        shown, is_active = shown[around], is_active[around]
    return int(shown[~is_active].unique().numel())


@pytest.mark.parametrize("name", names("sparsity"))
@patient
@given(walk=walks(), dtype=st.sampled_from(list(TOLERANCE)))
def test_parts_add_up_to_all_that_is_held(name: str, walk: Walk, dtype: torch.dtype) -> None:
    grid = walk.replay(backend(name), walk.leaves(dtype))
    storage = grid.storage()
    assert set(storage) <= {"features", "index", "copies", "padding"}
    assert all(isinstance(size, int) and size >= 0 for size in storage.values())
    assert sum(storage.values()) == held_bytes(grid)
    assert storage["features"] >= grid.active.nbytes


FORMULAS: dict[str, Callable[[Walk, int, int, int], dict[str, int]]] = {
    "dense": lambda walk, cells, active, row: {"features": cells * row, "index": 4 * active},
    "sparse_on_dense": lambda walk, cells, active, row: {"features": cells * row, "index": 4 * active},
    "pointwise": lambda walk, cells, active, row: {"features": active * row, "index": 4 * active},
    "neighbors": lambda walk, cells, active, row: {
        "features": (active + num_passive_features(walk, next_to_active=True)) * row,
        "padding": row,
        "index": 40 * active,
    },
    "sps": lambda walk, cells, active, row: {
        "features": (active + num_passive_features(walk)) * row,
        "padding": row,
        "index": 4 * cells + 4 * active,
    },
}


@pytest.mark.parametrize("name", FORMULAS)
@patient
@given(walk=walks(), dtype=st.sampled_from(list(TOLERANCE)))
def test_measured_bytes_are_the_closed_formula(name: str, walk: Walk, dtype: torch.dtype) -> None:
    grid = walk.replay(backend(name), walk.leaves(dtype))
    regions, height, width = grid.size
    cells, active = regions * height * width, len(grid.cells)
    assert grid.storage() == FORMULAS[name](walk, cells, active, walk.num_features * dtype.itemsize)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_literally_nine_rows_per_active_cell(dtype: torch.dtype) -> None:
    grid = neighbors.Backend.dense(torch.zeros(2, 6, 4, 4, dtype=dtype))
    assert grid.copied_bytes == 9 * 32 * 6 * dtype.itemsize


@pytest.fixture(scope="module")
def effseg_activity() -> Activity:
    """100 regions, 10,000 cells refined at every stage."""
    return activity(100, 10_000, torch.Generator().manual_seed(0))


def megabytes(name: str, activity: Activity) -> list[float]:
    """Stored at stages 1, 2 and 3, float32, in 10^6 bytes."""
    made = grids(backend(name), activity, EFFSEG_FEATURES, torch.Generator().manual_seed(1))
    return [sum(grid.storage().values()) / 1e6 for grid in made[1:]]


# 0.16 MB of each are the numbers of the 40,000 active cells.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dense", [40.30, 80.44, 160.72]),
        ("sparse_on_dense", [40.30, 80.44, 160.72]),
        ("pointwise", [20.64, 10.40, 5.28]),
        ("sps", [25.87, 21.79, 19.21]),
    ],
)
def test_megabytes_of_effseg(name: str, expected: list[float], effseg_activity: Activity) -> None:
    assert megabytes(name, effseg_activity) == pytest.approx(expected, abs=0.006)


def test_sps_stays_below_its_limits_and_neighbors_copied_above_dense(effseg_activity: Activity) -> None:
    for stored, limit in zip(megabytes("sps", effseg_activity), (26, 22, 19.3), strict=True):
        assert stored <= limit
    made = grids(neighbors.Backend, effseg_activity, EFFSEG_FEATURES, torch.Generator().manual_seed(1))
    literal = [grid.copied_bytes / 1e6 for grid in made[1:] if isinstance(grid, neighbors.Backend)]
    assert literal == pytest.approx([184.32, 92.16, 46.08])
    dense = megabytes("dense", effseg_activity)
    assert literal[0] > dense[0]
    assert literal[1] > dense[1]


def test_neighbors_store_no_more_features_than_sps(effseg_activity: Activity) -> None:
    pairs = [grids(made, effseg_activity, (8, 4, 2, 1), torch.Generator()) for made in (neighbors.Backend, sps.Backend)]
    for few, all_ in zip(*pairs, strict=True):
        assert few.active.nbytes <= few.storage()["features"] <= all_.storage()["features"]
    assert pairs[0][-1].storage()["features"] < pairs[1][-1].storage()["features"]
