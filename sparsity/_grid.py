"""The Grid protocol and its lattice arithmetic: features of partly refined regions (Sec. 3.2 of the paper).

A grid holds one feature vector for every cell of `R` lattices of `H x W` cells. Some cells are *active*: they are
refined in the current stage and their features are the rows of `active`. All other cells are *passive*: they keep a
feature of an earlier stage, possibly one that covers a whole block of cells. A backend is a way to store this; an
operation (`sparsity.conv2d`, ...) is a function of `gather` and `sample`, so it exists once for all backends.

Nothing here and in the backends depends on the values of a tensor for its shapes: everything runs on the `meta`
device, inside a trace and without waiting for a GPU. Cell indices are int32, which is enough for 2^31 cells.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Unsupported(NotImplementedError):
    """A backend cannot do what was asked; the message says which backend can. Catching it is a measurement."""


@runtime_checkable
class Grid(Protocol):
    """Features of `R` lattices of `H x W` cells, some active. Values are immutable: every method returns a new grid.

    `active` [A F] float: features of the active cells, in the order of `cells`.
    `cells` [A] int32: flat index `(region * H + row) * W + column` of every active cell, ascending after `dense`,
    in (parent, child) order after `subdivide`.
    `size`: `(R, H, W)`.

    All of it is differentiable: in the features, in the weights of an operation and in the points of `sample`.
    """

    @property
    def active(self) -> Float[Tensor, "A F"]:
        """Features of the active cells."""
        ...

    @property
    def cells(self) -> Int[Tensor, "A"]:
        """Flat int32 index of every active cell."""
        ...

    @property
    def size(self) -> tuple[int, int, int]:
        """`(R, H, W)`."""
        ...

    @classmethod
    def dense(cls, features: Float[Tensor, "R F H W"]) -> "Grid":
        """Make a grid in which every cell is active, cells in row-major order per region."""
        ...

    def with_active(self, active: Float[Tensor, "A G"]) -> "Grid":
        """Replace the active features. The feature size must stay the same where passive features exist.

        Raises ValueError for another number of rows, or for another feature size while some cells are passive.
        """
        ...

    def map(self, function: Callable[[Tensor], Tensor]) -> "Grid":
        """Apply a row-wise function `[N F] -> [N G]` to all stored features, active and passive (F -> F/2).

        How many rows the function gets is the backend's business: one per stored feature, copies included.
        """
        ...

    def subdivide(self, keep: Int[Tensor, "K"], children: Float[Tensor, "4*K F"]) -> "Grid":
        """Double the lattice: active rows `keep` (ascending) become 4 active children, all other cells passive.

        `children` holds the features of the children, child-minor: rows 4i..4i+3 belong to `keep[i]`, in row-major
        order of the 2x2 block. A passive cell keeps its feature and covers 2x2 cells of the new lattice.
        `keep` must not repeat a row; that is not checked, because looking would wait for the device.
        """
        ...

    def gather(self, offsets: Int[Tensor, "T 2"]) -> Float[Tensor, "A T F"]:
        """Features at lattice offsets `(dy, dx)` from every active cell; zero outside the lattice.

        Raises `Unsupported` where the backend does not store such neighbours.
        """
        ...

    def sample(self, points: Float[Tensor, "A T 2"]) -> Float[Tensor, "A T F"]:
        """Bilinear samples at lattice positions `(y, x)` of each active cell's own region, cell centres at integers.

        Corners outside the lattice count as zero. Differentiable in the features and in the points.
        Raises `Unsupported` where the backend cannot read arbitrary cells.
        """
        ...

    def to_dense(self) -> Float[Tensor, "R F H W"]:
        """Expand into a full map: every cell shows the feature it holds or is covered by."""
        ...

    def storage(self) -> dict[str, int]:
        """Bytes stored, by part: `features`, `index`, and where the backend has them `copies`, `padding`.

        The parts add up to all that the grid holds; what an operation needs on top while it runs is not in here.
        """
        ...


@runtime_checkable
class GridType(Protocol):
    """What `backend(name)` gives: `type[Grid]` as a protocol, since `issubclass` rejects protocols with properties."""

    def dense(self, features: Float[Tensor, "R F H W"]) -> Grid:
        """Make a grid in which every cell is active."""
        ...


def check_active(grid: Grid, active: Float[Tensor, "A F"], num_features: int) -> None:
    """Raise ValueError if `active` cannot replace the active features of a grid that stores `num_features` columns."""
    num_active, (regions, height, width) = grid.cells.shape[0], grid.size
    if active.shape[0] != num_active:
        raise ValueError(
            f"with_active got {active.shape[0]} rows; the grid has {num_active} active cells; "
            "give one row per active cell, in the order of `cells`."
        )
    if active.shape[1] != num_features and num_active != regions * height * width:
        raise ValueError(
            f"with_active got features of size {active.shape[1]}; the passive cells keep features of size "
            f"{num_features}; change the size of all features with `map` first."
        )


def unravel(
    cells: Int[Tensor, "A"], size: tuple[int, int, int]
) -> tuple[Int[Tensor, "A"], Int[Tensor, "A"], Int[Tensor, "A"]]:
    """Split flat cell indices into (region, row, column)."""
    _, height, width = size
    position = cells % (height * width)
    return (
        torch.div(cells, height * width, rounding_mode="floor"),
        torch.div(position, width, rounding_mode="floor"),
        position % width,
    )


def reach(kernel_size: int) -> int:
    """Cells that a kernel reaches to each side. Raises ValueError for an even kernel, which has no centre tap."""
    if kernel_size % 2 == 0:
        raise ValueError(f"The kernel is {kernel_size} cells wide; a grid needs an odd one; use {kernel_size + 1}.")
    return kernel_size // 2


def window(kernel_size: int, dilation: int, device: torch.device) -> Int[Tensor, "T 2"]:
    """Offsets `(dy, dx)` of the taps of an odd square kernel, row-major, as `torch.nn.functional.conv2d` orders them.

    Raises ValueError for an even kernel.
    """
    steps = torch.arange(kernel_size, device=device, dtype=torch.int32) - reach(kernel_size)
    return torch.cartesian_prod(steps, steps) * dilation


def children_of(cells: Int[Tensor, "K"], size: tuple[int, int, int]) -> Int[Tensor, "4*K"]:
    """Flat indices, in the lattice of twice the side, of the 2x2 cells inside each of `cells`, child-minor."""
    region, row, column = unravel(cells, size)
    _, height, width = size
    first = ((region * height + row) * 2 * width + column) * 2
    step = torch.arange(2, device=cells.device, dtype=torch.int32)
    return (first[:, None, None] + step[:, None] * (2 * width) + step).flatten()


def neighbors_of(
    cells: Int[Tensor, "A"], offsets: Int[Tensor, "T 2"], size: tuple[int, int, int]
) -> tuple[Int[Tensor, "A T"], Bool[Tensor, "A T"]]:
    """Flat indices of the cells at `offsets` (dy, dx) from each cell, and whether they lie inside the lattice.

    An outside neighbour gets the index of the cell itself, so that every index can be read.
    """
    _, height, width = size
    _, row, column = unravel(cells, size)
    down, right = offsets.to(torch.int32).unbind(-1)
    neighbor_row, neighbor_column = row[:, None] + down, column[:, None] + right
    inside = (neighbor_row >= 0) & (neighbor_row < height) & (neighbor_column >= 0) & (neighbor_column < width)
    return cells[:, None] + (down * width + right) * inside, inside


def interpolate(
    features: Float[Tensor, "N F"],
    row_of: Callable[[Int[Tensor, "M"]], Int[Tensor, "M"]],
    cells: Int[Tensor, "A"],
    points: Float[Tensor, "A T 2"],
    size: tuple[int, int, int],
) -> Float[Tensor, "A T F"]:
    """Bilinear interpolation at lattice positions (y, x) in the region of each cell.

    `row_of` gives the row of `features` that a flat cell shows. Corners outside the lattice count as zero. The weights
    come from the fraction, not from distances `1 - |point - corner|`: these have no slope at a cell centre, which is
    where every deformable convolution starts.
    """
    _, height, width = size
    region_start = (cells - cells % (height * width))[:, None]
    low = points.floor()
    high_weight = points - low
    low_weight = 1 - high_weight
    corners, weights = [], []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = low[..., 0] + down, low[..., 1] + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        # Outside positions may be too large for an integer: replace them before the conversion.
        row, column = (torch.where(inside, position, 0).to(torch.int32) for position in (row, column))
        corners.append(region_start + row * width + column)
        weight = (high_weight if down else low_weight)[..., 0] * (high_weight if right else low_weight)[..., 1]
        weights.append(weight * inside)
    rows = row_of(torch.stack(corners, dim=-1).flatten()).view(-1, 4)
    mixture = torch.stack(weights, dim=-1).view(-1, 4).to(features.dtype)
    # Reads and weighs the four corners in one pass, without a buffer of [A T 4 F].
    mixed = F.embedding_bag(rows, features, per_sample_weights=mixture, mode="sum")
    return mixed.unflatten(0, (points.shape[0], points.shape[1]))
