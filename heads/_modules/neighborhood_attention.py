"""Neighbourhood attention: every refined cell attends to the 27 cells that SFM convolves, then the feed-forward block.

Attention of Hassani et al. (2023) whose window is 3x3 at the dilations 1, 3 and 5 at once. It is gathered: it has fewer
multiply-adds than SFM and takes longer.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heads import WIDENED, Linear, in_blocks, normalised_feedforward
from sparsity import Grid, neighbors_of, window

REFINE_ALL = False

DILATIONS = (1, 3, 5)
HEAD_FEATURES = 16


class NeighborhoodAttention(nn.Module):
    """`y = x + leave(attention(x))`, then `y + feedforward(y)`, with a learned bias per attention head and tap.

    Heads of 16 features, or one of all where there are fewer. Keys have no bias: it would add the same to the logits of
    all taps. Taps outside the lattice do not take part; a cell itself always does.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.heads = max(features // HEAD_FEATURES, 1)
        self.norm = nn.LayerNorm(features)
        self.query = Linear(features, features)
        self.key = Linear(features, features, bias=False)
        self.value = Linear(features, features)
        self.position = nn.Parameter(torch.zeros(9 * len(DILATIONS), self.heads))
        self.leave = Linear(features, features)
        self.feedforward = normalised_feedforward(features)

    def forward(self, grid: Grid) -> Float[Tensor, "A F"]:
        """Process: new features of the active cells."""
        normed = grid.map(lambda rows: in_blocks(self.norm, rows))
        keys, values = (
            normed.map(lambda rows, layer=layer: in_blocks(layer, rows))  # type: ignore[misc]
            for layer in (self.key, self.value)
        )
        weight = self._weights(keys, in_blocks(self.query, normed.active))
        # One dilation at a time: all taps of all cells would be the largest tensor of a head by far.
        parts = [
            _mix(weight[:, 9 * number : 9 * number + 9], values.gather(window(3, dilation, weight.device)))
            for number, dilation in enumerate(DILATIONS)
        ]

        def close(active: Float[Tensor, "N F"], seen: Float[Tensor, "N F"]) -> Float[Tensor, "N F"]:
            active = active + self.leave(seen)
            return active + self.feedforward(active)

        return in_blocks(close, grid.active, sum(parts[1:], parts[0]), numbers=WIDENED)

    def _weights(self, keys: Grid, query: Float[Tensor, "A F"]) -> Float[Tensor, "A T heads"]:
        """Attention weights of all taps: they sum to 1 over those inside the lattice."""
        logits, inside = [], []
        for dilation in DILATIONS:
            offsets = window(3, dilation, query.device)
            logits.append(_agreement(query, keys.gather(offsets), self.heads))
            inside.append(neighbors_of(keys.cells, offsets, keys.size)[1])
        return _softmax(torch.cat(logits, 1) + self.position, torch.cat(inside, 1))


def _agreement(query: Float[Tensor, "A F"], keys: Float[Tensor, "A T F"], heads: int) -> Float[Tensor, "A T heads"]:
    """Scaled products of each query with its keys, as products of matrices."""
    size = query.shape[1] // heads
    products = keys.unflatten(2, (heads, size)).transpose(1, 2) @ query.view(-1, heads, size, 1)
    return products[..., 0].transpose(1, 2) / size**0.5


def _softmax(logits: Float[Tensor, "A T heads"], inside: Bool[Tensor, "A T"]) -> Float[Tensor, "A T heads"]:
    return logits.masked_fill(~inside[..., None], -torch.inf).softmax(1)


def _mix(weight: Float[Tensor, "A T heads"], values: Float[Tensor, "A T F"]) -> Float[Tensor, "A F"]:
    """Values of some taps times their weights, added up."""
    heads = weight.shape[2]
    by_head = values.unflatten(2, (heads, -1)).transpose(1, 2)
    return (weight.transpose(1, 2)[:, :, None] @ by_head).flatten(1)


def build(features: int) -> nn.Module:
    """Build the module for grids of `features` channels."""
    return NeighborhoodAttention(features)
