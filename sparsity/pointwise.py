"""Pointwise: active rows and nothing else (Sec. 3.2; PointRend works so). Passive features are dropped.

Without neighbours only operations on single cells are possible: an MLP, a 1x1 convolution, feature fusion, halving,
subdividing. All others are `Unsupported`, as is the full map, of which the passive part is gone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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
    reach,
)

_STORED = "the active cells only"


@dataclass(frozen=True, kw_only=True, eq=False)
class Backend:
    """A grid that stores active features only."""

    active: Float[Tensor, "A F"]
    cells: Int32[Tensor, "A"]
    size: tuple[int, int, int]

    @classmethod
    def dense(cls, features: Float[Tensor, "R F H W"]) -> "Backend":
        """Make a grid in which every cell is active."""
        size = map_size(features)
        return cls(active=cell_rows(features), cells=all_cells(size, features.device), size=size)

    def with_active(self, active: Float[Tensor, "A G"]) -> "Backend":
        """Replace the active features. Raises ValueError as in `Grid`, though here no passive feature would object."""
        check_active(self, active, self.active)
        return replace(self, active=active)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Backend":
        """Apply a row-wise function to the active features."""
        return replace(self, active=function(self.active))

    def subdivide(self, keep: Int[Tensor, "K"], children: Float[Tensor, "4*K F"]) -> "Backend":
        """Go on with the children; everything else is dropped."""
        check_children(self, keep, children, self.active)
        regions, height, width = self.size
        return Backend(
            active=children,
            cells=children_of(self.cells.index_select(0, keep), self.size),
            size=(regions, 2 * height, 2 * width),
        )

    def gather(self, offsets: Int[Tensor, "T 2"]) -> Float[Tensor, "A T F"]:
        """Repeat the active features where all offsets are (0, 0); any other offset is `Unsupported`.

        Waits for the device to read the offsets; `conv2d` does not. Offsets without values (meta) are `Unsupported`.
        """
        if offsets.is_meta or bool(offsets.any()):
            raise Unsupported.reading("gather was asked for neighbours", _STORED)
        return self.active[:, None].expand(-1, offsets.shape[0], -1)

    def sample(self, points: Float[Tensor, "A T 2"]) -> Float[Tensor, "A T F"]:
        """Raise `Unsupported`: a sample lies between cells."""
        raise Unsupported.reading("Bilinear sampling (deformable convolution) reads any cell", _STORED)

    def conv2d(
        self, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int
    ) -> Float[Tensor, "A O"]:
        """Convolve with a 1x1 kernel; a larger one is `Unsupported`."""
        far = reach(weight.shape[-1], dilation)
        if far:
            raise Unsupported.reading(f"The convolution reads cells {far} away", _STORED)
        return contract(self.active[:, None], weight, bias)

    def depthwise(
        self, weight: Float[Tensor, "D k k F"], bias: Float[Tensor, "F"] | None, dilations: Sequence[int]
    ) -> Float[Tensor, "A F"]:
        """Convolve with 1x1 kernels; larger ones are `Unsupported`."""
        far = max(reach(weight.shape[1], dilation) for dilation in dilations)
        if far:
            raise Unsupported.reading(f"The depthwise convolution reads cells {far} away", _STORED)
        return contract_channels(self.active[:, None].expand(-1, len(dilations), -1), weight, bias)

    def to_dense(self) -> Float[Tensor, "R F H W"]:
        """Raise `Unsupported`: passive features are not kept."""
        raise Unsupported.reading("A full map shows the passive cells too", _STORED)

    def storage(self) -> dict[str, int]:
        """Bytes stored, e per number: `features` A F e, `index` 4 A, the list of active cells."""
        return {"features": self.active.nbytes, "index": self.cells.nbytes}
