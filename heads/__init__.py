"""How masks are predicted from regions: four heads, one protocol.

A head is one public module of this folder with a frozen dataclass `Config`, its `PRESETS` ("paper", "small") and
`build(config, pyramid_channels, query_size, num_classes)`. It turns a pyramid and detections into stages, and stages
and targets into losses; `compose` makes one mask per region of stages. What a head does with features of refined cells
is a processing module, one file in `_modules`.
"""

from types import ModuleType

from heads._compose import boundary, compose
from heads._contract import Detections, MaskHead, Pyramid, Stage, Targets
from sparsity import plugin

__all__ = [
    "Detections",
    "MaskHead",
    "Pyramid",
    "Stage",
    "Targets",
    "boundary",
    "compose",
    "head",
    "processing_module",
]


def head(name: str) -> ModuleType:
    """Give the module of a head by name. Raises ValueError with the closest names for an unknown one."""
    return plugin("heads", name, "head")


def processing_module(name: str) -> ModuleType:
    """Give the module of a processing module by name. Raises ValueError with the closest names for an unknown one."""
    return plugin("heads._modules", name, "processing module")
