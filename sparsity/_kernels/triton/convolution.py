"""The convolution on the GPU: one Triton kernel for all branches, and the lookup of neighbours that all kernels share.

A row number is looked up where it is used, from the index map: no table of neighbours is stored. What stays the same
during a run (features, outputs, taps, dilations) is a compile-time constant in capitals; counts of cells change from
image to image and must not lead to a new compilation: `do_not_specialize`. `no_type_check` keeps run-time type
checkers from wrapping what Triton must read as source.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def dilation_of(branch, DILATIONS: tl.constexpr):
    """Dilation of a branch, or of one branch per lane: a tuple of constants cannot be indexed by a variable."""
    dilation = branch * 0 + DILATIONS[0]
    for other in tl.static_range(1, len(DILATIONS)):
        dilation = tl.where(branch == other, DILATIONS[other], dilation)
    return dilation


@triton.jit
@no_type_check
def neighbor_rows(rows, cell, valid, tap, dilation, height, width, SIDE: tl.constexpr):
    """Buffer row that the neighbour of a cell shows; 0, the zero row, outside the lattice and where not `valid`."""
    down = (tap // SIDE - SIDE // 2) * dilation
    right = (tap % SIDE - SIDE // 2) * dilation
    y = (cell // width) % height + down
    x = cell % width + right
    inside = valid & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return tl.load(rows + cell + down * width + right, mask=inside, other=0)


@triton.jit(do_not_specialize=["num_active", "num_rows", "shift"])
@no_type_check
def convolve(
    buffer,
    rows,
    cells,
    weight,
    bias,
    out,
    signs,
    num_active,
    num_rows,
    shift,
    height,
    width,
    FEATURES: tl.constexpr,
    OUTPUTS: tl.constexpr,
    SIDE: tl.constexpr,
    DILATIONS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    KEEP_SIGNS: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_CELLS: tl.constexpr,
    BLOCK_OUTPUTS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Convolve BLOCK_CELLS active cells to BLOCK_OUTPUTS outputs: bias, activation and branch sum stay in registers.

    `shift` is subtracted from row numbers and what falls below zero reads the zero row: with the number of passive
    rows, `buffer` has the zero row and the active rows only. `num_rows` is the distance of the branches in `buffer`,
    0 where all read the same rows.
    """
    TAPS: tl.constexpr = SIDE * SIDE
    DEPTH: tl.constexpr = (FEATURES + BLOCK_FEATURES - 1) // BLOCK_FEATURES
    BYTES: tl.constexpr = (OUTPUTS + 7) // 8
    BRANCHES: tl.constexpr = len(DILATIONS)
    index = tl.program_id(0) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    output = tl.program_id(1) * BLOCK_OUTPUTS + tl.arange(0, BLOCK_OUTPUTS)
    valid = index < num_active
    cell = tl.load(cells + index, mask=valid, other=0)
    position = index.to(tl.int64)[:, None]
    total = tl.zeros((BLOCK_CELLS, BLOCK_OUTPUTS), tl.float32)
    for branch in range(BRANCHES):
        dilation = dilation_of(branch, DILATIONS)
        source = buffer + tl.cast(num_rows, tl.int64) * branch * FEATURES
        value = tl.zeros((BLOCK_CELLS, BLOCK_OUTPUTS), tl.float32)
        for step in range(TAPS * DEPTH):
            tap = step // DEPTH
            feature = step % DEPTH * BLOCK_FEATURES + tl.arange(0, BLOCK_FEATURES)
            row = tl.maximum(neighbor_rows(rows, cell, valid, tap, dilation, height, width, SIDE) - shift, 0)
            taken = tl.load(
                source + row.to(tl.int64)[:, None] * FEATURES + feature[None, :],
                mask=feature[None, :] < FEATURES,
                other=0.0,
            )
            factor = tl.load(
                weight + ((branch * OUTPUTS + output[None, :]) * TAPS + tap) * FEATURES + feature[:, None],
                mask=(feature[:, None] < FEATURES) & (output[None, :] < OUTPUTS),
                other=0.0,
            )
            value = tl.dot(taken, factor, value, input_precision=PRECISION)
        if HAS_BIAS:
            value += tl.load(bias + branch * OUTPUTS + output, mask=output < OUTPUTS, other=0.0)[None, :]
        if KEEP_SIGNS:
            bits = tl.reshape((value > 0).to(tl.int32), (BLOCK_CELLS, BLOCK_OUTPUTS // 8, 8))
            packed = tl.sum(bits << tl.arange(0, 8)[None, None, :], axis=2)
            byte = tl.program_id(1) * (BLOCK_OUTPUTS // 8) + tl.arange(0, BLOCK_OUTPUTS // 8)[None, :]
            tl.store(
                signs + (position * BRANCHES + branch) * BYTES + byte,
                packed.to(tl.uint8),
                mask=valid[:, None] & (byte < BYTES),
            )
        if ACTIVATION:
            # Not a maximum, which would turn NaN into zero.
            value = tl.where(value < 0, 0.0, value)
        total += value
    tl.store(
        out + position * OUTPUTS + output[None, :],
        total.to(out.dtype.element_ty),
        mask=valid[:, None] & (output[None, :] < OUTPUTS),
    )
