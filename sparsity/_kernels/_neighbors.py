"""Buffer rows of all neighbours, by a lookup in a map with a margin of zero rows around every region."""

import torch.nn.functional as F
from jaxtyping import Int32
from torch import Tensor

from sparsity._kernels._call import Call
from sparsity._lattice import reach, unravel, window


def neighbor_rows(call: Call) -> list[Int32[Tensor, "A T"]]:
    """Row of every tap's neighbour of every active cell, by branch; outside the lattice row 0.

    In the margin there is nothing to decide per neighbour: one addition and one lookup, which is half the time of
    asking each whether it is inside. The margin is as wide as the taps reach, but no wider than the lattice, beyond
    which everything is outside.
    """
    regions, height, width = call.rows.shape
    kernel_size = round(call.weight.shape[2] ** 0.5)
    margin = min(max(reach(kernel_size, dilation) for dilation in call.dilations), max(height, width))
    padded = F.pad(call.rows, (margin, margin, margin, margin))
    _, padded_height, padded_width = padded.shape
    region, row, column = unravel(call.cells, (regions, height, width))
    if padded.numel() > 2**31:
        region = region.long()
    place = (region * padded_height + row + margin) * padded_width + column + margin
    found = []
    for dilation in call.dilations:
        down, right = window(kernel_size, dilation, call.cells.device).clamp(-margin, margin).unbind(1)
        places = place[:, None] + (down * padded_width + right)
        found.append(padded.flatten().index_select(0, places.flatten()).view(places.shape))
    return found
