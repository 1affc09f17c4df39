"""Starts the Triton kernels: shapes to constants, grids, tiles, and what torch does around them.

Nothing here waits for the device or looks at values, so all of it can be captured in a CUDA graph.
"""

from math import isqrt

import torch
import triton
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sparsity._kernels import Call, DepthwiseCall
from sparsity._kernels.triton import convolution, gradients
from sparsity._kernels.triton.tune import Tiles, convolution_tiles, passive_tiles, tuned, weight_tiles

# Elements per program where a kernel does nothing but read and write.
BLOCK = 1024
# Enough programs of `weight_gradient` to keep every processor of a large GPU busy for a few rounds.
NUM_PROGRAMS = 1024


def convolve(
    call: Call,
    source: Float[Tensor, "sources M C"],
    weight: Float[Tensor, "D G T C"],
    out: Float[Tensor, "A G"],
    *,
    shift: int,
    bias: Float[Tensor, "D G"] | None,
    activation: bool,
    keep_signs: bool,
) -> UInt8[Tensor, "A D _"]:
    """Convolve `source` at the cells of `call` into `out` and give the signs.

    `source` has one matrix per branch, or one for all. Row `r` of the index map is its row `r - shift`; rows below are
    zero, like row 0.
    """
    (num_branches, outputs, taps, features), num_active = weight.shape, call.cells.shape[0]
    signs = torch.empty(
        num_active, num_branches, triton.cdiv(outputs, 8) if keep_signs else 0, dtype=torch.uint8, device=out.device
    )
    dilations, precision = dilations_of(call), _precision()

    def launch(tiles: Tiles) -> None:
        convolution.convolve[triton.cdiv(num_active, tiles.cells), triton.cdiv(outputs, tiles.outputs)](
            source,
            call.rows,
            call.cells,
            weight,
            weight if bias is None else bias,
            out,
            signs,
            num_active,
            _rows_apart(source),
            shift,
            *call.rows.shape[1:],
            FEATURES=features,
            OUTPUTS=outputs,
            SIDE=isqrt(taps),
            DILATIONS=dilations,
            ACTIVATION=activation,
            HAS_BIAS=bias is not None,
            KEEP_SIGNS=keep_signs,
            PRECISION=precision,
            BLOCK_CELLS=tiles.cells,
            BLOCK_OUTPUTS=tiles.outputs,
            BLOCK_FEATURES=tiles.features,
            num_warps=tiles.num_warps,
            num_stages=tiles.num_stages,
        )

    candidates = convolution_tiles(features, outputs, out.element_size())
    constants = (features, outputs, num_branches, taps, activation, precision)
    launch(tuned("convolve", constants, num_active, out, candidates, launch))
    return signs


def mask_gradient(
    call: Call, signs: UInt8[Tensor, "A D _"], gradient: Float[Tensor, "A O"]
) -> Float[Tensor, "sources A+1 O"]:
    """Output gradients with a zero row in front: per branch where a sign decides, else one matrix for all."""
    num_active, outputs = gradient.shape
    if not call.activation:
        return torch.cat((gradient.new_zeros(1, outputs), gradient))[None]
    num_branches = len(call.dilations)
    masked = gradient.new_empty(num_branches, num_active + 1, outputs)
    gradients.mask_gradient[triton.cdiv((num_active + 1) * outputs, BLOCK), num_branches](
        gradient, signs, masked, num_active, OUTPUTS=outputs, BRANCHES=num_branches, BLOCK=BLOCK
    )
    return masked


