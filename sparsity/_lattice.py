"""Lattice arithmetic: flat cell numbers, their children and neighbours, kernel taps, bilinear interpolation.

Nothing here depends on the values of a tensor for its shapes, so it runs on the `meta` device, inside a trace and
without waiting for a GPU. Cell numbers are int32: `(region * H + row) * W + column`.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor


def map_size(features: Float[Tensor, "R F H W"]) -> tuple[int, int, int]:
    """`(R, H, W)` of a full map. Raises ValueError for a tensor that is none, or that has no floating point numbers."""
    if features.ndim != 4 or not features.is_floating_point():
        raise ValueError(
            f"dense got {features.dtype} of shape {tuple(features.shape)}; a full map is floating point and [R F H W]; "
            "add a dimension for the regions, or convert the numbers."
        )
    regions, _, height, width = features.shape
    return regions, height, width


def all_cells(size: tuple[int, int, int], device: torch.device) -> Int32[Tensor, "N"]:
    """Flat indices of every cell, row-major per region. Raises ValueError where int32 cannot number them."""
    regions, height, width = size
    _check_countable(regions, height, width)
    return torch.arange(regions * height * width, device=device, dtype=torch.int32)


def cell_rows(features: Float[Tensor, "R F H W"]) -> Float[Tensor, "N F"]:
    """Rows of a full map, one per cell in flat order and contiguous: a copy, unless the map is channels last."""
    return features.permute(0, 2, 3, 1).flatten(0, 2).contiguous()


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


def reach(kernel_size: int, dilation: int) -> int:
    """Cells that a kernel reaches to each side.

    Raises ValueError for an even kernel, which has no centre tap, and for a dilation below 1.
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"The kernel is {kernel_size} cells wide; a grid needs an odd one; use {kernel_size + 1}.")
    if dilation < 1:
        raise ValueError(f"The dilation is {dilation}; taps are at least 1 cell apart; use 1 for a plain convolution.")
    return kernel_size // 2 * dilation


def window(kernel_size: int, dilation: int, device: torch.device) -> Int[Tensor, "T 2"]:
    """Offsets `(dy, dx)` of the taps of an odd square kernel, row-major, as `torch.nn.functional.conv2d` orders them.

    Raises ValueError as `reach`.
    """
    steps = torch.arange(kernel_size, device=device, dtype=torch.int32) * dilation - reach(kernel_size, dilation)
    return torch.cartesian_prod(steps, steps)


def windows(kernel_size: int, dilations: Sequence[int], device: torch.device) -> Int[Tensor, "T 2"]:
    """Offsets of the taps of one kernel per dilation, one kernel after the other. Raises ValueError as `reach`."""
    return torch.cat([window(kernel_size, dilation, device) for dilation in dilations])


def children_of(cells: Int[Tensor, "K"], size: tuple[int, int, int]) -> Int[Tensor, "4*K"]:
    """Flat indices, in the lattice of twice the side, of the 2x2 cells inside each of `cells`, child-minor.

    Raises ValueError where int32 cannot number the finer lattice.
    """
    regions, height, width = size
    _check_countable(regions, 2 * height, 2 * width)
    region, row, column = unravel(cells, size)
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
    # No lattice is wider than this, so what is outside stays outside; a larger offset would wrap around in int32.
    far = max(height, width)
    down, right = offsets.long().clamp(-far, far).to(torch.int32).unbind(-1)
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
    where every deformable convolution starts. NaN stays NaN.
    """
    _, height, width = size
    region_start = (cells - cells % (height * width))[:, None]
    # Infinity has no fraction. Everything outside the rim of one cell is zero, so the first place out there will do.
    points = points.clamp(-2, max(height, width) + 1)
    low = points.floor()
    high_weight = points - low
    low_weight = 1 - high_weight
    corners, weights = [], []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = low[..., 0] + down, low[..., 1] + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        # NaN is no integer: replace it, with all that is outside, before the conversion.
        row, column = (torch.where(inside, position, 0).to(torch.int32) for position in (row, column))
        corners.append(region_start + row * width + column)
        weight = (high_weight if down else low_weight)[..., 0] * (high_weight if right else low_weight)[..., 1]
        weights.append(weight * inside)
    rows = row_of(torch.stack(corners, dim=-1).flatten()).view(-1, 4)
    mixture = torch.stack(weights, dim=-1).view(-1, 4).to(features.dtype)
    # Reads and weighs the four corners in one pass, without a buffer of [A T 4 F].
    mixed = F.embedding_bag(rows, features, per_sample_weights=mixture, mode="sum")
    return mixed.unflatten(0, (points.shape[0], points.shape[1]))


def _check_countable(regions: int, height: int, width: int) -> None:
    """Raise ValueError where a lattice has more cells than int32 can number."""
    if regions * height * width > 2**31:
        raise ValueError(
            f"{regions} regions have {height} x {width} cells each; an int32 can number 2^31 cells in all; "
            "process fewer regions at a time."
        )
