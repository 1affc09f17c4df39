"""Dense convolution of a stage in both memory layouts: no sparse method may win because its rival got the slower."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bench.backends.stages import DILATIONS, Weights
from sparsity import Grid, unravel

LAYOUTS = {"channels_last": torch.channels_last, "nchw": torch.contiguous_format}


def dense_in_layouts(dense: Grid, weights: Weights, operation: str) -> dict[str, Callable[[], Tensor]]:
    """`linear`, `conv` or `sfm` on the full map of a grid, by layout: every cell is computed, the active returned."""
    place = unravel(dense.cells, dense.size)
    full = dense.to_dense()
    maps = {name: full.contiguous(memory_format=layout) for name, layout in LAYOUTS.items()}
    convolve = {"linear": _linear, "conv": _conv, "sfm": sfm_on_map}[operation]

    def on(of_layout: Float[Tensor, "R F H W"]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            region, row, column = place
            return convolve(of_layout, weights)[region, :, row, column]

        return run

    return {name: on(of_layout) for name, of_layout in maps.items()}


def _linear(full: Float[Tensor, "R F H W"], weights: Weights) -> Float[Tensor, "R F H W"]:
    return F.conv2d(full, weights.linear[:, :, None, None]).relu()


def _conv(full: Float[Tensor, "R F H W"], weights: Weights) -> Float[Tensor, "R F H W"]:
    return F.conv2d(full, weights.branches[0], weights.bias[0], padding=1)


def sfm_on_map(full: Float[Tensor, "R F H W"], weights: Weights) -> Float[Tensor, "R F H W"]:
    """The SFM of all cells, by dense convolutions in the layout of the map."""
    first, *others = (
        F.conv2d(full, weights.branches[branch], weights.bias[branch], padding=dilation, dilation=dilation).relu()
        for branch, dilation in enumerate(DILATIONS)
    )
    return sum(others, first)
