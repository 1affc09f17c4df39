"""How masks are predicted from regions: many heads, one protocol.

A head is one public module of this folder with a frozen dataclass `Config`, its `PRESETS` ("paper", "small") and
`build(config, pyramid_channels, query_size, num_classes)`. It turns a pyramid and detections into stages, and stages
and targets into losses; `compose` makes one mask per region of stages. What a head does with features of refined cells
is a processing module, one file in `_modules`.

Files with an underscore are private to this package: what others need is handed out here.

    to use heads      head, processing_module; Pyramid, Detections, Stage, Targets, MaskHead; compose, boundary
    to write a head   its features: align_regions, FlatPyramid, cell_points, region_levels, FINEST_LEVEL,
                      COARSEST_LEVEL; align_as_torchvision for torchvision's own weights
                      its layers: fcn, mlp, two_layer_mlp, QueryFusion, CoarseMask, class_channel, Linear, in_blocks,
                      WIDENED, CosineCode, triangle, sine_code, lattice_code, MultiScaleDeformableAttention
                      where it refines: Budget, top_cells, top_per_region, and the rules in `policies`
                      its losses: coverage, mask_values, at_cells, segmentation_target, refinement_target, mask_loss,
                      dice_loss
    to write a processing module, beside its operations in `sparsity`: GridConv, GridDepthwise, SemanticFusion,
                      normalised_feedforward
"""

from types import ModuleType

from heads import _policies as policies
from heads._blocks import (
    CoarseMask,
    GridConv,
    GridDepthwise,
    QueryFusion,
    SemanticFusion,
    class_channel,
    fcn,
    mlp,
    normalised_feedforward,
    two_layer_mlp,
)
from heads._compose import boundary, compose
from heads._contract import Detections, MaskHead, Pyramid, Stage, Targets
from heads._cosine import CosineCode, triangle
from heads._deform import MultiScaleDeformableAttention
from heads._losses import dice_loss
from heads._pointwise import WIDENED, Linear, in_blocks
from heads._regions import COARSEST_LEVEL, FINEST_LEVEL, FlatPyramid, align_regions, cell_points, region_levels
from heads._select import Budget, top_cells, top_per_region
from heads._sine import lattice_code, sine_code
from heads._targets import at_cells, coverage, mask_loss, mask_values, refinement_target, segmentation_target
from heads._torchvision import align_as_torchvision
from sparsity import plugin

__all__ = [
    "COARSEST_LEVEL",
    "FINEST_LEVEL",
    "WIDENED",
    "Budget",
    "CoarseMask",
    "CosineCode",
    "Detections",
    "FlatPyramid",
    "GridConv",
    "GridDepthwise",
    "Linear",
    "MaskHead",
    "MultiScaleDeformableAttention",
    "Pyramid",
    "QueryFusion",
    "SemanticFusion",
    "Stage",
    "Targets",
    "align_as_torchvision",
    "align_regions",
    "at_cells",
    "boundary",
    "cell_points",
    "class_channel",
    "compose",
    "coverage",
    "dice_loss",
    "fcn",
    "head",
    "in_blocks",
    "lattice_code",
    "mask_loss",
    "mask_values",
    "mlp",
    "normalised_feedforward",
    "policies",
    "processing_module",
    "refinement_target",
    "region_levels",
    "segmentation_target",
    "sine_code",
    "top_cells",
    "top_per_region",
    "triangle",
    "two_layer_mlp",
]


def head(name: str) -> ModuleType:
    """Give the module of a head by name. Raises ValueError with the closest names for an unknown one."""
    return plugin("heads", name, "head")


def processing_module(name: str) -> ModuleType:
    """Give the module of a processing module by name. Raises ValueError with the closest names for an unknown one."""
    return plugin("heads._modules", name, "processing module")
