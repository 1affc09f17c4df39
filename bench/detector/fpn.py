"""Feature pyramid networks: with two extra coarse levels, C2..C5 to P2..P7, and torchvision's, to P2..P6."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool


class FPN(nn.Module):
    """The default neck (Sec. 4.1): laterals merged from coarse to fine, then a convolution per level.

    P6 comes from the *lateral* of the coarsest backbone level, before its output convolution, and P7 from ReLU(P6).
    """

    def __init__(self, in_channels: Mapping[int, int], channels: int = 256) -> None:
        super().__init__()
        self.levels = sorted(in_channels)
        self.laterals = nn.ModuleDict({str(k): nn.Conv2d(in_channels[k], channels, 1) for k in self.levels})
        self.outputs = nn.ModuleDict({str(k): nn.Conv2d(channels, channels, 3, padding=1) for k in self.levels})
        self.extra = nn.ModuleList(nn.Conv2d(channels, channels, 3, stride=2, padding=1) for _ in range(2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Give the pyramid by level, every map [B channels H W], finest level first."""
        top = self.levels[-1]
        merged = {top: self.laterals[str(top)](features[top])}
        for level in reversed(self.levels[:-1]):
            lateral = self.laterals[str(level)](features[level])
            # To the exact size of the finer map: twice the coarser one is a row too many where a side was odd.
            merged[level] = lateral + F.interpolate(merged[level + 1], size=lateral.shape[-2:], mode="nearest")
        pyramid = {level: self.outputs[str(level)](merged[level]) for level in self.levels}
        pyramid[top + 1] = self.extra[0](merged[top])
        pyramid[top + 2] = self.extra[1](F.relu(pyramid[top + 1]))
        return pyramid


class TorchvisionFPN(FeaturePyramidNetwork):
    """The pyramid of torchvision's detectors, named as in its state dicts. P6 is every second cell of P5; no P7."""

    def __init__(self, in_channels: Mapping[int, int], channels: int = 256) -> None:
        super().__init__([in_channels[level] for level in sorted(in_channels)], channels, LastLevelMaxPool())

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Give the pyramid by level, every map [B channels H W], finest level first."""
        maps = super().forward({str(level): features[level] for level in sorted(features)})
        return dict(enumerate(maps.values(), start=min(features)))
