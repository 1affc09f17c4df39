"""The depthwise operation of torch for all kernels, made like that of `_op`.

`torch.ops.sps.depthwise` computes what `DepthwiseCall` describes with the kernel of that name, or with the
chosen one where the name is None. The gradient of the bias is a sum over rows, for which no kernel is needed.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from sparsity._kernels._call import DepthwiseCall
from sparsity._kernels._choose import depthwise_kernel_for
from sparsity._kernels._op import alike

_FIELDS = "Tensor buffer, Tensor rows, Tensor cells, Tensor weight, Tensor? bias, int[] dilations"


def convolve_depthwise(call: DepthwiseCall, kernel: str | None) -> Float[Tensor, "A F"]:
    """Compute a sparse depthwise convolution with a kernel, differentiable in buffer, weight and bias.

    Under autocast it computes in the type of autocast. Raises ValueError where weights have another type or are on
    another device, for an unknown kernel and for one that cannot run there.
    """
    buffer, weight, bias = alike(call.buffer, call.weight, call.bias)
    return torch.ops.sps.depthwise(buffer, call.rows, call.cells, weight, bias, list(call.dilations), kernel)


@torch.library.custom_op("sps::depthwise", mutates_args=(), schema=f"({_FIELDS}, str? kernel) -> Tensor")
def _depthwise(*inputs: Any) -> Tensor:
    call, kernel = _call(*inputs[:-1]), inputs[-1]
    module = depthwise_kernel_for(call.buffer.device, call.buffer.dtype, kernel)
    with torch.autocast(call.buffer.device.type, enabled=False):
        return module.depthwise(call)


@torch.library.custom_op(
    "sps::depthwise_backward",
    mutates_args=(),
    schema="(Tensor buffer, Tensor rows, Tensor cells, Tensor weight, int[] dilations, str? kernel, Tensor gradient, "
    "bool[] needed) -> (Tensor, Tensor)",
)
def _depthwise_backward(*inputs: Any) -> tuple[Tensor, Tensor]:
    buffer, rows, cells, weight, dilations, kernel, gradient, (of_buffer, of_weight) = inputs
    call = _call(buffer, rows, cells, weight, None, dilations)
    module = depthwise_kernel_for(call.buffer.device, call.buffer.dtype, kernel)
    with torch.autocast(call.buffer.device.type, enabled=False):
        return module.depthwise_backward(call, gradient.contiguous(), (of_buffer, of_weight))


def _call(
    buffer: Tensor, rows: Tensor, cells: Tensor, weight: Tensor, bias: Tensor | None, dilations: Sequence[int]
) -> DepthwiseCall:
    """All tensors contiguous, as kernels may expect."""
    return DepthwiseCall(
        buffer=buffer.contiguous(),
        rows=rows.contiguous(),
        cells=cells.contiguous(),
        weight=weight.contiguous(),
        bias=None if bias is None else bias.contiguous(),
        dilations=tuple(dilations),
    )


@_depthwise.register_fake
def _depthwise_shape(*inputs: Any) -> Tensor:
    buffer, _, cells, *_ = inputs
    return buffer.new_empty((cells.shape[0], buffer.shape[1]))


@_depthwise_backward.register_fake
def _depthwise_backward_shapes(*inputs: Any) -> tuple[Tensor, Tensor]:
    buffer, _, _, weight, *_, (of_buffer, of_weight) = inputs
    return (
        buffer.new_empty(buffer.shape if of_buffer else (0,)),
        buffer.new_empty(weight.shape if of_weight else (0,)),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the backward reads; `ctx` is torch's, which has no public type."""
    *tensors, _, dilations, kernel = inputs
    ctx.save_for_backward(*tensors)
    ctx.settings = (dilations, kernel)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of buffer, weight and bias, in the places of these among the inputs of `sps::depthwise`."""
    for_buffer, _, _, for_weight, for_bias, *_ = ctx.needs_input_grad
    of_buffer = of_weight = None
    if for_buffer or for_weight:
        needed = [for_buffer, for_weight]
        found = torch.ops.sps.depthwise_backward(*ctx.saved_tensors, *ctx.settings, gradient, needed)
        of_buffer, of_weight = (one if asked else None for one, asked in zip(found, needed, strict=True))
    return of_buffer, None, None, of_weight, gradient.sum(0) if for_bias else None, None, None


_depthwise.register_autograd(_differentiate, setup_context=_remember)


def depthwise_macs(num_active: int, weight_shape: Sequence[int]) -> int:
    """Multiply-adds of a call: every feature of every active cell meets its weight of every tap once."""
    return num_active * prod(weight_shape)


@register_flop_formula(torch.ops.sps.depthwise)
def _depthwise_flops(
    buffer: Sequence[int], rows: Sequence[int], cells: Sequence[int], weight: Sequence[int], *_: object, **__: object
) -> int:
    return 2 * depthwise_macs(cells[0], weight)


@register_flop_formula(torch.ops.sps.depthwise_backward)
def _depthwise_backward_flops(
    buffer: Sequence[int],
    rows: Sequence[int],
    cells: Sequence[int],
    weight: Sequence[int],
    *others: object,
    **__: object,
) -> int:
    return 2 * depthwise_macs(cells[0], weight) * sum(cast(Sequence[bool], others[-1]))
