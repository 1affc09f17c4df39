"""Both versions of torchvision's detector have the sizes of torchvision's own, but for what is not there."""

from types import ModuleType

import pytest
import torch
from torch import nn
from torchvision.models.detection import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2

from bench.detector import torchvision, torchvision_v2


@pytest.mark.parametrize(
    ("kind", "make"), [(torchvision, maskrcnn_resnet50_fpn), (torchvision_v2, maskrcnn_resnet50_fpn_v2)]
)
def test_parameters_are_those_of_torchvision(kind: ModuleType, make: object) -> None:
    with torch.device("meta"):
        detector = kind.build(kind.PRESETS["paper"], 256, 80)
        original = make(weights=None, weights_backbone=None)  # type: ignore[operator]

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    # A normalisation has a scale and a shift where the convolution before it, as ours, would have a bias.
    normalised = sum(module.num_features for module in original.roi_heads.box_head.modules() if hasattr(module, "eps"))
    parts = (original.rpn, original.roi_heads.box_head, original.roi_heads.box_predictor)
    assert count(detector) == sum(map(count, parts)) - normalised
