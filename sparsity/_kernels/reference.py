"""Naive gather and matrix product, as in the paper: the frozen baseline, which every other kernel must equal.

A branch gathers all its neighbours into a matrix [A, T F], multiplies it with the weights and applies the activation.
This is also what `sparsity.conv2d`, `sparsity.sfm` and `sparsity.depthwise` do on any backend, so SPS equals
SparseOnDense bit for bit. The rows of neighbours are found anew in every call, in int32. Do not make it faster:
speed-ups are ratios to this file.

`forward` is plain torch and has a gradient of its own; `backward` recomputes what that would have kept.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sparsity import contract_channels, neighbors_of, window
from sparsity._kernels import Call, DepthwiseCall, FeedforwardCall, pack, unpack


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """It runs everywhere."""
    return None


def forward(call: Call, keep_signs: bool) -> tuple[Float[Tensor, "A O"], UInt8[Tensor, "A D _"]]:
    """Gather, multiply, activate, one branch after the other."""
    first, *others = branches = [_branch(call, branch) for branch in range(len(call.dilations))]
    if keep_signs:
        signs = torch.stack([pack(branch > 0) for branch in branches], dim=1)
    else:
        signs = first.new_empty((len(first), len(branches), 0), dtype=torch.uint8)
    return sum(others, first), signs


def backward(
    call: Call, signs: UInt8[Tensor, "A D _"], gradient: Float[Tensor, "A O"], needed: tuple[bool, bool, bool]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Autograd's way: every gathered neighbour adds its gradient to the row that it came from."""
    num_branches, outputs, num_taps, features = call.weight.shape
    of_buffer = torch.zeros_like(call.buffer) if needed[0] else call.buffer.new_empty(0)
    of_weight, of_bias = [], []
    for branch in range(num_branches):
        of_branch = gradient * unpack(signs[:, branch], outputs) if call.activation else gradient
        rows = _neighbor_rows(call, branch).flatten()
        if needed[0]:
            of_taps = of_branch @ call.weight[branch].flatten(1)
            of_buffer.index_add_(0, rows, of_taps.view(-1, features))
        if needed[1]:
            taps = call.buffer.index_select(0, rows).view(len(gradient), num_taps * features)
            of_weight.append((of_branch.T @ taps).view(outputs, num_taps, features))
        if needed[2]:
            of_bias.append(of_branch.sum(0))
    of_buffer[:1] = 0
    nothing = call.buffer.new_empty(0)
    return of_buffer, torch.stack(of_weight) if needed[1] else nothing, torch.stack(of_bias) if needed[2] else nothing


def _branch(call: Call, branch: int) -> Float[Tensor, "A O"]:
    """One convolution with its bias and, if there is one, its activation."""
    rows = _neighbor_rows(call, branch)
    taps = call.buffer.index_select(0, rows.flatten()).unflatten(0, rows.shape).flatten(1)
    result = F.linear(taps, call.weight[branch].flatten(1), None if call.bias is None else call.bias[branch])
    return F.relu(result) if call.activation else result


def depthwise(call: DepthwiseCall) -> Float[Tensor, "A F"]:
    """Gather the neighbours of all branches, weigh each, add them up."""
    return contract_channels(_all_taps(call), call.weight, call.bias)


def depthwise_backward(
    call: DepthwiseCall, gradient: Float[Tensor, "A F"], needed: tuple[bool, bool]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Autograd's way, as `backward`."""
    of_buffer = torch.zeros_like(call.buffer) if needed[0] else call.buffer.new_empty(0)
    of_weight = call.buffer.new_empty(0)
    if needed[0]:
        for branch in range(len(call.dilations)):
            of_taps = gradient[:, None] * call.weight[branch]
            of_buffer.index_add_(0, _neighbor_rows(call, branch).flatten(), of_taps.flatten(0, 1))
        of_buffer[:1] = 0
    if needed[1]:
        by_feature = torch.bmm(_all_taps(call).permute(2, 1, 0), gradient.T[:, :, None])
        of_weight = by_feature[:, :, 0].T.reshape(call.weight.shape)
    return of_buffer, of_weight


def feedforward(call: FeedforwardCall) -> Float[Tensor, "N F"]:
    """Layer by layer, all rows at once; differentiable, as `forward`."""
    normed = F.layer_norm(call.rows, call.scale.shape, call.scale, call.shift, call.epsilon)
    hidden = F.relu(F.linear(normed, call.weight_in, call.bias_in))
    return call.added + F.linear(hidden, call.weight_out, call.bias_out)


def _all_taps(call: DepthwiseCall) -> Float[Tensor, "A taps F"]:
    """Every neighbour of every active cell, branch by branch."""
    rows = torch.cat([_neighbor_rows(call, branch) for branch in range(len(call.dilations))], dim=1)
    return call.buffer.index_select(0, rows.flatten()).unflatten(0, rows.shape)


def _neighbor_rows(call: Call | DepthwiseCall, branch: int) -> Int[Tensor, "A T"]:
    """Row of every neighbour of every active cell; outside the lattice row 0."""
    regions, height, width = call.rows.shape
    offsets = window(call.kernel_size, call.dilations[branch], call.cells.device)
    neighbors, inside = neighbors_of(call.cells, offsets, (regions, height, width))
    return (call.rows.flatten().index_select(0, neighbors.flatten()) * inside.flatten()).view(neighbors.shape)
