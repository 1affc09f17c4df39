"""Pure torch in blocks of rows that stay in the cache: no compiler needed, every device and dtype.

A block gathers the neighbours of some rows, multiplies and activates them, and adds to its part of the output; the next
block reuses the memory. The gradient of active rows is the same convolution, of the gradients of the branches with
mirrored taps, where passive neighbours count as zero. The gradient of passive rows sums, for every passive row and tap,
the branch gradients of the cells that see the row there, and then needs one product per tap. Nothing is scattered onto
a row twice, so results are the same every time, also on a GPU.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32, UInt8
from torch import Tensor

from sparsity import product, reach, unravel, window
from sparsity._kernels import Call, DepthwiseCall, FeedforwardCall, num_sign_bytes, pack, unpack

_BLOCK = {"cpu": 2048}
"""Rows at a time, by device; half or twice of it is as fast on a CPU."""

_LARGE_BLOCK = 16384
"""The same where launching costs more than a cache saves."""


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """It runs everywhere."""
    return None


def forward(call: Call, keep_signs: bool) -> tuple[Float[Tensor, "A O"], UInt8[Tensor, "A D _"]]:
    """Compute a block of rows with all its branches, then the next."""
    num_active, (num_branches, outputs) = len(call.cells), call.weight.shape[:2]
    branches = list(enumerate(neighbor_rows(call)))
    weights = call.weight.flatten(2)
    result = call.buffer.new_empty(num_active, outputs)
    num_bytes = num_sign_bytes(outputs) if keep_signs else 0
    signs = torch.empty(num_active, num_branches, num_bytes, dtype=torch.uint8, device=result.device)
    for block in _blocks(call):
        total = result.new_zeros((), dtype=_precise(result.dtype))
        for branch, rows in branches:
            taps = _gather(call.buffer, rows[block])
            one = product(taps, weights[branch], None if call.bias is None else call.bias[branch])
            if call.activation:
                one.relu_()
            if keep_signs:
                signs[block, branch] = pack(one > 0)
            total = total + one
        result[block] = total
    return result, signs


def backward(
    call: Call, signs: UInt8[Tensor, "A D _"], gradient: Float[Tensor, "A O"], needed: tuple[bool, bool, bool]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Compute one branch after the other, so that the gradient of only one is in memory."""
    dtype = call.buffer.dtype
    nothing = gradient.new_empty(0)
    of_buffer = torch.zeros_like(call.buffer, dtype=_precise(dtype)) if needed[0] else nothing
    of_weight = call.weight.new_zeros(call.weight.shape, dtype=_precise(dtype)) if needed[1] else nothing
    of_bias = gradient.new_empty(call.weight.shape[:2]) if needed[2] else nothing
    for branch, rows in enumerate(neighbor_rows(call)):
        of_branch = gradient * unpack(signs[:, branch], gradient.shape[1]) if call.activation else gradient
        if needed[0]:
            _add_to_active(of_buffer, call, branch, rows, of_branch)
            _add_to_passive(of_buffer, call, branch, rows, of_branch)
        if needed[1]:
            matrix = of_weight[branch].flatten(1).T
            for block in _blocks(call):
                matrix += product(_gather(call.buffer, rows[block]).T, of_branch[block].T)
        if needed[2]:
            of_bias[branch] = of_branch.sum(0)
    return of_buffer.to(dtype), of_weight.to(dtype), of_bias


def depthwise(call: DepthwiseCall) -> Float[Tensor, "A F"]:
    """Add up the taps of a block of rows, one after the other, then the next block."""
    return _depthwise(call.buffer, neighbor_rows(call), call.weight, call.bias).to(call.buffer.dtype)


