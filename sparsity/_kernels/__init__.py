"""Kernels of the SPS convolution: one sparse convolution, computed in several ways.

Every public module of this folder is a kernel with the same three functions, and the folder is the registry:

    unavailable(device, dtype) -> str | None              why it cannot run there; None where it can
    forward(call, keep_signs) -> (out, signs)             `out` [A O]; `signs` as `Call` says
    backward(call, signs, gradient, needed) -> (...)      gradients of buffer, weight and bias, [0] where not needed

`Call` is what they compute, and `pack` and `unpack` are how its signs are stored. `_op` makes one differentiable
operation of torch of all kernels, `_choose` picks the fastest one that is right on a device. The first line of a
kernel's docstring is its description. Kernels never import each other.
"""

from sparsity._kernels._call import Call, num_sign_bytes, pack, unpack

__all__ = ["Call", "num_sign_bytes", "pack", "unpack"]
