"""A stage of refinement needs no values: it runs on meta and fake tensors, and on a GPU without waiting for it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import sparsity
from sparsity import Grid, Unsupported, backend, names

WAITS = {"neighbors": "drops the features that nobody touches any more, and how many these are depends on values"}
"""Backends whose subdivision waits for the device, and why."""

name_case = pytest.mark.parametrize("name", names("sparsity"))


def subdivide(grid: Grid, num_kept: int) -> Grid:
    keep = torch.arange(num_kept, device=grid.cells.device)
    return grid.subdivide(keep, grid.active.new_zeros(4 * num_kept, grid.active.shape[1]))


def refine(grid: Grid) -> None:
    """What a head does after subdividing: halve, overwrite, and every operation."""
    grid = grid.map(lambda rows: rows[:, :3])
    device, num_active = grid.cells.device, grid.cells.shape[0]
    assert grid.with_active(grid.active + 1).active.shape == (num_active, 3)
    weight, bias = torch.zeros(2, 5, 3, 3, 3, device=device), torch.zeros(2, 5, device=device)
    regions, height, width = grid.size
    actions = [
        (lambda: sparsity.conv2d(grid, weight[0, :, :, :1, :1], bias[0]), (num_active, 5)),
        (lambda: sparsity.conv2d(grid, weight[0], bias[0]), (num_active, 5)),
        (lambda: sparsity.conv2d(grid, weight[0], bias[0], 3), (num_active, 5)),
        (lambda: sparsity.sfm(grid, weight, bias, (1, 3)), (num_active, 5)),
        (
            lambda: sparsity.deform_conv2d(grid, weight[0], None, torch.zeros(num_active, 9, 2, device=device)),
            (num_active, 5),
        ),
        (lambda: sparsity.depthwise(grid, torch.zeros(1, 3, 3, 3, device=device), None, (1,)), (num_active, 3)),
        (
            lambda: sparsity.depthwise(grid, torch.zeros(2, 3, 3, 3, device=device), bias[0, :3], (1, 3)),
            (num_active, 3),
        ),
        (grid.to_dense, (regions, 3, height, width)),
    ]
    for action, shape in actions:
        try:
            result = action()
        except Unsupported:
            continue
        assert result.shape == shape
        assert result.device.type == device.type


@name_case
@pytest.mark.parametrize("regions", [0, 3])
@pytest.mark.parametrize("num_kept", [0, 5, 48])
def test_a_stage_runs_on_meta_tensors(name: str, num_kept: int, regions: int) -> None:
    num_kept = min(num_kept, 16 * regions)
    grid = subdivide(backend(name).dense(torch.zeros(regions, 6, 4, 4, device="meta")), num_kept)
    assert grid.size == (regions, 8, 8)
    assert grid.cells.shape == (4 * num_kept,)
    # Nothing is held twice: at most a full map, nine ids per active cell and a zero row.
    assert 4 * num_kept * (6 * 4 + 4) <= sum(grid.storage().values()) <= regions * 64 * (6 * 4 + 40) + 6 * 4
    refine(grid)
    refine(subdivide(grid, num_kept))


@name_case
def test_a_stage_runs_on_fake_tensors(name: str) -> None:
    if name in WAITS:
        pytest.skip(f"{name} {WAITS[name]}")
    with FakeTensorMode():
        refine(subdivide(backend(name).dense(torch.zeros(3, 6, 4, 4)), 5))


@contextmanager
def no_waiting() -> Iterator[None]:
    """Make every wait for the GPU an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the mode a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@name_case
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; without one the meta device stands in")
def test_a_stage_does_not_wait_for_the_gpu(name: str) -> None:
    grid = backend(name).dense(torch.zeros(3, 6, 4, 4, device="cuda"))
    if name in WAITS:
        grid = subdivide(grid, 5)
        with no_waiting():
            refine(grid)
    else:
        with no_waiting():
            refine(subdivide(grid, 5))
