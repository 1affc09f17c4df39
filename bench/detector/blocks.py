"""Pre-activation blocks: norm -> ReLU -> layer, with or without a skip; what all of FQDet is made of."""

from torch import Tensor, nn


class Residual(nn.Module):
    """Add a block's result to its input."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, features: Tensor) -> Tensor:
        """Give `features + block(features)`, of the same shape."""
        return features + self.block(features)


def linear_block(channels: int) -> nn.Sequential:
    """LayerNorm -> ReLU -> Linear on rows [... C]."""
    return nn.Sequential(nn.LayerNorm(channels), nn.ReLU(), nn.Linear(channels, channels))


def conv_block(in_channels: int, out_channels: int, kernel_size: int, num_groups: int) -> nn.Sequential:
    """GroupNorm -> ReLU -> convolution of the same size on maps [B C H W]."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    return nn.Sequential(nn.GroupNorm(num_groups, in_channels), nn.ReLU(), conv)


def prediction_head(channels: int, num_outputs: int) -> nn.Sequential:
    """Two blocks, the second with a skip, and a Linear: the classification and box heads of FQDet."""
    return nn.Sequential(linear_block(channels), Residual(linear_block(channels)), nn.Linear(channels, num_outputs))
