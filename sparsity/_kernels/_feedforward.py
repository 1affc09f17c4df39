"""The feed-forward block as an operation of torch, made like that of `_op`; it has no cells, and rows of any origin.

`torch.ops.sps.feedforward` computes what `FeedforwardCall` describes with the chosen kernel. Its gradient is that of
the reference by autograd, which computes the layers anew. So it saves memory where gradients are wanted, but no time:
heads train with torch's own layers.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from sparsity._kernels._call import FeedforwardCall
from sparsity._kernels._choose import feedforward_kernel_for, kernel_for
from sparsity._kernels._trial import FeedforwardKernel

_TENSORS = (
    "Tensor rows, Tensor added, Tensor scale, Tensor shift, "
    "Tensor weight_in, Tensor bias_in, Tensor weight_out, Tensor bias_out"
)


def feedforward(
    rows: Float[Tensor, "N F"],
    added: Float[Tensor, "N F"],
    *,
    scale: Float[Tensor, "F"],
    shift: Float[Tensor, "F"],
    weight_in: Float[Tensor, "hidden F"],
    bias_in: Float[Tensor, "hidden"],
    weight_out: Float[Tensor, "F hidden"],
    bias_out: Float[Tensor, "F"],
    epsilon: float,
) -> Float[Tensor, "N F"]:
    """Normalise rows, apply a linear layer, ReLU and a linear layer, and add that to other rows; differentiable once.

    In one pass over memory where there is a C compiler (CPU, float32), in blocks elsewhere. All have one dtype and
    device, which autocast does not change.
    """
    return torch.ops.sps.feedforward(rows, added, scale, shift, weight_in, bias_in, weight_out, bias_out, epsilon)


@torch.library.custom_op("sps::feedforward", mutates_args=(), schema=f"({_TENSORS}, float epsilon) -> Tensor")
def _feedforward(*inputs: Any) -> Tensor:
    *tensors, epsilon = inputs
    call = _call([tensor.contiguous() for tensor in tensors], epsilon)
    with torch.autocast(call.rows.device.type, enabled=False):
        return feedforward_kernel_for(call.rows.device, call.rows.dtype).feedforward(call)


def _call(tensors: Sequence[Tensor], epsilon: float) -> FeedforwardCall:
    rows, added, scale, shift, weight_in, bias_in, weight_out, bias_out = tensors
    return FeedforwardCall(
        rows=rows,
        added=added,
        scale=scale,
        shift=shift,
        weight_in=weight_in,
        bias_in=bias_in,
        weight_out=weight_out,
        bias_out=bias_out,
        epsilon=epsilon,
    )


@_feedforward.register_fake
def _feedforward_shape(*inputs: Any) -> Tensor:
    rows = inputs[0]
    return rows.new_empty(rows.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the backward reads; `ctx` is torch's, which has no public type."""
    *tensors, ctx.epsilon = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of all tensors that need one, through the reference."""
    needed = ctx.needs_input_grad[:-1]
    tensors = [one.detach().requires_grad_(asked) for one, asked in zip(ctx.saved_tensors, needed, strict=True)]
    reference = cast(FeedforwardKernel, kernel_for(gradient.device, gradient.dtype, "reference"))
    with torch.enable_grad(), torch.autocast(gradient.device.type, enabled=False):
        output = reference.feedforward(_call(tensors, ctx.epsilon))
    found = iter(torch.autograd.grad(output, [one for one in tensors if one.requires_grad], gradient))
    return (*(next(found) if asked else None for asked in needed), None)


_feedforward.register_autograd(_differentiate, setup_context=_remember)


def feedforward_macs(num_rows: int, weight_shape: Sequence[int]) -> int:
    """Multiply-adds of both layers of a call; the normalisation is counted beside them, as everywhere."""
    hidden, features = weight_shape
    return 2 * num_rows * hidden * features


@register_flop_formula(torch.ops.sps.feedforward)
def _feedforward_flops(
    rows: Sequence[int],
    added: Sequence[int],
    scale: Sequence[int],
    shift: Sequence[int],
    weight_in: Sequence[int],
    *_: object,
    **__: object,
) -> int:
    return 2 * feedforward_macs(rows[0], weight_in)
