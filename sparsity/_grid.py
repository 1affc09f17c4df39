"""The Grid protocol: features of partly refined regions (Sec. 3.2 of the paper).

A grid holds one feature vector for every cell of `R` lattices of `H x W` cells. Some cells are *active*: they are
refined in the current stage and their features are the rows of `active`. All other cells are *passive*: they keep a
feature of an earlier stage, possibly one that covers a whole block of cells. A backend is a way to store this; an
operation (`sparsity.conv2d`, ...) is a function of `gather` and `sample`, so it exists once for all backends.

No shape depends on the values of a tensor (`neighbors` has the one exception): everything runs on the `meta` device,
inside a trace and without waiting for a GPU. So values are not looked at either: a wrong row number is an error of
torch's or a wrong result, and `sparsity.check` finds what is wrong. Cell indices are int32, enough for 2^31 cells.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Unsupported(NotImplementedError):
    """A backend cannot do what was asked; the message says which backend can. Catching it is a measurement."""

    @classmethod
    def reading(cls, what: str, stored: str) -> "Unsupported":
        """Say that `what` needs cells which a backend does not store, what it has `stored`, and which backends can."""
        return cls(f"{what}; this backend stores {stored}; use dense, sparse_on_dense or sps.")


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
        """Make a grid in which every cell is active, cells in row-major order per region.

        Raises ValueError for what is not a full map of floating point numbers.
        """
        ...

    def with_active(self, active: Float[Tensor, "A G"]) -> "Grid":
        """Replace the active features. Feature size and dtype must stay the same where passive features exist.

        Raises ValueError for another number of rows, or for another feature size or dtype while some cells are passive.
        """
        ...

    def map(self, function: Callable[[Tensor], Tensor]) -> "Grid":
        """Apply a row-wise function `[N F] -> [N G]` to all stored features, active and passive (F -> F/2).

        How many rows the function gets is the backend's business: one per stored feature, copies included.
        """
        ...

    def subdivide(self, keep: Int[Tensor, "K"], children: Float[Tensor, "4*K F"]) -> "Grid":
        """Double the lattice: the active rows `keep` become 4 active children each, all other cells passive.

        `children` holds the features of the children, child-minor: rows 4i..4i+3 belong to `keep[i]`, in row-major
        order of the 2x2 block. A passive cell keeps its feature and covers 2x2 cells of the new lattice. Any order of
        `keep` will do and becomes the order of `cells`; ascending keeps close in memory what is close in the lattice.
        `keep` must not repeat a row; that is not checked, because looking would wait for the device. For the same
        reason a row number out of range is an IndexError on the CPU and a device-side assert on a GPU.
        Raises ValueError for another shape or dtype of `keep` or `children`.
        """
        ...

    def gather(self, offsets: Int[Tensor, "T 2"]) -> Float[Tensor, "A T F"]:
        """Features at lattice offsets `(dy, dx)` from every active cell; zero outside the lattice, however far.

        Raises `Unsupported` where the backend does not store such neighbours; it may wait for the device to find out.
        """
        ...

    def sample(self, points: Float[Tensor, "A T 2"]) -> Float[Tensor, "A T F"]:
        """Bilinear samples at lattice positions `(y, x)` of each active cell's own region, cell centres at integers.

        Corners outside the lattice count as zero, also at infinity; NaN gives NaN. Differentiable in the features and
        in the points.
        Raises `Unsupported` where the backend cannot read arbitrary cells.
        """
        ...

    def to_dense(self) -> Float[Tensor, "R F H W"]:
        """Expand into a full map: every cell shows the feature it holds or is covered by.

        Raises `Unsupported` where the backend does not store all of them.
        """
        ...

    def storage(self) -> dict[str, int]:
        """Bytes stored, by part: `features`, `index`, and where the backend has them `copies`, `padding`.

        The parts add up to all that the grid holds; what an operation needs on top while it runs is not in here.
        """
        ...


@runtime_checkable
class GridType(Protocol):
    """A backend: `type[Grid]` as a protocol, since `issubclass` rejects protocols with properties."""

    def dense(self, features: Float[Tensor, "R F H W"]) -> Grid:
        """Make a grid in which every cell is active."""
        ...


def check_active(grid: Grid, active: Float[Tensor, "A G"], stored: Float[Tensor, "N F"]) -> None:
    """Raise ValueError if `active` cannot replace the active features of a grid that has `stored` such rows."""
    num_active, (regions, height, width) = grid.cells.shape[0], grid.size
    if active.shape[0] != num_active:
        raise ValueError(
            f"with_active got {active.shape[0]} rows; the grid has {num_active} active cells; "
            "give one row per active cell, in the order of `cells`."
        )
    if num_active == regions * height * width:
        return
    if active.shape[1] != stored.shape[1]:
        raise ValueError(
            f"with_active got features of size {active.shape[1]}; the passive cells keep features of size "
            f"{stored.shape[1]}; change the size of all features with `map` first."
        )
    if active.dtype != stored.dtype:
        raise ValueError(
            f"with_active got {active.dtype}; the passive cells keep {stored.dtype}; "
            "convert all features with `map`, or the active ones back."
        )


def check_children(
    grid: Grid, keep: Int[Tensor, "K"], children: Float[Tensor, "N G"], stored: Float[Tensor, "M F"]
) -> None:
    """Raise ValueError if `subdivide(keep, children)` is impossible for a grid that has `stored` such rows."""
    num_active, num_kept = grid.cells.shape[0], keep.shape[0]
    if keep.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"subdivide got rows to keep as {keep.dtype}; expected row numbers, int32 or int64; "
            "turn a mask into numbers with `mask.nonzero()[:, 0]`."
        )
    if num_kept > num_active:
        raise ValueError(
            f"subdivide was to keep {num_kept} of {num_active} active rows; expected each at most once; "
            "give rows of `active`, not cells of the lattice."
        )
    if children.shape != (4 * num_kept, stored.shape[1]) or children.dtype != stored.dtype:
        raise ValueError(
            f"subdivide got children of shape {tuple(children.shape)} and {children.dtype} for {num_kept} kept rows; "
            f"expected ({4 * num_kept}, {stored.shape[1]}) and {stored.dtype} as in the grid; "
            "give four children per kept row, and change feature sizes with `map` afterwards."
        )


def with_zero_row(*features: Float[Tensor, "_ F"]) -> Float[Tensor, "N F"]:
    """Put a zero row, which cells outside the lattice show, in front of feature rows."""
    return torch.cat((features[0].new_zeros(1, features[0].shape[1]), *features))
