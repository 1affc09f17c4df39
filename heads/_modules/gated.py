"""Gated: a depthwise 3x3 convolution of twice the features, times a gate of the cell itself, with a residual."""

from jaxtyping import Float
from torch import Tensor, nn

from heads import WIDENED, GridDepthwise, Linear, in_blocks
from sparsity import Grid

REFINE_ALL = False


class Gated(nn.Module):
    """`x + leave(gelu(gate(x)) * depthwise(value(x)))`, gate and value of the normalised features.

    They are the two halves of one layer F -> 4F. Passive neighbours have a value too, or nobody could read it; the gate
    is of active cells only.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.gate = nn.Sequential(Linear(features, 2 * features), nn.GELU())
        self.value = Linear(features, 2 * features)
        self.depthwise = GridDepthwise(2 * features)
        self.leave = Linear(2 * features, features)

    def forward(self, grid: Grid) -> Float[Tensor, "A F"]:
        """Process: new features of the active cells."""
        values = grid.map(lambda rows: in_blocks(lambda block: self.value(self.norm(block)), rows, numbers=WIDENED))

        def close(active: Float[Tensor, "N F"], around: Float[Tensor, "N 2*F"]) -> Float[Tensor, "N F"]:
            return active + self.leave(self.gate(self.norm(active)) * around)

        return in_blocks(close, grid.active, self.depthwise(values), numbers=WIDENED)


def build(features: int) -> nn.Module:
    """Build the module for grids of `features` channels."""
    return Gated(features)
