"""The storage of `dense` and `sparse_on_dense`: a feature for every cell, copies of passive features included."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from jaxtyping import Float, Int, Int32
from torch import Tensor

from sparsity._grid import check_active, check_children
from sparsity._lattice import all_cells, cell_rows, children_of, interpolate, map_size, neighbors_of


@dataclass(frozen=True, kw_only=True, eq=False)
class FullMap:
    """A grid that stores a feature for every cell.

    `features` holds the full map as rows, one per cell in flat order, which is an [R F H W] map with channels last.
    """

    features: Float[Tensor, "N F"]
    cells: Int32[Tensor, "A"]
    size: tuple[int, int, int]

    @classmethod
    def dense(cls, features: Float[Tensor, "R F H W"]) -> "FullMap":
        """Make a grid in which every cell is active."""
        size = map_size(features)
        return cls(features=cell_rows(features), cells=all_cells(size, features.device), size=size)

    @property
    def active(self) -> Float[Tensor, "A F"]:
        """Features of the active cells, copied out of the map."""
        return self.features.index_select(0, self.cells)

    def with_active(self, active: Float[Tensor, "A G"]) -> "FullMap":
        """Write the active features into a copy of the map. Raises ValueError as in `Grid`."""
        check_active(self, active, self.features)
        # Where size or dtype change, every cell is active and is written.
        same = active.shape[1] == self.features.shape[1] and active.dtype == self.features.dtype
        full = self.features if same else active.new_empty(self.features.shape[0], active.shape[1])
        return replace(self, features=full.index_put((self.cells,), active))

    def map(self, function: Callable[[Tensor], Tensor]) -> "FullMap":
        """Apply a row-wise function to all cells."""
        return replace(self, features=function(self.features))

    def subdivide(self, keep: Int[Tensor, "K"], children: Float[Tensor, "4*K F"]) -> "FullMap":
        """Repeat every cell 2x2, then overwrite the children of the kept cells."""
        check_children(self, keep, children, self.features)
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
        # In place: what was found is a copy already.
        return found.masked_fill_(~inside[..., None], 0)

    def sample(self, points: Float[Tensor, "A T 2"]) -> Float[Tensor, "A T F"]:
        """Bilinear samples at lattice positions `(y, x)` of each active cell's own region."""
        return interpolate(self.features, lambda cells: cells, self.cells, points, self.size)

    def to_dense(self) -> Float[Tensor, "R F H W"]:
        """Give the map itself, channels last in memory."""
        return self.features.unflatten(0, self.size).permute(0, 3, 1, 2)

    def storage(self) -> dict[str, int]:
        """Bytes stored, e per number: `features` R H W F e, every cell; `index` 4 A, the list of active cells."""
        return {"features": self.features.nbytes, "index": self.cells.nbytes}

    def faults(self) -> list[str]:
        """The faults of the map, in words, for `sparsity.check`."""
        num_rows, (regions, height, width) = self.features.shape[0], self.size
        if num_rows != regions * height * width:
            return [f"{num_rows} features for {regions} regions of {height} x {width} cells"]
        return []
