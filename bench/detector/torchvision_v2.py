"""torchvision's Mask R-CNN of its second version: another convolution for proposals, four before the box head's layer.

What torchvision normalises there by fixed statistics is a part of the convolutions here.
"""

from dataclasses import replace

from bench.detector import torchvision as first
from bench.detector.torchvision import Config, build

PRESETS = {name: replace(config, proposal_convs=2, box_convs=4) for name, config in first.PRESETS.items()}

__all__ = ["PRESETS", "Config", "build"]
