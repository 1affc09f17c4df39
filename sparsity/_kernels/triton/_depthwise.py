"""The depthwise convolution and its gradients on the GPU: no products of matrices, so all is about reading rows once.

`convolution` says how such kernels are written here, and `gradients` how readers of passive rows are found. No program
adds into memory that another one writes, so results are the same every time.
"""

from typing import no_type_check

import triton
import triton.language as tl

from sparsity._kernels.triton.convolution import dilation_of, neighbor_rows


@triton.jit(do_not_specialize=["num_active", "shift"])
@no_type_check
def depthwise(
    buffer,
    rows,
    cells,
    weight,
    bias,
    out,
    num_active,
    shift,
    height,
    width,
    FEATURES: tl.constexpr,
    SIDE: tl.constexpr,
    DILATIONS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    BLOCK_CELLS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Weigh and add up the neighbours of BLOCK_CELLS active cells; `shift` as in `convolve`."""
    TAPS: tl.constexpr = SIDE * SIDE
    index = tl.program_id(0) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    feature = tl.program_id(1) * BLOCK_FEATURES + tl.arange(0, BLOCK_FEATURES)
    valid, is_feature = index < num_active, feature < FEATURES
    cell = tl.load(cells + index, mask=valid, other=0)
    total = tl.zeros((BLOCK_CELLS, BLOCK_FEATURES), tl.float32)
    if HAS_BIAS:
        total += tl.load(bias + feature, mask=is_feature, other=0.0).to(tl.float32)[None, :]
    for pair in range(len(DILATIONS) * TAPS):
        dilation = dilation_of(pair // TAPS, DILATIONS)
        row = neighbor_rows(rows, cell, valid, pair % TAPS, dilation, height, width, SIDE)
        row = tl.maximum(row - shift, 0).to(tl.int64)
        taken = tl.load(buffer + row[:, None] * FEATURES + feature[None, :], mask=is_feature[None, :], other=0.0)
        factor = tl.load(weight + pair * FEATURES + feature, mask=is_feature, other=0.0)
        total += taken.to(tl.float32) * factor.to(tl.float32)[None, :]
    tl.store(
        out + index.to(tl.int64)[:, None] * FEATURES + feature[None, :],
        total.to(out.dtype.element_ty),
        mask=valid[:, None] & is_feature[None, :],
    )


@triton.jit(do_not_specialize=["num_active"])
@no_type_check
def depthwise_weight(
    buffer,
    rows,
    cells,
    gradient,
    partial,
    num_active,
    height,
    width,
    FEATURES: tl.constexpr,
    SIDE: tl.constexpr,
    DILATIONS: tl.constexpr,
    BLOCK_CELLS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Sum gradient x feature over one part of the active cells, for one tap of one branch; `partial` [parts D*T F]."""
    TAPS: tl.constexpr = SIDE * SIDE
    pair = tl.program_id(0)
    feature = tl.program_id(2) * BLOCK_FEATURES + tl.arange(0, BLOCK_FEATURES)
    is_feature = feature < FEATURES
    dilation = dilation_of(pair // TAPS, DILATIONS)
    share = tl.cdiv(tl.cdiv(num_active, BLOCK_CELLS), tl.num_programs(1)) * BLOCK_CELLS
    first = tl.program_id(1) * share
    total = tl.zeros((BLOCK_CELLS, BLOCK_FEATURES), tl.float32)
    for start in range(first, tl.minimum(first + share, num_active), BLOCK_CELLS):
        index = start + tl.arange(0, BLOCK_CELLS)
        valid = index < num_active
        cell = tl.load(cells + index, mask=valid, other=0)
        row = neighbor_rows(rows, cell, valid, pair % TAPS, dilation, height, width, SIDE).to(tl.int64)
        taken = tl.load(buffer + row[:, None] * FEATURES + feature[None, :], mask=is_feature[None, :], other=0.0)
        received = tl.load(
            gradient + index.to(tl.int64)[:, None] * FEATURES + feature[None, :],
            mask=valid[:, None] & is_feature[None, :],
            other=0.0,
        )
        total += taken.to(tl.float32) * received.to(tl.float32)
    slot = tl.program_id(1) * tl.num_programs(0) + pair
    tl.store(partial + slot.to(tl.int64) * FEATURES + feature, tl.sum(total, axis=0), mask=is_feature)


@triton.jit(do_not_specialize=["num_passive"])
@no_type_check
def depthwise_passive(
    order,
    starts,
    gradient,
    weight,
    out,
    num_passive,
    FEATURES: tl.constexpr,
    PAIRS: tl.constexpr,
    BLOCK_CELLS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Gradient of BLOCK_CELLS passive rows: per tap, sum the gradients of the cells that read them, then the weight.

    `order` and `starts` as in `passive_gradient`.
    """
    passive = tl.program_id(0) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    feature = tl.program_id(1) * BLOCK_FEATURES + tl.arange(0, BLOCK_FEATURES)
    valid, is_feature = passive < num_passive, feature < FEATURES
    total = tl.zeros((BLOCK_CELLS, BLOCK_FEATURES), tl.float32)
    for pair in range(PAIRS):
        slot = starts + passive.to(tl.int64) * PAIRS + pair
        first = tl.load(slot, mask=valid, other=0)
        count = tl.load(slot + 1, mask=valid, other=0) - first
        longest = tl.max(count, axis=0)
        if longest > 0:
            received = tl.zeros((BLOCK_CELLS, BLOCK_FEATURES), tl.float32)
            for turn in range(longest):
                has_reader = turn < count
                index = tl.load(order + first + turn, mask=has_reader, other=0) // PAIRS
                received += tl.load(
                    gradient + index[:, None] * FEATURES + feature[None, :],
                    mask=has_reader[:, None] & is_feature[None, :],
                    other=0.0,
                ).to(tl.float32)
            factor = tl.load(weight + pair * FEATURES + feature, mask=is_feature, other=0.0)
            total += received * factor.to(tl.float32)[None, :]
    tl.store(
        out + passive.to(tl.int64)[:, None] * FEATURES + feature[None, :],
        total.to(out.dtype.element_ty),
        mask=valid[:, None] & is_feature[None, :],
    )
