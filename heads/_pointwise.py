"""Pointwise layers on the many rows of a grid, at inference on a CPU: in blocks, and by a faster matrix product.

A layer of 40,000 rows writes more than any cache holds, and every large temporary is memory that the system must first
provide. A chain of layers on one block of rows after the other stays in the cache and needs little of either. Nothing
of this happens while gradients are wanted, or on other devices: there, all rows at once is best.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sparsity import product

BLOCK_NUMBERS = 2**18
"""Numbers in a block of the first operand: 1 MB in float32."""

WIDENED = BLOCK_NUMBERS // 2
"""The same for a function that makes rows four times as wide on its way: measured, on the feed-forward block."""


class Linear(nn.Linear):
    """`nn.Linear`, which at inference takes the faster of torch's matrix products."""

    def forward(self, input: Float[Tensor, "N *M F"]) -> Float[Tensor, "N *M G"]:
        """Compute `input @ weight.T + bias`."""
        if not is_cpu_inference(input):
            return F.linear(input, self.weight, self.bias)
        return product(input.flatten(0, -2), self.weight, self.bias).view(*input.shape[:-1], self.out_features)


def in_blocks(
    function: Callable[..., Tensor], *rows: Shaped[Tensor, "N *_"], numbers: int | None = None
) -> Float[Tensor, "N *_"]:
    """Apply a row-wise function: row i of the result must depend on row i of each of `rows` only.

    At inference on a CPU it gets one block after the other, otherwise all rows in one call. `numbers` of the first of
    `rows` make a block, without it `BLOCK_NUMBERS`: `WIDENED` where the function makes rows much wider on its way.
    """
    size = max((numbers or BLOCK_NUMBERS) // max(rows[0][:1].numel(), 1), 1)
    if not is_cpu_inference(rows[0]) or len(rows[0]) <= size:
        return function(*rows)
    result, start = None, 0
    for block in zip(*(each.split(size) for each in rows), strict=True):
        part = function(*block)
        if result is None:
            result = part.new_empty(len(rows[0]), *part.shape[1:])
        result[start : start + len(part)] = part
        start += len(part)
    assert result is not None
    return result


def is_cpu_inference(rows: Shaped[Tensor, "..."]) -> bool:
    """Whether these rows are on a CPU, nobody wants gradients and nobody compiles."""
    return rows.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
