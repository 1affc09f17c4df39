"""DenseSFM: the SFM on all cells of all regions at every stage, what sparsity is compared with (Table 5)."""

from torch import nn

from heads import SemanticFusion

REFINE_ALL = True


def build(features: int) -> nn.Module:
    """Build the module for grids of `features` channels."""
    return SemanticFusion(features)
