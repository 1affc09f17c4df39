"""Conv: one 3x3 convolution before the feed-forward block (Table 5)."""

from torch import nn

from heads import GridConv, normalised_feedforward

REFINE_ALL = False


def build(features: int) -> nn.Module:
    """Build the module for grids of `features` channels."""
    return nn.Sequential(GridConv(features, features), normalised_feedforward(features))