def weight_gradient(call: Call, received: Float[Tensor, "sources M O"]) -> Float[Tensor, "D O T F"]:
    """Gradient of the weight, from masked gradients: each program sums a part of the cells, then torch the parts."""
    (num_branches, outputs, taps, features), num_active = call.weight.shape, call.cells.shape[0]
    dilations, precision = dilations_of(call), _precision()

    def launch(tiles: Tiles) -> Float[Tensor, "parts D O T F"]:
        num_tiles = triton.cdiv(outputs, tiles.outputs) * triton.cdiv(features, tiles.features)
        num_pieces = triton.cdiv(num_active, tiles.cells)
        num_parts = min(num_pieces, triton.cdiv(NUM_PROGRAMS, num_branches * taps * num_tiles))
        partial = torch.empty(num_parts, *call.weight.shape, dtype=torch.float32, device=received.device)
        gradients.weight_gradient[num_branches * taps, num_parts, num_tiles](
            call.buffer,
            call.rows,
            call.cells,
            received,
            partial,
            num_active,
            _rows_apart(received),
            *call.rows.shape[1:],
            FEATURES=features,
            OUTPUTS=outputs,
            SIDE=isqrt(taps),
            DILATIONS=dilations,
            PRECISION=precision,
            BLOCK_CELLS=tiles.cells,
            BLOCK_OUTPUTS=tiles.outputs,
            BLOCK_FEATURES=tiles.features,
            num_warps=tiles.num_warps,
            num_stages=tiles.num_stages,
        )
        return partial

    candidates = weight_tiles(features, outputs, received.element_size())
    constants = (features, outputs, num_branches, taps, precision)
    tiles = tuned("weight_gradient", constants, num_active, received, candidates, launch)
    return launch(tiles).sum(0).to(call.weight.dtype)


def passive_gradient(call: Call, received: Float[Tensor, "sources M O"], out: Float[Tensor, "P F"]) -> None:
    """Write the gradient of the passive rows: sum the sorted readers of each, without an atomic."""
    num_branches, outputs, taps, features = call.weight.shape
    num_passive, precision = out.shape[0], _precision()
    order, starts = sorted_readers(call, num_passive)

    def launch(tiles: Tiles) -> None:
        gradients.passive_gradient[triton.cdiv(num_passive, tiles.cells), triton.cdiv(features, tiles.features)](
            order,
            starts,
            received,
            call.weight,
            out,
            num_passive,
            _rows_apart(received),
            FEATURES=features,
            OUTPUTS=outputs,
            TAPS=taps,
            BRANCHES=num_branches,
            PRECISION=precision,
            BLOCK_CELLS=tiles.cells,
            BLOCK_OUTPUTS=tiles.outputs,
            BLOCK_FEATURES=tiles.features,
            num_warps=tiles.num_warps,
            num_stages=tiles.num_stages,
        )

    candidates = passive_tiles(features, outputs, received.element_size())
    constants = (features, outputs, num_branches, taps, precision)
    launch(tuned("passive_gradient", constants, num_passive, received, candidates, launch))


def sorted_readers(call: Call | DepthwiseCall, num_passive: int) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "ends"]]:
    """All (row, branch, tap, cell) in this order, as `cell * D * T + pair`, and where each (row, branch, tap) begins.

    The sort is stable, so what sums them adds the cells in ascending order.
    """
    num_active, num_pairs = call.cells.shape[0], len(call.dilations) * call.kernel_size**2
    end = num_passive * num_pairs
    keys = torch.empty(
        num_active * num_pairs, dtype=torch.int32 if end < 2**31 else torch.int64, device=call.rows.device
    )
    gradients.passive_pairs[(triton.cdiv(keys.shape[0], BLOCK),)](
        call.rows,
        call.cells,
        keys,
        num_active,
        num_passive,
        *call.rows.shape[1:],
        SIDE=call.kernel_size,
        DILATIONS=dilations_of(call),
        BLOCK=BLOCK,
    )
    ascending, order = keys.sort(stable=True)
    return order, torch.searchsorted(ascending, torch.arange(end + 1, dtype=keys.dtype, device=keys.device))


def dilations_of(call: Call | DepthwiseCall) -> tuple[int, ...]:
    """The dilations, those that leave the lattice all alike: more would only overflow."""
    return tuple(min(dilation, max(call.rows.shape[1:])) for dilation in call.dilations)


def _rows_apart(source: Float[Tensor, "sources M C"]) -> int:
    """Rows from one branch to the next; 0 where all read the same."""
    return 0 if source.shape[0] == 1 else source.shape[1]


def _precision() -> str:
    """The precision of products in float32, that of torch's own, by its name in `tl.dot`; no matter to other types."""
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"
