"""ConvNeXt-style: depthwise 3x3 convolutions of dilation 1, 3 and 5, then the feed-forward block, with a residual.

A block of ConvNeXt (Liu et al., 2022) whose one large kernel is the sum of three dilated ones, which see what SFM sees,
and whose activation is that of the other modules' feed-forward block, ReLU.
"""

from jaxtyping import Float
from torch import Tensor, nn

from heads import GridDepthwise, normalised_feedforward
from sparsity import Grid

REFINE_ALL = False


class ConvNext(nn.Module):
    """`x + feedforward(depthwise(x))`: the neighbours are read by feature, the features are mixed by cell."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.depthwise = GridDepthwise(features, dilations=(1, 3, 5))
        self.feedforward = normalised_feedforward(features)

    def forward(self, grid: Grid) -> Float[Tensor, "A F"]:
        """Process: new features of the active cells."""
        return self.feedforward.add_to(grid.active, self.depthwise(grid))


def build(features: int) -> nn.Module:
    """Build the module for grids of `features` channels."""
    return ConvNext(features)
