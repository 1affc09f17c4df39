"""The gradients on the GPU, except that of the active rows, which is `convolve` on masked gradients.

    mask_gradient     output gradients, per branch, zero where the branch was not above zero
    weight_gradient   partial sums over active cells, to be added up afterwards
    passive_pairs     which passive row every (cell, branch, tap) reads, as a key to sort by
    passive_gradient  sums over the cells that read a passive row, taken through the weights

No program adds into memory that another one writes, so results are the same every time. `convolution` says how
such kernels are written here.
"""

from typing import no_type_check

import triton
import triton.language as tl

from sparsity._kernels.triton.convolution import dilation_of, neighbor_rows


@triton.jit(do_not_specialize=["num_active"])
@no_type_check
def mask_gradient(
    gradient, signs, masked, num_active, OUTPUTS: tl.constexpr, BRANCHES: tl.constexpr, BLOCK: tl.constexpr
):
    """Write the gradients of one branch, a zero row in front, zero where the branch was not above zero."""
    branch = tl.program_id(1)
    position = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    size = (tl.cast(num_active, tl.int64) + 1) * OUTPUTS
    output = position % OUTPUTS
    valid = (position >= OUTPUTS) & (position < size)
    byte = ((position // OUTPUTS - 1) * BRANCHES + branch) * ((OUTPUTS + 7) // 8) + output // 8
    is_above = (tl.load(signs + byte, mask=valid, other=0).to(tl.int32) >> (output % 8).to(tl.int32)) & 1
    value = tl.load(gradient + position - OUTPUTS, mask=valid & (is_above == 1), other=0.0)
    tl.store(masked + branch * size + position, value, mask=position < size)


@triton.jit(do_not_specialize=["num_active", "num_rows"])
@no_type_check
def weight_gradient(
    buffer,
    rows,
    cells,
    gradient,
    partial,
    num_active,
    num_rows,
    height,
    width,
    FEATURES: tl.constexpr,
    OUTPUTS: tl.constexpr,
    SIDE: tl.constexpr,
    DILATIONS: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_CELLS: tl.constexpr,
    BLOCK_OUTPUTS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Sum gradient x feature over one part of the active cells, for one tap of one branch.

    `gradient` has a zero row in front and `num_rows` rows per branch (0: all branches share them). The parts are the
    second dimension of the launch and the first of `partial`.
    """
    TAPS: tl.constexpr = SIDE * SIDE
    TILES: tl.constexpr = (FEATURES + BLOCK_FEATURES - 1) // BLOCK_FEATURES
    branch = tl.program_id(0) // TAPS
    tap = tl.program_id(0) % TAPS
    output = tl.program_id(2) // TILES * BLOCK_OUTPUTS + tl.arange(0, BLOCK_OUTPUTS)
    feature = tl.program_id(2) % TILES * BLOCK_FEATURES + tl.arange(0, BLOCK_FEATURES)
    dilation = dilation_of(branch, DILATIONS)
    source = gradient + (tl.cast(num_rows, tl.int64) * branch + 1) * OUTPUTS
    share = tl.cdiv(tl.cdiv(num_active, BLOCK_CELLS), tl.num_programs(1)) * BLOCK_CELLS
    first = tl.program_id(1) * share
    total = tl.zeros((BLOCK_OUTPUTS, BLOCK_FEATURES), tl.float32)
    for start in range(first, tl.minimum(first + share, num_active), BLOCK_CELLS):
        index = start + tl.arange(0, BLOCK_CELLS)
        valid = index < num_active
        cell = tl.load(cells + index, mask=valid, other=0)
        row = neighbor_rows(rows, cell, valid, tap, dilation, height, width, SIDE)
        taken = tl.load(
            buffer + row.to(tl.int64)[:, None] * FEATURES + feature[None, :],
            mask=feature[None, :] < FEATURES,
            other=0.0,
        )
        received = tl.load(
            source + index.to(tl.int64)[:, None] * OUTPUTS + output[None, :],
            mask=valid[:, None] & (output[None, :] < OUTPUTS),
            other=0.0,
        )
        total = tl.dot(tl.trans(received), taken, total, input_precision=PRECISION)
    slot = ((tl.program_id(1) * len(DILATIONS) + branch) * OUTPUTS + output[:, None]).to(tl.int64) * TAPS + tap
    tl.store(
        partial + slot * FEATURES + feature[None, :],
        total,
        mask=(output[:, None] < OUTPUTS) & (feature[None, :] < FEATURES),
    )


@triton.jit(do_not_specialize=["num_active", "num_passive"])
@no_type_check
def passive_pairs(
    rows,
    cells,
    keys,
    num_active,
    num_passive,
    height,
    width,
    SIDE: tl.constexpr,
    DILATIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write `passive row * D * T + branch * T + tap` for every (cell, branch, tap); the end for what is not passive."""
    PAIRS: tl.constexpr = len(DILATIONS) * SIDE * SIDE
    position = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = position < tl.cast(num_active, tl.int64) * PAIRS
    cell = tl.load(cells + position // PAIRS, mask=valid, other=0)
    pair = (position % PAIRS).to(tl.int32)
    dilation = dilation_of(pair // (SIDE * SIDE), DILATIONS)
    row = neighbor_rows(rows, cell, valid, pair % (SIDE * SIDE), dilation, height, width, SIDE)
    is_passive = (row > 0) & (row <= num_passive)
    key = tl.where(is_passive, (row - 1).to(tl.int64) * PAIRS + pair, tl.cast(num_passive, tl.int64) * PAIRS)
    tl.store(keys + position, key.to(keys.dtype.element_ty), mask=valid)


@triton.jit(do_not_specialize=["num_rows", "num_passive"])
@no_type_check
def passive_gradient(
    order,
    starts,
    gradient,
    weight,
    out,
    num_passive,
    num_rows,
    FEATURES: tl.constexpr,
    OUTPUTS: tl.constexpr,
    TAPS: tl.constexpr,
    BRANCHES: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_CELLS: tl.constexpr,
    BLOCK_OUTPUTS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Gradient of BLOCK_CELLS passive rows: per tap, sum the gradients of the cells that read them, then the weights.

    `starts` says where the readers of (row, branch, tap) begin in `order`, which holds `cell * D * T + pair`.
    Neighbouring rows have about as many readers, so few lanes idle; a tap that nobody reads costs two loads.
    """
    PAIRS: tl.constexpr = BRANCHES * TAPS
    passive = tl.program_id(0) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    feature = tl.program_id(1) * BLOCK_FEATURES + tl.arange(0, BLOCK_FEATURES)
    valid = passive < num_passive
    total = tl.zeros((BLOCK_CELLS, BLOCK_FEATURES), tl.float32)
    for pair in range(PAIRS):
        slot = starts + passive.to(tl.int64) * PAIRS + pair
        first = tl.load(slot, mask=valid, other=0)
        count = tl.load(slot + 1, mask=valid, other=0) - first
        longest = tl.max(count, axis=0)
        if longest > 0:
            source = gradient + (tl.cast(num_rows, tl.int64) * (pair // TAPS) + 1) * OUTPUTS
            for begin in range(0, OUTPUTS, BLOCK_OUTPUTS):
                output = begin + tl.arange(0, BLOCK_OUTPUTS)
                received = tl.zeros((BLOCK_CELLS, BLOCK_OUTPUTS), tl.float32)
                for turn in range(longest):
                    has_reader = turn < count
                    index = tl.load(order + first + turn, mask=has_reader, other=0) // PAIRS
                    received += tl.load(
                        source + index[:, None] * OUTPUTS + output[None, :],
                        mask=has_reader[:, None] & (output[None, :] < OUTPUTS),
                        other=0.0,
                    )
                factor = tl.load(
                    weight
                    + ((pair // TAPS * OUTPUTS + output[:, None]) * TAPS + pair % TAPS) * FEATURES
                    + feature[None, :],
                    mask=(output[:, None] < OUTPUTS) & (feature[None, :] < FEATURES),
                    other=0.0,
                )
                total = tl.dot(received.to(factor.dtype), factor, total, input_precision=PRECISION)
    tl.store(
        out + passive.to(tl.int64)[:, None] * FEATURES + feature[None, :],
        total.to(out.dtype.element_ty),
        mask=valid[:, None] & (feature[None, :] < FEATURES),
    )
