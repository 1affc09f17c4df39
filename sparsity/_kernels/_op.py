"""One operation of torch for all kernels: differentiable, counted, traceable, and without values on fake tensors.

`torch.ops.sps.conv` computes what `Call` describes with the kernel of that name, or with the chosen one where the name
is None. The choice is made when numbers are there: a trace or a compiled graph holds the name that it was given.

An operation takes no dataclass: its inputs are the fields of a `Call` in their order, then what else it needs.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from sparsity._kernels._call import Call, num_sign_bytes
from sparsity._kernels._choose import kernel_for

_TENSORS = "Tensor buffer, Tensor rows, Tensor cells, Tensor weight, Tensor? bias"
_FIELDS = f"{_TENSORS}, int[] dilations, bool activation, bool quads"
_NUM_TENSORS, _NUM_FIELDS = 5, 8


def convolve(call: Call, kernel: str | None) -> Float[Tensor, "A O"]:
    """Compute a sparse convolution with a kernel, differentiable in buffer, weight and bias.

    Under autocast it computes in the type of autocast, like a matrix product. Raises ValueError where weights have
    another type or are on another device, for an unknown kernel and for one that cannot run there.
    """
    buffer, weight, bias = alike(call.buffer, call.weight, call.bias)
    is_learning = any(given is not None and given.requires_grad for given in (buffer, weight, bias))
    keep_signs = call.activation and is_learning and torch.is_grad_enabled()
    settings = (list(call.dilations), call.activation, call.quads)
    result, _ = torch.ops.sps.conv(buffer, call.rows, call.cells, weight, bias, *settings, keep_signs, kernel)
    return result


def alike(
    buffer: Float[Tensor, "N F"], weight: Float[Tensor, "*weight"], bias: Float[Tensor, "*bias"] | None
) -> tuple[Float[Tensor, "N F"], Float[Tensor, "*weight"], Float[Tensor, "*bias"] | None]:
    """All in the type of autocast, if it is on. Raises ValueError where types or devices then differ."""
    device = buffer.device.type
    can_cast = torch.amp.is_autocast_available(device) and buffer.dtype != torch.float64
    if can_cast and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        buffer, weight, bias = buffer.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None and (given.dtype, given.device) != (buffer.dtype, buffer.device):
            raise ValueError(
                f"The {name} is {given.dtype} on {given.device}; the features are {buffer.dtype} on {buffer.device}; "
                "convert one to the other."
            )
    return buffer, weight, bias


@torch.library.custom_op(
    "sps::conv", mutates_args=(), schema=f"({_FIELDS}, bool keep_signs, str? kernel) -> (Tensor, Tensor)"
)
def _conv(*inputs: Any) -> tuple[Tensor, Tensor]:
    call, (keep_signs, kernel) = _call(inputs), inputs[_NUM_FIELDS:]
    module = kernel_for(call.buffer.device, call.buffer.dtype, kernel)
    with torch.autocast(call.buffer.device.type, enabled=False):
        return module.forward(call, keep_signs)


@torch.library.custom_op(
    "sps::conv_backward",
    mutates_args=(),
    schema=f"({_FIELDS}, str? kernel, Tensor signs, Tensor gradient, bool[] needed) -> (Tensor, Tensor, Tensor)",
)
def _conv_backward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    call, (kernel, signs, gradient, needed) = _call(inputs), inputs[_NUM_FIELDS:]
    assert not call.activation or signs.shape[2], "the forward was told not to keep signs"
    module = kernel_for(call.buffer.device, call.buffer.dtype, kernel)
    of_buffer, of_weight, of_bias = needed
    with torch.autocast(call.buffer.device.type, enabled=False):
        return module.backward(call, signs.contiguous(), gradient.contiguous(), (of_buffer, of_weight, of_bias))


def _call(inputs: Sequence[Any]) -> Call:
    """All tensors contiguous, as kernels may expect, but the weight: a copy of it would be most of the peak memory."""
    buffer, rows, cells, weight, bias, dilations, activation, quads = inputs[:_NUM_FIELDS]
    return Call(
        buffer=buffer.contiguous(),
        rows=rows.contiguous(),
        cells=cells.contiguous(),
        weight=weight,
        bias=None if bias is None else bias.contiguous(),
        dilations=tuple(dilations),
        activation=activation,
        quads=quads,
    )


@_conv.register_fake
def _conv_shapes(*inputs: Any) -> tuple[Tensor, Tensor]:
    buffer, _, cells, weight, *_, keep_signs, _ = inputs
    num_active, (num_branches, outputs) = cells.shape[0], weight.shape[:2]
    num_bytes = num_sign_bytes(outputs) if keep_signs else 0
    signs = buffer.new_empty((num_active, num_branches, num_bytes), dtype=torch.uint8)
    return buffer.new_empty((num_active, outputs)), signs


@_conv_backward.register_fake
def _conv_backward_shapes(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    buffer, _, _, weight, *_, needed = inputs
    shapes = (buffer.shape, weight.shape, weight.shape[:2])
    first, second, third = (
        buffer.new_empty(shape if asked else (0,)) for shape, asked in zip(shapes, needed, strict=True)
    )
    return first, second, third


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep what the backward reads; `ctx` is torch's, which has no public type."""
    *of_call, _, kernel = inputs
    _, signs = output
    ctx.save_for_backward(*of_call[:_NUM_TENSORS], signs)
    ctx.settings = (*of_call[_NUM_TENSORS:], kernel)


def _differentiate(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of buffer, weight and bias, in the places of these among the inputs of `sps::conv`."""
    *tensors, signs = ctx.saved_tensors
    needs = ctx.needs_input_grad
    needed = [needs[0], needs[3], needs[4]]
    found = torch.ops.sps.conv_backward(*tensors, *ctx.settings, signs, gradient, needed)
    of_buffer, of_weight, of_bias = (one if asked else None for one, asked in zip(found, needed, strict=True))
    return (of_buffer, None, None, of_weight, of_bias, None, None, None, None, None)


_conv.register_autograd(_differentiate, setup_context=_remember)


def macs(num_active: int, weight_shape: Sequence[int]) -> int:
    """Multiply-adds of a call: every active cell meets every weight once, whatever the kernel does to save some."""
    num_branches, outputs, num_taps, features = weight_shape
    return num_active * num_branches * outputs * num_taps * features


@register_flop_formula(torch.ops.sps.conv)
def _conv_flops(
    buffer: Sequence[int], rows: Sequence[int], cells: Sequence[int], weight: Sequence[int], *_: object, **__: object
) -> int:
    return 2 * macs(cells[0], weight)


@register_flop_formula(torch.ops.sps.conv_backward)
def _conv_backward_flops(
    buffer: Sequence[int],
    rows: Sequence[int],
    cells: Sequence[int],
    weight: Sequence[int],
    *others: object,
    **__: object,
) -> int:
    of_buffer, of_weight, _ = cast(Sequence[bool], others[-1])
    return 2 * macs(cells[0], weight) * (of_buffer + of_weight)
