"""The depthwise convolution of the native kernel: checks tensors and passes their addresses to depthwise.h.

The C computes multiples of 16 features in float32. Other numbers of features are padded with zeros, bfloat16 is
converted; both copy the features.
"""

import ctypes
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sparsity._kernels import DepthwiseCall
from sparsity._kernels.native._library import (
    Instructions,
    Lattice,
    dilations_of,
    instruction_sets,
    lattice_of,
    run,
)

_MULTIPLE = 16
"""Of features, which the registers of every instruction set divide."""

_OUTPUT, _BUFFER, _WEIGHT = range(3)
"""`enum depthwise_part` of native.h."""


class _Depthwise(ctypes.Structure):
    """`struct depthwise` of native.h."""

    _fields_ = (
        ("lattice", Lattice),
        ("part", ctypes.c_int64),
        ("num_features", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("features", "gradient", "weight", "bias", "out")),
    )


def depthwise(call: DepthwiseCall) -> Float[Tensor, "A F"]:
    """Convolve. Raises ValueError for tensors that do not fit together, IndexError for a cell or row that is none."""
    return convolve_depthwise(call, instruction_sets(torch.float32)[-1])


def depthwise_backward(
    call: DepthwiseCall, gradient: Float[Tensor, "A F"], needed: tuple[bool, bool]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Gradients of buffer and weight, those that are `needed`; the others are [0]. Raises as `depthwise`."""
    return differentiate_depthwise(call, gradient, needed, instruction_sets(torch.float32)[-1])


def convolve_depthwise(call: DepthwiseCall, instructions: Instructions) -> Float[Tensor, "A F"]:
    """`depthwise` with one instruction set of float32, which the CPU must have."""
    dtype, num_features = call.buffer.dtype, call.buffer.shape[1]
    call = _checked(call)
    out = call.buffer.new_empty(call.cells.shape[0], call.buffer.shape[1])
    _run(call, None, out, _OUTPUT, instructions)
    return out[:, :num_features].to(dtype).contiguous()


def differentiate_depthwise(
    call: DepthwiseCall, gradient: Float[Tensor, "A F"], needed: tuple[bool, bool], instructions: Instructions
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """`depthwise_backward` with one instruction set of float32, which the CPU must have."""
    dtype, num_features = call.buffer.dtype, call.buffer.shape[1]
    if gradient.shape != (call.cells.shape[0], num_features):
        raise ValueError(
            f"The native kernel got a gradient {tuple(gradient.shape)}; it expected one number for each of "
            f"{call.cells.shape[0]} x {num_features} results; give the gradient of what `depthwise` gave."
        )
    call, gradient = _checked(call), _padded(gradient)
    none = call.buffer.new_empty(0)
    found = []
    for asked, like, part in zip(needed, (call.buffer, call.weight), (_BUFFER, _WEIGHT), strict=True):
        out = torch.zeros_like(like) if asked else none
        if asked:
            _run(call, gradient, out, part, instructions)
            out = out[..., :num_features].to(dtype).contiguous()
        found.append(out)
    of_buffer, of_weight = found
    of_buffer[:1] = 0
    return of_buffer, of_weight


def _run(
    call: DepthwiseCall,
    gradient: Float[Tensor, "A F"] | None,
    out: Float[Tensor, "..."],
    part: int,
    instructions: Instructions,
) -> None:
    dilations = dilations_of(call)
    problem = _Depthwise(
        lattice=lattice_of(call, dilations),
        part=part,
        num_features=call.buffer.shape[1],
        features=call.buffer.data_ptr(),
        gradient=None if gradient is None else gradient.data_ptr(),
        weight=call.weight.data_ptr(),
        bias=None if call.bias is None else call.bias.data_ptr(),
        out=out.data_ptr(),
    )
    run("sps_depthwise", problem, instructions)


def _checked(call: DepthwiseCall) -> DepthwiseCall:
    """The call in float32, padded and contiguous. Raises ValueError for what C would misread."""
    buffer, weight, bias = call.buffer, call.weight, call.bias
    num_active, num_features = call.cells.shape[0], buffer.shape[1]
    tensors = (buffer, weight, call.rows, call.cells, *(() if bias is None else (bias,)))
    problems = {
        "a tensor is not on the CPU": any(tensor.device.type != "cpu" for tensor in tensors),
        "rows or cells are not int32": call.rows.dtype != torch.int32 or call.cells.dtype != torch.int32,
        "the weight has another dtype or feature size": weight.dtype != buffer.dtype or weight.shape[2] != num_features,
        "there is not one dilation per branch": len(call.dilations) != weight.shape[0],
        "the bias is not one per feature": bias is not None and bias.shape != (num_features,),
        "the kernel is not odd and square": call.kernel_size**2 != weight.shape[1] or call.kernel_size % 2 == 0,
        "a dilation is below 1": min(call.dilations, default=1) < 1,
        "there are more active cells than rows or cells": num_active > min(buffer.shape[0] - 1, call.rows.numel()),
    }
    if any(problems.values()):
        wrong = "; ".join(problem for problem, is_there in problems.items() if is_there)
        raise ValueError(
            f"The native kernel got a buffer {tuple(buffer.shape)} and a depthwise weight {tuple(weight.shape)}, but "
            f"{wrong}; it expected what `DepthwiseCall` describes; make the call from a grid of the sps backend."
        )
    return replace(
        call,
        buffer=_padded(buffer),
        rows=call.rows.contiguous(),
        cells=call.cells.contiguous(),
        weight=_padded(weight),
        bias=None if bias is None else _padded(bias),
    )


def _padded(numbers: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows G"]:
    """In float32, contiguous, with zeros up to the next multiple of features."""
    missing = -numbers.shape[-1] % _MULTIPLE
    numbers = numbers.float().contiguous()
    return F.pad(numbers, (0, missing)) if missing else numbers  # a padding of nothing would copy all the same
