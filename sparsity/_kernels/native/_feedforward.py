"""The feed-forward block of the native kernel: checks tensors and passes their addresses to feedforward.h.

The C computes in float32; bfloat16 is converted, and rounded once at the end.
"""

import ctypes
from dataclasses import fields

import torch
from jaxtyping import Float
from torch import Tensor

from sparsity._kernels import FeedforwardCall
from sparsity._kernels.native._library import Instructions, instruction_sets, run

_TENSORS = tuple(field.name for field in fields(FeedforwardCall) if field.name != "epsilon")


class _Feedforward(ctypes.Structure):
    """`struct feedforward` of native.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("num_rows", "num_features", "num_hidden")),
        *((name, ctypes.c_void_p) for name in (*_TENSORS, "out")),
        ("epsilon", ctypes.c_float),
    )


def feedforward(call: FeedforwardCall) -> Float[Tensor, "N F"]:
    """Compute a block. Raises ValueError for tensors that do not fit together."""
    return compute_feedforward(call, instruction_sets(torch.float32)[-1])


def compute_feedforward(call: FeedforwardCall, instructions: Instructions) -> Float[Tensor, "N F"]:
    """`feedforward` with one instruction set of float32, which the CPU must have."""
    _check(call)
    tensors = {name: getattr(call, name).float().contiguous() for name in _TENSORS}
    out = torch.empty_like(tensors["rows"])
    num_hidden, num_features = call.weight_in.shape
    problem = _Feedforward(
        num_rows=len(out),
        num_features=num_features,
        num_hidden=num_hidden,
        **{name: tensor.data_ptr() for name, tensor in tensors.items()},
        out=out.data_ptr(),
        epsilon=call.epsilon,
    )
    run("sps_feedforward", problem, instructions)
    return out.to(call.rows.dtype)


def _check(call: FeedforwardCall) -> None:
    """Raise ValueError for what C would misread."""
    num_hidden, num_features = call.weight_in.shape
    shapes = {
        "rows": (len(call.rows), num_features),
        "added": (len(call.rows), num_features),
        "scale": (num_features,),
        "shift": (num_features,),
        "bias_in": (num_hidden,),
        "weight_out": (num_features, num_hidden),
        "bias_out": (num_features,),
    }
    for name in _TENSORS:
        given = getattr(call, name)
        wanted = shapes.get(name, tuple(given.shape))
        if tuple(given.shape) != wanted or given.device.type != "cpu" or given.dtype != call.rows.dtype:
            raise ValueError(
                f"The native kernel got a {name} {tuple(given.shape)} of {given.dtype} on {given.device} in a "
                f"feed-forward block; it expected {wanted} of {call.rows.dtype} on the CPU, as `FeedforwardCall` says; "
                "convert it, or build the block for rows of this size."
            )
