"""CPU: gathers, multiplies and adds up the branches in registers, in C compiled on first use (AVX-512, AVX2, any).

The C is `native.c` with its headers; this file checks tensors and passes their addresses. The convolution reads
neighbours where they are, without im2col, and where the active cells are sibling quads the 3x3 branches of dilation 1
are Winograd's. The backward of bfloat16 is computed in float32.

The result is the same to the bit for any number of threads; it uses `torch.get_num_threads()` of its own.
"""

import ctypes
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sparsity._kernels import Call
from sparsity._kernels.native import _library
from sparsity._kernels.native._depthwise import depthwise, depthwise_backward
from sparsity._kernels.native._feedforward import feedforward
from sparsity._kernels.native._library import Instructions, instruction_sets

__all__ = [
    "backward",
    "convolve",
    "depthwise",
    "depthwise_backward",
    "differentiate",
    "feedforward",
    "forward",
    "instruction_sets",
    "unavailable",
]


class _Weights(ctypes.Structure):
    """`struct weights` of native.h."""

    _fields_ = (
        ("values", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("branch", "out", "tap", "feature")),
    )


class _Convolution(ctypes.Structure):
    """`struct convolution` of native.h."""

    _fields_ = (
        ("lattice", _library.Lattice),
        ("features", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("branch_stride", "first_row", "num_in", "num_out")),
        ("weight", _Weights),
        ("is_transposed", ctypes.c_int64),
        ("bias", ctypes.c_void_p),
        ("has_activation", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("signs", "out")),
    )


class _Gradient(ctypes.Structure):
    """`struct gradient` of native.h."""

    _fields_ = (
        ("lattice", _library.Lattice),
        *((name, ctypes.c_void_p) for name in ("features", "masked")),
        *((name, ctypes.c_int64) for name in ("branch_stride", "num_in", "num_out")),
        ("weight", _Weights),
        ("out", ctypes.c_void_p),
    )


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Say why this kernel cannot run there (device, dtype, no compiler, no cache); None where it can."""
    if device.type != "cpu":
        return f"it runs on the CPU, not on {device.type}"
    if dtype not in (torch.float32, torch.bfloat16):
        return f"it computes float32 and bfloat16, not {str(dtype).removeprefix('torch.')}"
    library = _library.library()
    if isinstance(library, str):
        return library
    return None if instruction_sets(dtype) else "this CPU has no instructions for bfloat16 (AVX512-BF16)"


def forward(call: Call, keep_signs: bool) -> tuple[Float[Tensor, "A O"], UInt8[Tensor, "A D _"]]:
    """Convolve; the signs are [A D ceil(O/8)], or [A D 0] where nobody needs them.

    Raises ValueError for tensors that do not fit together, IndexError for a cell or row number that is none.
    """
    return convolve(call, keep_signs, instruction_sets(call.buffer.dtype)[-1])


def backward(
    call: Call, signs: UInt8[Tensor, "A D _"], gradient: Float[Tensor, "A O"], needed: tuple[bool, bool, bool]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Gradients of buffer, weight and bias, those that are `needed`; the others are [0]. Raises as `forward`."""
    return differentiate(call, signs, gradient, needed, instruction_sets(torch.float32)[-1])


