"""Is a grid in order? For grids made by hand, new backends and certificates: it looks at values, which takes a wait."""

from typing import Protocol, runtime_checkable

import torch

from sparsity._grid import Grid
from sparsity._lattice import children_of, unravel


@runtime_checkable
class OwnFaults(Protocol):
    """A backend that has an index of its own, which may be wrong."""

    def faults(self) -> list[str]:
        """Say what is wrong with it, in words; nothing if it is in order. `cells` are in order when it is asked."""
        ...


def check(grid: Grid) -> None:
    """Raise ValueError with all that is wrong with a grid: its cells, then the backend's own index.

    Cells must lie in the lattice, none twice, and be ascending or in 2x2 blocks as `subdivide` makes them. Waits for
    the device, so it has no place inside a stage.
    """
    faults = _cell_faults(grid)
    if not faults and isinstance(grid, OwnFaults):
        faults = grid.faults()
    # Last, because a full map that is too small has no active features to give.
    if not faults and grid.active.shape[0] != grid.cells.shape[0]:
        faults = [f"{grid.active.shape[0]} active features for {grid.cells.shape[0]} cells"]
    if faults:
        raise ValueError(
            f"This is not a grid: {'; '.join(faults)}. Expected what `dense` and `subdivide` make; "
            "check: was a row kept twice, a cell number taken from another lattice, or the number of rows changed in "
            "`map`?"
        )


def _cell_faults(grid: Grid) -> list[str]:
    """Say what is wrong with the active cells."""
    cells, (regions, height, width) = grid.cells, grid.size
    if cells.dtype != torch.int32:
        return [f"cells are {cells.dtype}, not int32"]
    if bool(((cells < 0) | (cells >= regions * height * width)).any()):
        return [f"cells lie outside the {regions} regions of {height} x {width}"]
    faults = []
    if cells.unique().shape[0] < cells.shape[0]:
        faults.append("a cell is active twice")
    if not (bool((cells[1:] > cells[:-1]).all()) or _are_blocks(grid)):
        faults.append("cells are neither ascending nor in 2x2 blocks")
    return faults


def _are_blocks(grid: Grid) -> bool:
    """Whether the cells are the children, in order, of cells of the coarser lattice."""
    regions, height, width = grid.size
    if grid.cells.shape[0] % 4 or height % 2 or width % 2:
        return False
    region, row, column = unravel(grid.cells[::4], grid.size)
    parents = (region * (height // 2) + row // 2) * (width // 2) + column // 2
    return torch.equal(children_of(parents, (regions, height // 2, width // 2)), grid.cells)
