"""Dense: a full map, and convolutions and SFM compute every cell (Sec. 3.2; RefineMask and Table 5's DenseSFM work so).

Pointwise layers and deformable convolution compute the active cells, as in every backend. Only the results of active
cells are returned or written ("masked dense"), so the outcome is that of the sparse backends and the cost is that of a
dense head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sparsity import FullMap, check_channels, check_weight, reach


@dataclass(frozen=True, kw_only=True, eq=False)
class Backend(FullMap):
    """A grid that stores a feature for every cell and convolves them all."""

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

    def depthwise(
        self, weight: Float[Tensor, "D k k F"], bias: Float[Tensor, "F"] | None, dilations: Sequence[int]
    ) -> Float[Tensor, "A F"]:
        """Compute the depthwise convolutions at all cells and return the active ones."""
        check_channels(weight, self.features.shape[1])
        kernels = weight.permute(0, 3, 1, 2)[:, :, None]
        first, *others = (
            F.conv2d(
                self.to_dense(),
                kernels[branch],
                None if branch else bias,
                padding=reach(weight.shape[1], dilation),
                dilation=dilation,
                groups=weight.shape[3],
            )
            for branch, dilation in enumerate(dilations)
        )
        return self._at_cells(sum(others, first))

    def _convolve(
        self, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int
    ) -> Float[Tensor, "R O H W"]:
        """Convolve the whole map with zero padding."""
        check_weight(weight, self.features.shape[1])
        padding = reach(weight.shape[-1], dilation)
        return F.conv2d(self.to_dense(), weight, bias, padding=padding, dilation=dilation)

    def _at_cells(self, full: Float[Tensor, "R O H W"]) -> Float[Tensor, "A O"]:
        """Rows of the active cells of a full map."""
        return full.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, self.cells)
