"""Selection: score every anchor of a pyramid, and turn the features of selected anchors into queries."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench.detector.anchors import ANCHORS_PER_CELL
from bench.detector.blocks import Residual, conv_block

_PRIOR = 0.01  # probability every anchor starts with: almost all of them are negatives


class Selector(nn.Module):
    """Convolutional network, shared over the levels, that scores the nine anchors of every cell."""

    def __init__(self, *, channels: int, bottleneck: int, num_groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_block(channels, channels, 1, num_groups),
            Residual(
                nn.Sequential(
                    conv_block(channels, bottleneck, 1, num_groups),
                    conv_block(bottleneck, bottleneck, 3, num_groups),
                    conv_block(bottleneck, channels, 1, num_groups),
                )
            ),
            nn.ReLU(),
        )
        self.logits = nn.Conv2d(channels, ANCHORS_PER_CELL, 1)
        assert self.logits.bias is not None
        nn.init.constant_(self.logits.bias, -math.log((1 - _PRIOR) / _PRIOR))

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H*W*9"]:
        """Give the selection logits of one level, in the order of the anchors."""
        return self.logits(self.layers(features)).permute(0, 2, 3, 1).flatten(1)


class Transition(nn.Module):
    """Turn the pyramid feature of a selected anchor into a query: LayerNorm -> ReLU -> Linear, one for each type.

    The nine blocks are stacked in one parameter and every query gathers its own matrix: no shape depends on which
    anchors were selected, and each query costs one product with a C x C matrix, as it would
    with nine layers.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_weight = nn.Parameter(torch.ones(ANCHORS_PER_CELL, channels))
        self.norm_bias = nn.Parameter(torch.zeros(ANCHORS_PER_CELL, channels))
        self.weight = nn.Parameter(torch.empty(ANCHORS_PER_CELL, channels, channels))
        self.bias = nn.Parameter(torch.empty(ANCHORS_PER_CELL, channels))
        bound = 1 / math.sqrt(channels)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, features: Float[Tensor, "B Q C"], kind: Int[Tensor, "B Q"]) -> Float[Tensor, "B Q C"]:
        """Give the queries; `kind` is the type (0..8) of each query's anchor."""
        channels = features.shape[-1]
        normed = F.layer_norm(features, (channels,)) * self.norm_weight[kind] + self.norm_bias[kind]
        # index_select, not indexing: its backward adds whole matrices instead of sorting single numbers.
        matrices = self.weight.index_select(0, kind.flatten()).view(*kind.shape, channels, channels)
        return (F.relu(normed)[..., None, :] @ matrices)[..., 0, :] + self.bias[kind]
