"""SFM: three parallel dilated convolutions between pointwise layers, EffSeg's own module (Sec. 3.3)."""

from torch import nn

from heads import SemanticFusion

REFINE_ALL = False


def build(features: int) -> nn.Module:
    """Build the module for grids of `features` channels."""
    return SemanticFusion(features)
