"""GPU: one Triton launch per convolution of all branches, rows looked up inside it, tiles tuned and remembered.

The products of float32 follow `torch.backends.cuda.matmul`: exact by default, and then without tensor cores.
"""

from dataclasses import replace
from importlib.util import find_spec

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sparsity._kernels import Call, DepthwiseCall


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why this kernel cannot run there; None where it can."""
    if device.type != "cuda":
        return f"it runs on GPUs, not on {device.type}"
    if not torch.cuda.is_available():
        return "torch finds no GPU"
    if find_spec("triton") is None:
        return "triton is not installed; it comes with the CUDA builds of torch"
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"it computes in float32, bfloat16 and float16, not in {str(dtype).removeprefix('torch.')}"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "Triton needs a GPU of compute capability 8.0 or more"
    return None


def forward(call: Call, keep_signs: bool) -> tuple[Float[Tensor, "A O"], UInt8[Tensor, "A D _"]]:
    """Output and signs, as `Call` says."""
    # Triton is missing beside a torch without CUDA, and `list` and `unavailable` must work there.
    from sparsity._kernels.triton import launch as launch

    out = call.buffer.new_empty(call.cells.shape[0], call.weight.shape[1])
    with torch.cuda.device_of(out):
        signs = launch.convolve(
            call,
            call.buffer[None],
            call.weight.contiguous(),
            out,
            shift=0,
            bias=call.bias,
            activation=call.activation,
            keep_signs=keep_signs,
        )
    return out, signs


def backward(
    call: Call, signs: UInt8[Tensor, "A D _"], gradient: Float[Tensor, "A O"], needed: tuple[bool, bool, bool]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Gradients of buffer, weight and bias; what is not `needed` is empty.

    Only its own cell shows an active row. So its gradient is a convolution too, without a scatter: with mirrored taps
    and transposed weights, of the gradients of the branches, where passive neighbours count as zero.
    """
    from sparsity._kernels.triton import launch as launch

    call = replace(call, weight=call.weight.contiguous())
    needs_buffer, needs_weight, needs_bias = needed
    of_buffer, of_weight, of_bias = (call.buffer.new_empty(0) for _ in range(3))
    with torch.cuda.device_of(gradient):
        received = launch.mask_gradient(call, signs, gradient.contiguous())
        if needs_buffer:
            num_passive = call.buffer.shape[0] - call.cells.shape[0] - 1
            of_buffer = torch.empty_like(call.buffer)
            of_buffer[0] = 0
            launch.passive_gradient(call, received, of_buffer[1 : 1 + num_passive])
            launch.convolve(
                call,
                received,
                call.weight.flip(2).permute(0, 3, 2, 1).contiguous(),
                of_buffer[1 + num_passive :],
                shift=num_passive,
                bias=None,
                activation=False,
                keep_signs=False,
            )
        if needs_weight:
            of_weight = launch.weight_gradient(call, received)
        if needs_bias:
            of_bias = (
                received.sum(1, dtype=torch.float32).to(gradient.dtype).repeat(len(call.dilations) // len(received), 1)
            )
    return of_buffer, of_weight, of_bias


def depthwise(call: DepthwiseCall) -> Float[Tensor, "A F"]:
    """Output, as `DepthwiseCall` says."""
    from sparsity._kernels.triton import _launch_depthwise as launch

    out = call.buffer.new_empty(call.cells.shape[0], call.buffer.shape[1])
    with torch.cuda.device_of(out):
        launch.convolve(call, call.buffer, call.weight, call.bias, out, shift=0)
    return out


def depthwise_backward(
    call: DepthwiseCall, gradient: Float[Tensor, "A F"], needed: tuple[bool, bool]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Gradients of buffer and weight, as `backward`."""
    from sparsity._kernels.triton import _launch_depthwise as launch

    needs_buffer, needs_weight = needed
    of_buffer, of_weight = call.buffer.new_empty(0), call.buffer.new_empty(0)
    with torch.cuda.device_of(gradient):
        if needs_buffer:
            num_passive = call.buffer.shape[0] - call.cells.shape[0] - 1
            of_buffer = torch.empty_like(call.buffer)
            of_buffer[0] = 0
            launch.passive_gradient(call, gradient, of_buffer[1 : 1 + num_passive])
            received = torch.cat((gradient.new_zeros(1, gradient.shape[1]), gradient))
            of_active = of_buffer[1 + num_passive :]
            launch.convolve(call, received, call.weight.flip(1).contiguous(), None, of_active, shift=num_passive)
        if needs_weight:
            of_weight = launch.weight_gradient(call, gradient)
    return of_buffer, of_weight
