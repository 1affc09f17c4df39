"""SPS, structure-preserving sparsity (Sec. 3.2): active rows, passive rows without duplicates, an index map.

Every feature is stored once, and the index map says which feature a cell shows; a passive feature may fill a whole
block of cells. Active and passive features are matrices, so pointwise operations need no reorganisation, and any 2D
operation can still find its neighbours through the map. The map is int32: at stage 3 it is a quarter of all bytes.

All rows are in one buffer `[zero row | passive | active]`. So an operation never concatenates, neighbours outside the
lattice are the zero row, and a passive feature keeps its row number for life.

Convolution and SFM are one operation, depthwise convolution another, with several kernels (`sparsity._kernels`): the
naive one of the paper, and ones that cost what the active cells cost. The best is found by itself;
`backend("sps:reference")` takes one by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from sparsity import (
    all_cells,
    cell_rows,
    check_active,
    check_channels,
    check_children,
    check_weight,
    children_of,
    interpolate,
    map_size,
    neighbors_of,
    reach,
    with_zero_row,
)
from sparsity._kernels import Call, DepthwiseCall
from sparsity._kernels._choose import check_kernel
from sparsity._kernels._depthwise import convolve_depthwise
from sparsity._kernels._op import convolve


@dataclass(frozen=True, kw_only=True, eq=False)
class Backend:
    """A grid that stores every feature once.

    `rows` holds, for every cell, the row of `buffer` that it shows; `index` is the same map with the paper's ids.
    `quads`: the active cells are 2x2 siblings in turn, as a subdivision makes them. `kernel` computes convolutions,
    None is the best that can.
    """

    buffer: Float[Tensor, "N F"]
    rows: Int32[Tensor, "R H W"]
    cells: Int32[Tensor, "A"]
    quads: bool = False
    kernel: str | None = None

    @classmethod
    def dense(cls, features: Float[Tensor, "R F H W"]) -> "Backend":
        """Make a grid in which every cell is active: no passive rows, and the map counts."""
        size = map_size(features)
        cells = all_cells(size, features.device)
        return cls(
            buffer=with_zero_row(cell_rows(features)),
            rows=(cells + 1).reshape(size),
            cells=cells,
        )

    @property
    def num_active(self) -> int:
        """Number of active cells, N_A in the paper."""
        return self.cells.shape[0]

    @property
    def num_passive(self) -> int:
        """Number of passive features, N_P in the paper."""
        return self.buffer.shape[0] - 1 - self.num_active

    @property
    def active(self) -> Float[Tensor, "A F"]:
        """Features of the active cells: a view of the buffer."""
        return self.buffer[1 + self.num_passive :]

    @property
    def passive(self) -> Float[Tensor, "P F"]:
        """Features of cells that are not refined any more, the oldest first: a view of the buffer."""
        return self.buffer[1 : 1 + self.num_passive]

    @property
    def index(self) -> Int32[Tensor, "R H W"]:
        """The paper's index map: active ids `0..A-1` in the order of `cells`, then passive ids `A..A+P-1`."""
        is_active = self.rows > self.num_passive
        return self.rows - 1 + torch.where(is_active, -self.num_passive, self.num_active).to(torch.int32)

    @property
    def size(self) -> tuple[int, int, int]:
        """`(R, H, W)`."""
        regions, height, width = self.rows.shape
        return regions, height, width

    def with_active(self, active: Float[Tensor, "A G"]) -> "Backend":
        """Replace the active features; map and cells are shared with this grid. Raises ValueError as in `Grid`."""
        check_active(self, active, self.buffer)
        return replace(self, buffer=with_zero_row(self.passive, active) if self.num_passive else with_zero_row(active))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Backend":
        """Apply a row-wise function to passive and active rows in one call; the zero row stays zero."""
        return replace(self, buffer=with_zero_row(function(self.buffer[1:])))

    def subdivide(self, keep: Int[Tensor, "K"], children: Float[Tensor, "4*K F"]) -> "Backend":
        """Split the kept cells in 4; the other active cells join the passive rows, in order, behind the old ones.

        Passive rows keep their numbers, so relabelling touches active rows only. Then each cell of the map becomes a
        2x2 block: four times the same passive row, or the rows of four children, which follow each other.
        """
        check_children(self, keep, children, self.buffer)
        regions, height, width = self.size
        num_kept, num_demoted = keep.shape[0], self.num_active - keep.shape[0]
        first_active = 1 + self.num_passive
        first_child = first_active + num_demoted
        # A stable sort puts the demoted rows first and in order; unlike `nonzero` it does not wait for the device.
        is_kept = torch.zeros_like(self.cells).index_put((keep,), self.cells.new_ones(()))
        demoted = is_kept.argsort(stable=True)[:num_demoted].to(torch.int32)

        def count(start: int, end: int, step: int = 1) -> Int32[Tensor, "N"]:
            return torch.arange(start, end, step, device=self.cells.device, dtype=torch.int32)

        relabel = count(0, self.buffer.shape[0]).index_put(
            (first_active + torch.cat((demoted, keep)),),
            torch.cat((count(first_active, first_child), count(first_child, first_child + 4 * num_kept, 4))),
        )
        blocks = relabel.index_select(0, self.rows.flatten()).reshape(regions, height, 1, width, 1)
        blocks = blocks + (blocks >= first_child) * count(0, 4).reshape(2, 1, 2)
        return Backend(
            buffer=torch.cat((self.buffer[:first_active], self.active.index_select(0, demoted), children)),
            rows=blocks.reshape(regions, 2 * height, 2 * width),
            cells=children_of(self.cells.index_select(0, keep), self.size),
            quads=True,
            kernel=self.kernel,
        )

    def conv2d(
        self, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int
    ) -> Float[Tensor, "A O"]:
        """Convolve the active cells with the grid's kernel."""
        return self._convolve(weight[None], None if bias is None else bias[None], (dilation,), activation=False)

    def sfm(
        self, weight: Float[Tensor, "D O F 3 3"], bias: Float[Tensor, "D O"], dilations: Sequence[int]
    ) -> Float[Tensor, "A O"]:
        """Compute all branches of the semantic fusion module, and their sum, in one call of the grid's kernel."""
        return self._convolve(weight, bias, dilations, activation=True)

    def depthwise(
        self, weight: Float[Tensor, "D k k F"], bias: Float[Tensor, "F"] | None, dilations: Sequence[int]
    ) -> Float[Tensor, "A F"]:
        """Compute all branches of a depthwise convolution, and their sum, in one call of the grid's kernel."""
        check_channels(weight, self.buffer.shape[1])
        call = DepthwiseCall(
            buffer=self.buffer,
            rows=self.rows,
            cells=self.cells,
            weight=weight.flatten(1, 2),
            bias=bias,
            dilations=tuple(dilations),
        )
        return convolve_depthwise(call, self.kernel)

    def _convolve(
        self,
        weight: Float[Tensor, "D O F k k"],
        bias: Float[Tensor, "D O"] | None,
        dilations: Sequence[int],
        *,
        activation: bool,
    ) -> Float[Tensor, "A O"]:
        """Check what a kernel takes for granted, and show it the weight in its order, taps before features: a view."""
        check_weight(weight, self.buffer.shape[1])
        for dilation in dilations:
            reach(weight.shape[-1], dilation)
        call = Call(
            buffer=self.buffer,
            rows=self.rows,
            cells=self.cells,
            weight=weight.permute(0, 1, 3, 4, 2).flatten(2, 3),
            bias=bias,
            dilations=tuple(dilations),
            activation=activation,
            quads=self.quads,
        )
        return convolve(call, self.kernel)

    def gather(self, offsets: Int[Tensor, "T 2"]) -> Float[Tensor, "A T F"]:
        """Features at lattice offsets `(dy, dx)` from every active cell; outside the lattice the zero row."""
        neighbors, inside = neighbors_of(self.cells, offsets, self.size)
        rows = self.rows.flatten().index_select(0, neighbors.flatten()) * inside.flatten()
        return self.buffer.index_select(0, rows).unflatten(0, neighbors.shape)

    def sample(self, points: Float[Tensor, "A T 2"]) -> Float[Tensor, "A T F"]:
        """Bilinear samples at lattice positions `(y, x)`, the four corners read through the index map."""
        rows = self.rows.flatten()
        return interpolate(self.buffer, lambda cells: rows.index_select(0, cells), self.cells, points, self.size)

    def to_dense(self) -> Float[Tensor, "R F H W"]:
        """Expand into a full map, channels last in memory: what SPS avoids storing."""
        return self.buffer.index_select(0, self.rows.flatten()).unflatten(0, self.size).permute(0, 3, 1, 2)

    def storage(self) -> dict[str, int]:
        """Bytes stored, e per number: `features` (A + P) F e, `padding` F e, the zero row, `index` 4 R H W + 4 A.

        The index is the map and the list of active cells.
        """
        padding = self.buffer[:1].nbytes
        return {
            "features": self.buffer.nbytes - padding,
            "padding": padding,
            "index": self.rows.nbytes + self.cells.nbytes,
        }

    def faults(self) -> list[str]:
        """The faults of map and buffer, in words, for `sparsity.check`."""
        num_rows, first_active = self.buffer.shape[0], 1 + self.num_passive
        if bool(((self.rows < 0) | (self.rows >= num_rows)).any()):
            return [f"the index map points outside the buffer of {num_rows} rows"]
        own_row = torch.arange(first_active, num_rows, device=self.cells.device)
        is_shown = self.rows.flatten().index_select(0, self.cells) == own_row
        broken = {
            "a cell of `cells` does not show its active feature": ~is_shown.all(),
            "a passive cell shows an active feature": (self.rows >= first_active).sum() > self.num_active,
            "a cell shows the zero row": (self.rows == 0).any(),
            "the zero row is not zero": self.buffer[0].any(),
        }
        return [fault for fault, found in broken.items() if bool(found)]


@dataclass(frozen=True, kw_only=True)
class WithKernel:
    """The type that `backend("sps:native")` gives: a `GridType` whose grids convolve with one kernel."""

    kernel: str

    def dense(self, features: Float[Tensor, "R F H W"]) -> Backend:
        """Make a grid in which every cell is active."""
        return replace(Backend.dense(features), kernel=self.kernel)


def with_kernel(kernel: str) -> WithKernel:
    """Give the grids of one kernel. Raises ValueError with the closest names for an unknown one."""
    check_kernel(kernel)
    return WithKernel(kernel=kernel)
