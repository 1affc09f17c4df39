"""Dense: a full map, and every operation computes every cell (Sec. 3.2; RefineMask and Table 5's DenseSFM work so).

Only the results of active cells are returned or written ("masked dense"), so the outcome is that of the sparse
backends and the cost is that of a dense head. This makes it the oracle for all others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int32
from torch import Tensor

from sparsity._grid import check_active, children_of, interpolate, neighbors_of, reach


@dataclass(frozen=True, kw_only=True, eq=False)
class Backend:
    """A grid that stores a feature for every cell.

    `features` holds the full map as rows, one per cell in flat order, which is an [R F H W] map with channels last.
    """

    features: Float[Tensor, "N F"]
    cells: Int32[Tensor, "A"]
    size: tuple[int, int, int]

    @classmethod
    def dense(cls, features: Float[Tensor, "R F H W"]) -> "Backend":
        """Make a grid in which every cell is active."""
        regions, num_features, height, width = features.shape
        num_cells = regions * height * width
        return cls(
            features=features.permute(0, 2, 3, 1).reshape(num_cells, num_features),
            cells=torch.arange(num_cells, device=features.device, dtype=torch.int32),
            size=(regions, height, width),
        )

    @property
    def active(self) -> Float[Tensor, "A F"]:
        """Features of the active cells, copied out of the map."""
        return self.features.index_select(0, self.cells)

    def with_active(self, active: Float[Tensor, "A G"]) -> "Backend":
        """Write the active features into a copy of the map. Raises ValueError as in `Grid`."""
        check_active(self, active, self.features.shape[1])
        # Where the feature size changes, every cell is active and is written.
        full = self.features.new_empty(self.features.shape[0], active.shape[1])
        if active.shape[1] == self.features.shape[1]:
            full = self.features
        return replace(self, features=full.index_put((self.cells,), active))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Backend":
        """Apply a row-wise function to all cells."""
        return replace(self, features=function(self.features))

    def subdivide(self, keep: Int[Tensor, "K"], children: Float[Tensor, "4*K F"]) -> "Backend":
        """Repeat every cell 2x2, then overwrite the children of the kept cells."""
        regions, height, width = self.size
        parents = self.features.unflatten(0, (regions, height, 1, width, 1))
        repeated = parents.expand(-1, -1, 2, -1, 2, -1).flatten(0, 4)
        cells = children_of(self.cells.index_select(0, keep), self.size)
        return replace(
            self,
            features=repeated.index_put((cells,), children),
            cells=cells,
            size=(regions, 2 * height, 2 * width),
        )

    def gather(self, offsets: Int[Tensor, "T 2"]) -> Float[Tensor, "A T F"]:
        """Features at lattice offsets `(dy, dx)` from every active cell; zero outside the lattice."""
        neighbors, inside = neighbors_of(self.cells, offsets, self.size)
        found = self.features.index_select(0, neighbors.flatten()).unflatten(0, neighbors.shape)
        return found * inside[..., None]

    def sample(self, points: Float[Tensor, "A T 2"]) -> Float[Tensor, "A T F"]:
        """Bilinear samples at lattice positions `(y, x)` of each active cell's own region."""
        return interpolate(self.features, lambda cells: cells, self.cells, points, self.size)

    def conv2d(
        self, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int
    ) -> Float[Tensor, "A O"]:
        """Convolve all cells of the map and return the active ones."""
        return self._at_cells(self._convolve(weight, bias, dilation))

    def sfm(
        self, weight: Float[Tensor, "D O F 3 3"], bias: Float[Tensor, "D O"], dilations: Sequence[int]
    ) -> Float[Tensor, "A O"]:
        """Compute the branches of the semantic fusion module at all cells and return the active ones."""
        first, *others = (
            F.relu(self._convolve(weight[branch], bias[branch], dilation)) for branch, dilation in enumerate(dilations)
        )
        return self._at_cells(sum(others, first))

    def to_dense(self) -> Float[Tensor, "R F H W"]:
        """Give the map itself, channels last in memory."""
        return self.features.unflatten(0, self.size).permute(0, 3, 1, 2)

    def storage(self) -> dict[str, int]:
        """Bytes stored; `features` holds every cell, `index` the list of active cells."""
        return {"features": self.features.nbytes, "index": self.cells.nbytes}

    def _convolve(
        self, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int
    ) -> Float[Tensor, "R O H W"]:
        """Convolve the whole map with zero padding."""
        padding = dilation * reach(weight.shape[-1])
        return F.conv2d(self.to_dense(), weight, bias, padding=padding, dilation=dilation)

    def _at_cells(self, full: Float[Tensor, "R O H W"]) -> Float[Tensor, "A O"]:
        """Rows of the active cells of a full map."""
        return full.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, self.cells)
