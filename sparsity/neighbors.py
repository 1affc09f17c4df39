"""Neighbors: active rows and those of their 8 neighbours (Sec. 3.2). Further away there is nothing.

Plain 3x3 convolutions are possible; larger, dilated and deformable ones are `Unsupported`. A neighbour may itself be
active, so copies of neighbours would go stale at every update: each feature is stored once, and an active cell holds
the row numbers of its 3x3 cells.

One ring is enough for ever: the neighbours of a child lie in the 3x3 cells of its parent. Every subdivision drops the
features that no active cell touches any more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from sparsity import (
    Unsupported,
    all_cells,
    cell_rows,
    check_active,
    check_children,
    children_of,
    contract,
    contract_channels,
    map_size,
    neighbors_of,
    reach,
    window,
    windows,
    with_zero_row,
)

_STORED = "the active cells and their 8 neighbours"
_CENTER = 4
"""The cell itself among its 3x3 cells in row-major order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Backend:
    """A grid that stores active features and those next to them.

    `buffer` is `[zero row | passive neighbours | active]`; `ids` holds, for every active cell, the row of `buffer`
    that each of its 3x3 cells shows, row-major; outside the lattice it is the zero row.
    """

    buffer: Float[Tensor, "N F"]
    ids: Int32[Tensor, "A 9"]
    cells: Int32[Tensor, "A"]
    size: tuple[int, int, int]

    @classmethod
    def dense(cls, features: Float[Tensor, "R F H W"]) -> "Backend":
        """Make a grid in which every cell is active."""
        size = map_size(features)
        cells = all_cells(size, features.device)
        neighbors, inside = neighbors_of(cells, window(3, 1, features.device), size)
        return cls(
            buffer=with_zero_row(cell_rows(features)),
            ids=(neighbors + 1) * inside,
            cells=cells,
            size=size,
        )

    @property
    def num_passive(self) -> int:
        """Number of passive features next to an active cell."""
        return self.buffer.shape[0] - 1 - self.cells.shape[0]

    @property
    def active(self) -> Float[Tensor, "A F"]:
        """Features of the active cells: a view of the buffer."""
        return self.buffer[1 + self.num_passive :]

    def with_active(self, active: Float[Tensor, "A G"]) -> "Backend":
        """Replace the active features, also where they are neighbours. Raises ValueError as in `Grid`."""
        check_active(self, active, self.buffer)
        passive = self.buffer[1 : 1 + self.num_passive]
        return replace(self, buffer=with_zero_row(passive, active) if self.num_passive else with_zero_row(active))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Backend":
        """Apply a row-wise function to all stored rows in one call; the zero row stays zero."""
        return replace(self, buffer=with_zero_row(function(self.buffer[1:])))

    def subdivide(self, keep: Int[Tensor, "K"], children: Float[Tensor, "4*K F"]) -> "Backend":
        """Split the kept cells in 4 and keep the other features that are next to one of them.

        How many these are depends on values: this waits for the device. On the meta device, where there are no
        values, all features stay, the most there can be.
        """
        check_children(self, keep, children, self.buffer)
        regions, height, width = self.size
        touched = self.ids.index_select(0, keep)
        own_row = touched[:, _CENTER]
        passive = self._others(touched, own_row)
        first_child = 1 + passive.shape[0]
        first_rows = first_child + 4 * torch.arange(keep.shape[0], device=keep.device)

        relabel = self.ids.new_zeros(self.buffer.shape[0])
        relabel = relabel.index_put((passive,), torch.arange(1, first_child, device=keep.device).to(torch.int32))
        relabel = relabel.index_put((own_row,), first_rows.to(torch.int32))
        shown = relabel.index_select(0, touched.flatten()).unflatten(0, touched.shape)
        parent, quadrant = _family(keep.device)
        ids = shown[:, parent]
        return Backend(
            buffer=torch.cat((self.buffer[:1], self.buffer.index_select(0, passive), children)),
            ids=(ids + (ids >= first_child) * quadrant).flatten(0, 1),
            cells=children_of(self.cells.index_select(0, keep), self.size),
            size=(regions, 2 * height, 2 * width),
        )

    def gather(self, offsets: Int[Tensor, "T 2"]) -> Float[Tensor, "A T F"]:
        """Features at lattice offsets `(dy, dx)` of at most 1; any other offset is `Unsupported`.

        Waits for the device to read the offsets; `conv2d` does not. Offsets without values (meta) are `Unsupported`.
        """
        if offsets.is_meta or bool(((offsets < -1) | (offsets > 1)).any()):
            raise Unsupported.reading("gather was asked for cells more than 1 away", _STORED)
        return self._read(offsets)

    def sample(self, points: Float[Tensor, "A T 2"]) -> Float[Tensor, "A T F"]:
        """Raise `Unsupported`: a sample may lie anywhere."""
        raise Unsupported.reading("Bilinear sampling (deformable convolution) reads any cell", _STORED)

    def conv2d(
        self, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int
    ) -> Float[Tensor, "A O"]:
        """Convolve with a 1x1 or a plain 3x3 kernel; one that reaches further is `Unsupported`."""
        far = reach(weight.shape[-1], dilation)
        if far > 1:
            raise Unsupported.reading(f"The convolution reads cells {far} away", _STORED)
        return contract(self._read(window(weight.shape[-1], dilation, weight.device)), weight, bias)

    def depthwise(
        self, weight: Float[Tensor, "D k k F"], bias: Float[Tensor, "F"] | None, dilations: Sequence[int]
    ) -> Float[Tensor, "A F"]:
        """Convolve with 1x1 or plain 3x3 kernels; those that reach further are `Unsupported`."""
        side = weight.shape[1]
        far = max(reach(side, dilation) for dilation in dilations)
        if far > 1:
            raise Unsupported.reading(f"The depthwise convolution reads cells {far} away", _STORED)
        return contract_channels(self._read(windows(side, dilations, weight.device)), weight, bias)

    def to_dense(self) -> Float[Tensor, "R F H W"]:
        """Raise `Unsupported`: most passive features are not kept."""
        raise Unsupported.reading("A full map shows all passive cells", _STORED)

    def storage(self) -> dict[str, int]:
        """Bytes stored, e per number: `features` (A + P) F e, `padding` F e, `index` 36 A + 4 A, ids and active cells.

        P passive features are next to an active cell. `copied_bytes` is what the paper's words would store.
        """
        padding = self.buffer[:1].nbytes
        return {
            "features": self.buffer.nbytes - padding,
            "padding": padding,
            "index": self.ids.nbytes + self.cells.nbytes,
        }

    @property
    def copied_bytes(self) -> int:
        """Bytes of features as the paper has it, read literally: 9 A F e, each active cell with its own 3x3 copies."""
        return 9 * self.active.nbytes

    def faults(self) -> list[str]:
        """The faults of ids and buffer, in words, for `sparsity.check`; stale ids of active neighbours above all."""
        num_rows = self.buffer.shape[0]
        own_row = torch.arange(num_rows - self.cells.shape[0], num_rows, device=self.cells.device, dtype=torch.int32)
        if bool(((self.ids < 0) | (self.ids >= num_rows)).any()):
            return [f"ids point outside the buffer of {num_rows} rows"]
        neighbors, inside = neighbors_of(self.cells, window(3, 1, self.cells.device), self.size)
        regions, height, width = self.size
        row_of_active = self.ids.new_zeros(regions * height * width).index_put((self.cells,), own_row)
        expected = row_of_active.index_select(0, neighbors.flatten()).unflatten(0, neighbors.shape)
        is_active = inside & (expected > 0)
        broken = {
            "ids of cells outside the lattice are not those of the zero row": ((self.ids == 0) == inside).any(),
            "ids of active cells are not those of their own rows": ((self.ids != expected) & is_active).any(),
            "ids of passive cells are those of active rows": (self.ids.ge(num_rows - len(own_row)) & ~is_active).any(),
            "the zero row is not zero": self.buffer[0].any(),
        }
        return [fault for fault, found in broken.items() if bool(found)]

    def _read(self, offsets: Int[Tensor, "T 2"]) -> Float[Tensor, "A T F"]:
        """Features at offsets of at most 1."""
        down, right = offsets.to(torch.int32).unbind(-1)
        rows = self.ids.index_select(1, _CENTER + 3 * down + right)
        return self.buffer.index_select(0, rows.flatten()).unflatten(0, rows.shape)

    def _others(self, touched: Int32[Tensor, "K 9"], own_row: Int32[Tensor, "K"]) -> Int[Tensor, "P"]:
        """Rows of the features next to a kept cell that are not kept themselves, ascending."""
        if self.buffer.is_meta:
            return torch.arange(1, self.buffer.shape[0] - own_row.shape[0], device=self.buffer.device)
        is_needed = torch.zeros(self.buffer.shape[0], dtype=torch.bool, device=self.buffer.device)
        is_needed = is_needed.index_put((touched.flatten(),), is_needed.new_ones(()))
        is_needed = is_needed.index_put((own_row,), is_needed.new_zeros(()))
        # Not kept is also the zero row, which outside cells touch.
        return is_needed[1:].nonzero()[:, 0] + 1


def _family(device: torch.device) -> tuple[Int[Tensor, "4 9"], Int32[Tensor, "4 9"]]:
    """The origin of the 3x3 cells around each of 4 children: which of the parent's 3x3 cells, and which child of it.

    Lattice coordinates start at the first child of the left upper neighbour of the parent.
    """
    step = torch.arange(3, device=device)
    position = 2 + torch.arange(2, device=device)[:, None] + step - 1
    parent = 3 * (position // 2)[:, None, :, None] + (position // 2)[None, :, None, :]
    quadrant = 2 * (position % 2)[:, None, :, None] + (position % 2)[None, :, None, :]
    return parent.reshape(4, 9), quadrant.reshape(4, 9).to(torch.int32)
