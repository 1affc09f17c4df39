"""MLP: every refined cell on its own, a lower bound for what neighbours are worth (Table 5)."""

from jaxtyping import Float
from torch import Tensor, nn

from heads import normalised_feedforward
from sparsity import Grid

REFINE_ALL = False


class PointwiseModule(nn.Module):
    """Linear, then the normalised feed-forward block, on active features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, features), normalised_feedforward(features))

    def forward(self, grid: Grid) -> Float[Tensor, "A F"]:
        """Process: new features of the active cells."""
        return self.layers(grid.active)


def build(features: int) -> nn.Module:
    """Build the module for grids of `features` channels."""
    return PointwiseModule(features)
