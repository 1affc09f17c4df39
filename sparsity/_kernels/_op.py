"""One operation of torch for all kernels: differentiable, counted, traceable, and without values on fake tensors.

`torch.ops.sps.conv` computes what `Call` describes with the kernel of that name, or with the chosen one where the name
is None. The choice is made when numbers are there: a trace or a compiled graph holds the name that it was given.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int32, UInt8
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from sparsity._kernels._call import Call, num_sign_bytes
from sparsity._kernels._choose import kernel_for


def convolve(
    buffer: Float[Tensor, "N F"],
    rows: Int32[Tensor, "R H W"],
    cells: Int32[Tensor, "A"],
    weight: Float[Tensor, "D O T F"],
    bias: Float[Tensor, "D O"] | None,
    *,
    dilations: Sequence[int],
    activation: bool,
    quads: bool,
    kernel: str | None,
) -> Float[Tensor, "A O"]:
    """Compute a sparse convolution with a kernel, differentiable in buffer, weight and bias; `Call` says what it is.

    Under autocast it computes in the type of autocast, like a matrix product. Raises ValueError where weights have
    another type or are on another device, for an unknown kernel and for one that cannot run there.
    """
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
    is_learning = any(given is not None and given.requires_grad for given in (buffer, weight, bias))
    keep_signs = activation and is_learning and torch.is_grad_enabled()
    result, _ = torch.ops.sps.conv(
        buffer, rows, cells, weight, bias, list(dilations), activation, quads, keep_signs, kernel
    )
    return result


@torch.library.custom_op(
    "sps::conv",
    mutates_args=(),
    schema="(Tensor buffer, Tensor rows, Tensor cells, Tensor weight, Tensor? bias, int[] dilations, bool activation, "
    "bool quads, bool keep_signs, str? kernel) -> (Tensor, Tensor)",
)
def _conv(
    buffer: Float[Tensor, "N F"],
    rows: Int32[Tensor, "R H W"],
    cells: Int32[Tensor, "A"],
    weight: Float[Tensor, "D O T F"],
    bias: Float[Tensor, "D O"] | None,
    dilations: Sequence[int],
    activation: bool,
    quads: bool,
    keep_signs: bool,
    kernel: str | None,
) -> tuple[Float[Tensor, "A O"], UInt8[Tensor, "A D _"]]:
    call = _call(buffer, rows, cells, weight, bias, dilations, activation, quads)
    module = kernel_for(buffer.device, buffer.dtype, kernel)
    with torch.autocast(buffer.device.type, enabled=False):
        return module.forward(call, keep_signs)


@torch.library.custom_op(
    "sps::conv_backward",
    mutates_args=(),
    schema="(Tensor buffer, Tensor rows, Tensor cells, Tensor weight, Tensor? bias, int[] dilations, bool activation, "
    "bool quads, str? kernel, Tensor signs, Tensor gradient, bool[] needed) -> (Tensor, Tensor, Tensor)",
)
def _conv_backward(
    buffer: Float[Tensor, "N F"],
    rows: Int32[Tensor, "R H W"],
    cells: Int32[Tensor, "A"],
    weight: Float[Tensor, "D O T F"],
    bias: Float[Tensor, "D O"] | None,
    dilations: Sequence[int],
    activation: bool,
    quads: bool,
    kernel: str | None,
    signs: UInt8[Tensor, "A D _"],
    gradient: Float[Tensor, "A O"],
    needed: Sequence[bool],
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    call = _call(buffer, rows, cells, weight, bias, dilations, activation, quads)
    assert not activation or signs.shape[2], "the forward was told not to keep signs"
    module = kernel_for(buffer.device, buffer.dtype, kernel)
    of_buffer, of_weight, of_bias = needed
    with torch.autocast(buffer.device.type, enabled=False):
        return module.backward(call, signs.contiguous(), gradient.contiguous(), (of_buffer, of_weight, of_bias))


def _call(
    buffer: Float[Tensor, "N F"],
    rows: Int32[Tensor, "R H W"],
    cells: Int32[Tensor, "A"],
    weight: Float[Tensor, "D O T F"],
    bias: Float[Tensor, "D O"] | None,
    dilations: Sequence[int],
    activation: bool,
    quads: bool,
) -> Call:
    """All tensors contiguous, as kernels may expect, but the weight: a copy of it would be most of the peak memory."""
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
def _conv_shapes(
    buffer: Tensor,
    rows: Tensor,
    cells: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilations: Sequence[int],
    activation: bool,
    quads: bool,
    keep_signs: bool,
    kernel: str | None,
) -> tuple[Tensor, Tensor]:
    num_active, (num_branches, outputs) = cells.shape[0], weight.shape[:2]
    num_bytes = num_sign_bytes(outputs) if keep_signs else 0
    signs = buffer.new_empty((num_active, num_branches, num_bytes), dtype=torch.uint8)
    return buffer.new_empty((num_active, outputs)), signs


@_conv_backward.register_fake
def _conv_backward_shapes(
    buffer: Tensor,
    rows: Tensor,
    cells: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilations: Sequence[int],
    activation: bool,
    quads: bool,
    kernel: str | None,
    signs: Tensor,
    gradient: Tensor,
    needed: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (buffer.shape, weight.shape, weight.shape[:2])
    first, second, third = (
        buffer.new_empty(shape if asked else (0,)) for shape, asked in zip(shapes, needed, strict=True)
    )
    return first, second, third


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep what the backward reads; `ctx` is torch's, which has no public type."""
    buffer, rows, cells, weight, bias, dilations, activation, quads, _, kernel = inputs
    _, signs = output
    ctx.save_for_backward(buffer, rows, cells, weight, bias, signs)
    ctx.settings = (dilations, activation, quads, kernel)


def _differentiate(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of buffer, weight and bias, in the places of these among the inputs of `sps::conv`."""
    buffer, rows, cells, weight, bias, signs = ctx.saved_tensors
    needs = ctx.needs_input_grad
    needed = [needs[0], needs[3], needs[4]]
    found = torch.ops.sps.conv_backward(buffer, rows, cells, weight, bias, *ctx.settings, signs, gradient, needed)
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