def depthwise_backward(
    call: DepthwiseCall, gradient: Float[Tensor, "A F"], needed: tuple[bool, bool]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Gather for the active rows, as the forward does, and sum what reads the passive ones."""
    dtype, precise, branches = call.buffer.dtype, _precise(call.buffer.dtype), neighbor_rows(call)
    before_active = len(call.buffer) - len(call.cells) - 1
    of_buffer = of_weight = gradient.new_empty(0)
    if needed[0]:
        of_buffer = torch.zeros_like(call.buffer, dtype=precise)
        sees = [(rows.flip(1) - before_active).clamp_(min=0) for rows in branches]
        of_buffer[1 + before_active :] = _depthwise(F.pad(gradient, (0, 0, 1, 0)), sees, call.weight, None)
        for branch, rows in enumerate(branches):
            for tap, distinct, sums in _passive_sums(1 + before_active, rows, gradient):
                of_buffer.index_add_(0, distinct, (sums * call.weight[branch, tap]).to(precise))
    if needed[1]:
        of_weight = call.weight.new_zeros(call.weight.shape, dtype=precise)
        for block in _blocks(call):
            for branch, rows in enumerate(branches):
                for tap, ours in enumerate(rows[block].unbind(1)):
                    of_weight[branch, tap] += (call.buffer.index_select(0, ours) * gradient[block].to(precise)).sum(0)
    return of_buffer.to(dtype), of_weight.to(dtype)


def feedforward(call: FeedforwardCall) -> Float[Tensor, "N F"]:
    """All layers of a block of rows, then the next block."""
    result = torch.empty_like(call.rows)
    for block in _slices(len(result), result.device):
        normed = F.layer_norm(call.rows[block], call.scale.shape, call.scale, call.shift, call.epsilon)
        hidden = product(normed, call.weight_in, call.bias_in).relu_()
        torch.add(call.added[block], product(hidden, call.weight_out, call.bias_out), out=result[block])
    return result


def _depthwise(
    table: Float[Tensor, "M F"],
    branches: list[Int32[Tensor, "A T"]],
    weight: Float[Tensor, "D T F"],
    bias: Float[Tensor, "F"] | None,
) -> Float[Tensor, "A F"]:
    """Rows of a table at all taps times their weights, in the type to add up in."""
    precise, num_features = _precise(table.dtype), table.shape[1]
    result = table.new_zeros(len(branches[0]), num_features, dtype=precise)
    if bias is not None:
        result += bias
    for block in _slices(len(result), table.device):
        for branch, rows in enumerate(branches):
            for tap, ours in enumerate(rows[block].unbind(1)):
                result[block].addcmul_(table.index_select(0, ours).to(precise), weight[branch, tap].to(precise))
    return result


def _add_to_active(
    of_buffer: Float[Tensor, "N F"],
    call: Call,
    branch: int,
    rows: Int32[Tensor, "A T"],
    of_branch: Float[Tensor, "A O"],
) -> None:
    """Convolve the gradients of a branch: whom a cell sees through the opposite tap sees the cell through the tap."""
    before_active = len(of_buffer) - len(rows) - 1
    sees = (rows.flip(1) - before_active).clamp_(min=0)
    of_rows = F.pad(of_branch, (0, 0, 1, 0))
    weight = call.weight[branch].permute(2, 1, 0).flatten(1)
    of_active = of_buffer[1 + before_active :]
    for block in _blocks(call):
        of_active[block] += product(_gather(of_rows, sees[block]), weight)


def _add_to_passive(
    of_buffer: Float[Tensor, "N F"],
    call: Call,
    branch: int,
    rows: Int32[Tensor, "A T"],
    of_branch: Float[Tensor, "A O"],
) -> None:
    """Sum the gradients of all cells that see a passive row through a tap, then multiply by the weight of the tap."""
    for tap, distinct, sums in _passive_sums(len(of_buffer) - len(rows), rows, of_branch):
        of_buffer.index_add_(0, distinct, (sums @ call.weight[branch, :, tap]).to(of_buffer.dtype))


def _passive_sums(
    first_active: int, rows: Int32[Tensor, "A T"], gradient: Float[Tensor, "A O"]
) -> Iterator[tuple[int, Int32[Tensor, "_"], Float[Tensor, "_ O"]]]:
    """For every tap: the passive rows that are seen through it, and the sum of the gradients of those who see each."""
    is_passive = (rows > 0) & (rows < first_active)
    tap, cell = is_passive.T.nonzero(as_tuple=True)
    # One sort for all taps: torch sorts many integers by their digits, a few by comparing.
    key, order = (rows.T[tap, cell] + tap * first_active).sort(stable=True)
    numbers: list[int] = is_passive.sum(0).tolist()
    by_tap = zip((key - tap * first_active).split(numbers), cell[order].split(numbers), strict=True)
    for number, (seen, by) in enumerate(by_tap):
        distinct, counts = seen.unique_consecutive(return_counts=True)
        yield number, distinct, F.embedding_bag(by, gradient, counts.cumsum(0) - counts, mode="sum")


def _gather(table: Float[Tensor, "M G"], rows: Int32[Tensor, "N T"]) -> Float[Tensor, "N T*G"]:
    """The rows of all taps side by side."""
    return table.index_select(0, rows.flatten()).view(len(rows), rows.shape[1] * table.shape[1])


def _blocks(call: Call | DepthwiseCall) -> Iterator[slice]:
    """Slices of the active rows."""
    return _slices(len(call.cells), call.cells.device)


def _slices(num_rows: int, device: torch.device) -> Iterator[slice]:
    """Slices of so many rows, the size of a block each."""
    step = _BLOCK.get(device.type, _LARGE_BLOCK)
    return (slice(start, start + step) for start in range(0, num_rows, step))


def _precise(dtype: torch.dtype) -> torch.dtype:
    """The type to add up in."""
    return torch.promote_types(dtype, torch.float32)


def neighbor_rows(call: Call | DepthwiseCall) -> list[Int32[Tensor, "A T"]]:
    """Row of every tap's neighbour of every active cell, by branch; outside the lattice row 0.

    In the margin there is nothing to decide per neighbour: one addition and one lookup, which is half the time of
    asking each whether it is inside. The margin is as wide as the taps reach, but no wider than the lattice, beyond
    which everything is outside.
    """
    regions, height, width = call.rows.shape
    kernel_size = call.kernel_size
    margin = min(max(reach(kernel_size, dilation) for dilation in call.dilations), max(height, width))
    padded = F.pad(call.rows, (margin, margin, margin, margin))
    _, padded_height, padded_width = padded.shape
    region, row, column = unravel(call.cells, (regions, height, width))
    if padded.numel() > 2**31:
        region = region.long()
    place = (region * padded_height + row + margin) * padded_width + column + margin
    found = []
    for dilation in call.dilations:
        down, right = window(kernel_size, dilation, call.cells.device).clamp(-margin, margin).unbind(1)
        places = place[:, None] + (down * padded_width + right)
        found.append(padded.flatten().index_select(0, places.flatten()).view(places.shape))
    return found
