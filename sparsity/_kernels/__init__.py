"""Kernels of SPS: its sparse convolutions, and the block of layers after one, computed in several ways.

Every public module of this folder is a kernel with the same six functions, and the folder is the registry:

    unavailable(device, dtype) -> str | None              why it cannot run there; None where it can
    forward(call, keep_signs) -> (out, signs)             `out` [A O]; `signs` as `Call` says
    backward(call, signs, gradient, needed) -> (...)      gradients of buffer, weight and bias, [0] where not needed
    depthwise(call) -> out                                `out` [A F]; the call is a `DepthwiseCall`
    depthwise_backward(call, gradient, needed) -> (...)   gradients of buffer and weight, [0] where not needed
    feedforward(call) -> out                              `out` [N F]; the call is a `FeedforwardCall`

A kernel may lack the last three: then the next best computes depthwise convolutions, or feed-forward blocks. `Call` is
what the others compute, and `pack` and `unpack` are how its signs are stored. `_op`, `_depthwise` and `_feedforward`
make differentiable operations of torch of all kernels, `_choose` picks the fastest one that is right on a device. The
first line of a kernel's docstring is its description. Kernels never import each other.
"""

from sparsity._kernels._call import Call, DepthwiseCall, FeedforwardCall, num_sign_bytes, pack, unpack

__all__ = ["Call", "DepthwiseCall", "FeedforwardCall", "num_sign_bytes", "pack", "unpack"]
