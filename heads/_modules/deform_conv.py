"""DeformConv: one deformable 3x3 convolution before the feed-forward block (Table 5)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heads import GridConv, normalised_feedforward
from sparsity import Grid, deform_conv2d, window

REFINE_ALL = False


class DeformConv(nn.Module):
    """A 3x3 convolution whose taps every active cell displaces as it likes; it starts as a regular convolution.

    The layer is named `displacement` because the paper's recipe gives parameters with "offset" in their name, those
    of the detector's attention, a lower learning rate.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        taps = window(3, 1, torch.device("cpu"))
        self.conv = GridConv(features, features)
        self.displacement = nn.Linear(features, taps.numel())
        nn.init.zeros_(self.displacement.weight)
        with torch.no_grad():
            self.displacement.bias.copy_(taps.flatten())

    def forward(self, grid: Grid) -> Float[Tensor, "A F"]:
        """Convolve: new features of the active cells."""
        displacement = self.displacement(grid.active).unflatten(1, (-1, 2))
        return deform_conv2d(grid, self.conv.weight, self.conv.bias, displacement)


def build(features: int) -> nn.Module:
    """Build the module for grids of `features` channels."""
    return nn.Sequential(DeformConv(features), normalised_feedforward(features))