def convolve(
    call: Call, keep_signs: bool, instructions: Instructions
) -> tuple[Float[Tensor, "A O"], UInt8[Tensor, "A D _"]]:
    """`forward` with one instruction set, which the CPU must have and which must be one of the dtype."""
    call = _checked(call)
    num_active, (num_branches, num_out, _, num_in) = call.cells.shape[0], call.weight.shape
    out = call.buffer.new_empty(num_active, num_out)
    signs = call.buffer.new_empty(num_active, num_branches, (num_out + 7) // 8 if keep_signs else 0, dtype=torch.uint8)
    bias = None if call.bias is None else call.bias.float().contiguous()
    dilations = _library.dilations_of(call)
    _library.run(
        "sps_convolution",
        _Convolution(
            lattice=_library.lattice_of(call, dilations),
            features=call.buffer.data_ptr(),
            num_in=num_in,
            num_out=num_out,
            weight=_weights(call),
            bias=None if bias is None else bias.data_ptr(),
            has_activation=call.activation,
            signs=signs.data_ptr() if keep_signs else None,
            out=out.data_ptr(),
        ),
        instructions,
    )
    return out, signs


def differentiate(
    call: Call,
    signs: UInt8[Tensor, "A D _"],
    gradient: Float[Tensor, "A O"],
    needed: tuple[bool, bool, bool],
    instructions: Instructions,
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """`backward` with one instruction set of float32, which the CPU must have."""
    dtype = call.buffer.dtype
    call = _checked(replace(call, buffer=call.buffer.float(), weight=call.weight.float()))
    masked = _masked(call, signs, gradient.float().contiguous())
    none = call.buffer.new_empty(0)
    of_buffer = _of_buffer(call, masked, instructions) if needed[0] else none
    of_weight = _of_weight(call, masked, instructions) if needed[1] else none
    of_bias = masked.sum(1).expand(call.weight.shape[0], -1).contiguous() if needed[2] else none
    return of_buffer.to(dtype), of_weight.to(dtype), of_bias.to(dtype)


def _masked(call: Call, signs: UInt8[Tensor, "A D _"], gradient: Float[Tensor, "A O"]) -> Float[Tensor, "branches A O"]:
    """Gradient of every branch before its activation; one for all branches where there is none."""
    if not call.activation:
        return gradient[None]
    num_active, num_out = gradient.shape
    num_branches = call.weight.shape[0]
    if signs.shape != (num_active, num_branches, (num_out + 7) // 8) or signs.dtype != torch.uint8:
        raise ValueError(
            f"backward got signs of shape {tuple(signs.shape)}; the activation needs one bit for each of "
            f"{num_active} x {num_branches} x {num_out} results; call forward with keep_signs."
        )
    signs = signs.contiguous()
    masked = gradient.new_empty(num_branches, num_active, num_out)
    _library.loaded().sps_mask(
        *map(ctypes.c_int64, (num_active, num_branches, num_out)),
        *map(ctypes.c_void_p, (gradient.data_ptr(), signs.data_ptr(), masked.data_ptr())),
    )
    return masked


def _of_buffer(call: Call, masked: Float[Tensor, "branches A O"], instructions: Instructions) -> Float[Tensor, "N F"]:
    """Gradient of the buffer: a gather convolution for the active rows, sums of their readers for the passive ones.

    An active feature is shown by one cell only, so what reads it are the neighbours of that cell: the same convolution
    with flipped taps and exchanged features, in which passive neighbours have no gradient. It needs no scatter.
    """
    out = torch.zeros_like(call.buffer)
    num_active, (_, num_out, _, num_in) = call.cells.shape[0], call.weight.shape
    first_active = call.buffer.shape[0] - num_active
    dilations = _library.dilations_of(call)
    branch_stride = masked.stride(0) if call.activation else 0
    _library.run(
        "sps_convolution",
        _Convolution(
            lattice=_library.lattice_of(call, dilations),
            features=masked.data_ptr(),
            branch_stride=branch_stride,
            first_row=first_active,
            num_in=num_out,
            num_out=num_in,
            weight=_weights(call),
            is_transposed=True,
            out=out[first_active:].data_ptr(),
        ),
        instructions,
    )
    _library.run("sps_passive_gradient", _gradient(call, dilations, masked, out[1:]), instructions)
    return out


def _of_weight(
    call: Call, masked: Float[Tensor, "branches A O"], instructions: Instructions
) -> Float[Tensor, "D O T F"]:
    out = call.weight.new_zeros(call.weight.shape)
    dilations = _library.dilations_of(call)
    _library.run("sps_weight_gradient", _gradient(call, dilations, masked, out), instructions)
    return out


def _gradient(
    call: Call,
    dilations: ctypes.Array[ctypes.c_int32],
    masked: Float[Tensor, "branches A O"],
    out: Float[Tensor, "..."],
) -> _Gradient:
    return _Gradient(
        lattice=_library.lattice_of(call, dilations),
        features=call.buffer.data_ptr(),
        masked=masked.data_ptr(),
        branch_stride=masked.stride(0) if call.activation else 0,
        num_in=call.weight.shape[3],
        num_out=call.weight.shape[1],
        weight=_weights(call),
        out=out.data_ptr(),
    )


def _weights(call: Call) -> _Weights:
    """The weight where it lies, in any layout: what the C reads often, it packs for itself."""
    return _Weights(call.weight.data_ptr(), *call.weight.stride())


def _checked(call: Call) -> Call:
    """The call with all but the weight contiguous. Raises ValueError for what C would misread."""
    buffer, weight = call.buffer, call.weight
    num_active, (num_branches, num_out, num_taps, num_in) = call.cells.shape[0], weight.shape
    tensors = (buffer, weight, call.rows, call.cells, *(() if call.bias is None else (call.bias,)))
    problems = {
        "a tensor is not on the CPU": any(tensor.device.type != "cpu" for tensor in tensors),
        "rows or cells are not int32": call.rows.dtype != torch.int32 or call.cells.dtype != torch.int32,
        "the weight has another dtype or feature size": weight.dtype != buffer.dtype or num_in != buffer.shape[1],
        "there is not one dilation per branch": len(call.dilations) != num_branches,
        "the bias is not one per branch and output": call.bias is not None
        and call.bias.shape != (num_branches, num_out),
        "the kernel is not odd and square": round(num_taps**0.5) ** 2 != num_taps or num_taps % 2 == 0,
        "a dilation is below 1": min(call.dilations, default=1) < 1,
        "there are more active cells than rows or cells": num_active > min(buffer.shape[0] - 1, call.rows.numel()),
        "quads come in fours": call.quads and num_active % 4 != 0,
    }
    if any(problems.values()):
        wrong = "; ".join(problem for problem, is_there in problems.items() if is_there)
        raise ValueError(
            f"The native kernel got a buffer {tuple(buffer.shape)} and a weight {tuple(weight.shape)}, but {wrong}; "
            "it expected what `Call` describes; make the call from a grid of the sps backend."
        )
    return replace(
        call,
        buffer=buffer.contiguous(),
        rows=call.rows.contiguous(),
        cells=call.cells.contiguous(),
    )
