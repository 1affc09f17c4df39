"""Starts the depthwise Triton kernels. Tiles are not tuned: there is little in a tile that could be better or worse."""

import torch
import triton
from jaxtyping import Float
from torch import Tensor

from sparsity._kernels import DepthwiseCall
from sparsity._kernels.triton import _depthwise
from sparsity._kernels.triton.launch import NUM_PROGRAMS, dilations_of, sorted_readers

TILE = 4096
"""Numbers per program: 32 per thread of four warps."""


def convolve(
    call: DepthwiseCall,
    source: Float[Tensor, "M F"],
    weight: Float[Tensor, "D T F"],
    bias: Float[Tensor, "F"] | None,
    out: Float[Tensor, "A F"],
    *,
    shift: int,
) -> None:
    """Convolve `source` at the cells of `call` into `out`; row `r` of the index map is its row `r - shift` or zero."""
    features, cells = _tile(call)
    num_active, num_features = out.shape
    _depthwise.depthwise[triton.cdiv(num_active, cells), triton.cdiv(num_features, features)](
        source,
        call.rows,
        call.cells,
        weight,
        weight if bias is None else bias,
        out,
        num_active,
        shift,
        *call.rows.shape[1:],
        FEATURES=num_features,
        SIDE=call.kernel_size,
        DILATIONS=dilations_of(call),
        HAS_BIAS=bias is not None,
        BLOCK_CELLS=cells,
        BLOCK_FEATURES=features,
    )


def weight_gradient(call: DepthwiseCall, gradient: Float[Tensor, "A F"]) -> Float[Tensor, "D T F"]:
    """Gradient of the weight: each program sums a part of the cells, then torch the parts."""
    features, cells = _tile(call)
    (num_active, num_features), num_pairs = gradient.shape, call.weight[..., 0].numel()
    num_tiles = triton.cdiv(num_features, features)
    num_parts = min(triton.cdiv(num_active, cells), triton.cdiv(NUM_PROGRAMS, num_pairs * num_tiles))
    partial = torch.empty(num_parts, *call.weight.shape, dtype=torch.float32, device=gradient.device)
    _depthwise.depthwise_weight[num_pairs, num_parts, num_tiles](
        call.buffer,
        call.rows,
        call.cells,
        gradient,
        partial,
        num_active,
        *call.rows.shape[1:],
        FEATURES=num_features,
        SIDE=call.kernel_size,
        DILATIONS=dilations_of(call),
        BLOCK_CELLS=cells,
        BLOCK_FEATURES=features,
    )
    return partial.sum(0).to(call.weight.dtype)


def passive_gradient(call: DepthwiseCall, gradient: Float[Tensor, "A F"], out: Float[Tensor, "P F"]) -> None:
    """Write the gradient of the passive rows."""
    features, cells = _tile(call)
    num_passive, num_features = out.shape
    order, starts = sorted_readers(call, num_passive)
    _depthwise.depthwise_passive[triton.cdiv(num_passive, cells), triton.cdiv(num_features, features)](
        order,
        starts,
        gradient,
        call.weight,
        out,
        num_passive,
        FEATURES=num_features,
        PAIRS=call.weight[..., 0].numel(),
        BLOCK_CELLS=cells,
        BLOCK_FEATURES=features,
    )


def _tile(call: DepthwiseCall) -> tuple[int, int]:
    """Features and cells of a program."""
    features = min(max(triton.next_power_of_2(call.buffer.shape[1]), 16), 128)
    return features, TILE // features
