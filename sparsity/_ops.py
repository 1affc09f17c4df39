"""Operations on any grid, written once on `gather` and `sample` (Sec. 3.2): convolutions, SFM, deformable convolution.

They compute the active cells only and read passive cells as they are. A backend that can do better has a method of the
same name, and the operation hands over to it; its result must be the same.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sparsity._grid import Grid
from sparsity._lattice import reach, unravel, window, windows


@runtime_checkable
class OwnConvolution(Protocol):
    """A backend with its own convolution."""

    def conv2d(
        self, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int
    ) -> Float[Tensor, "A O"]:
        """Compute what `sparsity.conv2d` computes."""
        ...


@runtime_checkable
class OwnSemanticFusion(Protocol):
    """A backend with its own branches of the semantic fusion module."""

    def sfm(
        self, weight: Float[Tensor, "D O F 3 3"], bias: Float[Tensor, "D O"], dilations: Sequence[int]
    ) -> Float[Tensor, "A O"]:
        """Compute what `sparsity.sfm` computes."""
        ...


@runtime_checkable
class OwnDepthwise(Protocol):
    """A backend with its own depthwise convolution."""

    def depthwise(
        self, weight: Float[Tensor, "D k k F"], bias: Float[Tensor, "F"] | None, dilations: Sequence[int]
    ) -> Float[Tensor, "A F"]:
        """Compute what `sparsity.depthwise` computes."""
        ...


@runtime_checkable
class OwnDeformableConvolution(Protocol):
    """A backend with its own deformable convolution."""

    def deform_conv2d(
        self,
        weight: Float[Tensor, "O F k k"],
        bias: Float[Tensor, "O"] | None,
        displacement: Float[Tensor, "A k*k 2"],
    ) -> Float[Tensor, "A O"]:
        """Compute what `sparsity.deform_conv2d` computes."""
        ...


def conv2d(
    grid: Grid, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int = 1
) -> Float[Tensor, "A O"]:
    """Convolve at the active cells, stride 1, zeros outside the lattice; weights as in `torch.nn.Conv2d` (Fig. 2).

    Raises ValueError for a kernel that is even or not square, a dilation below 1 or weights for another feature size;
    `Unsupported` where the backend does not store the neighbours.
    """
    _check_square(weight)
    if isinstance(grid, OwnConvolution):
        return grid.conv2d(weight, bias, dilation)
    return contract(grid.gather(window(weight.shape[-1], dilation, weight.device)), weight, bias)


def sfm(
    grid: Grid, weight: Float[Tensor, "D O F 3 3"], bias: Float[Tensor, "D O"], dilations: Sequence[int]
) -> Float[Tensor, "A O"]:
    """Branches of the semantic fusion module: `sum_d relu(conv2d(dilation d))`, each with its own bias (Sec. 3.3).

    Raises ValueError if there are not as many weights and biases as dilations, and like `conv2d`; `Unsupported` too.
    """
    if not weight.shape[0] == bias.shape[0] == len(dilations) or not dilations:
        raise ValueError(
            f"sfm got {weight.shape[0]} weights and {bias.shape[0]} biases for the dilations {tuple(dilations)}; "
            "it needs one weight and one bias per branch, and at least one branch; "
            "stack one [O F 3 3] weight and one [O] bias per dilation."
        )
    _check_square(weight)
    if isinstance(grid, OwnSemanticFusion):
        return grid.sfm(weight, bias, dilations)
    # The activation comes before the sum, so the branches cannot be merged into one larger kernel.
    first, *others = (
        F.relu(conv2d(grid, weight[branch], bias[branch], dilation)) for branch, dilation in enumerate(dilations)
    )
    return sum(others, first)


def depthwise(
    grid: Grid, weight: Float[Tensor, "D k k F"], bias: Float[Tensor, "F"] | None, dilations: Sequence[int]
) -> Float[Tensor, "A F"]:
    """Depthwise convolutions of several dilations, added up, plus one bias: every feature meets itself only.

    `weight[d]` is a square kernel of dilation `dilations[d]`, features last. Zeros outside the lattice. Raises
    ValueError for a kernel that is even or not square, a dilation below 1, a weight that is not one kernel per dilation
    or is for another feature size; `Unsupported` where the backend does not store the neighbours.
    """
    number, side, width, _ = weight.shape
    if side != width or number != len(dilations) or not dilations:
        raise ValueError(
            f"depthwise got weights for {number} kernels of {side} x {width} cells and the dilations "
            f"{tuple(dilations)}; it needs one square kernel per dilation, and at least one; "
            "stack the weights as [dilations, k, k, features]."
        )
    for dilation in dilations:
        reach(side, dilation)
    if isinstance(grid, OwnDepthwise):
        return grid.depthwise(weight, bias, dilations)
    return contract_channels(grid.gather(windows(side, dilations, weight.device)), weight, bias)


def deform_conv2d(
    grid: Grid,
    weight: Float[Tensor, "O F k k"],
    bias: Float[Tensor, "O"] | None,
    displacement: Float[Tensor, "A k*k 2"],
) -> Float[Tensor, "A O"]:
    """Convolve samples at `cell + displacement` (y, x), in cells, one per tap, zeros outside the lattice.

    The regular grid of the taps is part of the displacement, unlike in `torchvision.ops.deform_conv2d`: a displacement
    of `window(k, 1)` gives `conv2d`. Raises ValueError for a kernel that is not square or weights for another feature
    size; `Unsupported` where the backend cannot read arbitrary cells.
    """
    _check_square(weight)
    if isinstance(grid, OwnDeformableConvolution):
        return grid.deform_conv2d(weight, bias, displacement)
    _, row, column = unravel(grid.cells, grid.size)
    # Half precision has too few digits for positions: at cell 100 it knows sixteenths of a cell.
    precision = torch.promote_types(displacement.dtype, torch.float32)
    centers = torch.stack((row, column), dim=-1)[:, None].to(precision)
    return contract(grid.sample(centers + displacement), weight, bias)


def contract(
    taps: Float[Tensor, "A T F"], weight: Float[Tensor, "O G k k"], bias: Float[Tensor, "O"] | None
) -> Float[Tensor, "A O"]:
    """Sum over taps and features: one matrix product with the weights in the order of the gathered taps.

    Raises ValueError for weights of another feature size, `G` not `F`.
    """
    check_weight(weight, taps.shape[-1])
    return F.linear(taps.flatten(1), weight.permute(0, 2, 3, 1).flatten(1), bias)


def contract_channels(
    taps: Float[Tensor, "A T F"], weight: Float[Tensor, "*taps G"], bias: Float[Tensor, "G"] | None
) -> Float[Tensor, "A F"]:
    """Sum over the taps of all branches, every feature on its own; weights in the order of the gathered taps.

    As products of matrices, one per feature, because counters of operations see these and no sums of products. Raises
    ValueError for weights of another feature size.
    """
    check_channels(weight, taps.shape[-1])
    by_feature = torch.bmm(taps.permute(2, 0, 1), weight.flatten(0, -2).T[:, :, None])[:, :, 0].T
    return (by_feature if bias is None else by_feature + bias).contiguous()


def check_weight(weight: Float[Tensor, "*branches O F k k"], num_features: int) -> None:
    """Raise ValueError if weights are not for features of this size."""
    if weight.shape[-3] != num_features:
        raise ValueError(
            f"The weight is for features of size {weight.shape[-3]}; the grid has features of size {num_features}; "
            "convolve before `map` changes the size, or build the layer for the new one."
        )


def check_channels(weight: Float[Tensor, "*taps F"], num_features: int) -> None:
    """Raise ValueError if depthwise weights are not for features of this size."""
    if weight.shape[-1] != num_features:
        raise ValueError(
            f"The depthwise weight is for features of size {weight.shape[-1]}; the grid has features of size "
            f"{num_features}; convolve before `map` changes the size, or build the layer for the new one."
        )


def _check_square(weight: Float[Tensor, "*branches O F k l"]) -> None:
    """Raise ValueError for an oblong kernel, before a backend takes one of its sides for both."""
    height, width = weight.shape[-2:]
    if height != width:
        raise ValueError(
            f"The kernel is {height} x {width} cells; a grid needs a square one; "
            f"pad it with zeros to {max(height, width)} x {max(height, width)}."
        )
