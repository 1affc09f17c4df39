"""torchvision's Mask R-CNN: its own mask branch without a query, 14x14 region features to 28x28 masks.

The branch and its RoIAlign are torchvision's modules, so that its COCO weights give the masks that torchvision gives.
Training targets and loss are those of Mask R-CNN++ here, for a fair comparison: torchvision's are not thresholded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from heads import (
    Detections,
    Pyramid,
    Stage,
    Targets,
    align_as_torchvision,
    class_channel,
    coverage,
    mask_loss,
    segmentation_target,
)

REGION_SIDE = 14


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the mask branch; the defaults are torchvision's, of both its versions."""

    features: int = 256
    num_convs: int = 4
    class_agnostic: bool = False


PRESETS = {
    "paper": Config(),
    "small": Config(features=64),
    "small_agnostic": Config(features=64, class_agnostic=True),
}


class TorchvisionMask(nn.Module):
    """torchvision's mask branch (a `MaskHead`), named as in its state dicts. It looks at no query."""

    def __init__(self, *, mask_head: MaskRCNNHeads, mask_predictor: MaskRCNNPredictor, class_specific: bool) -> None:
        super().__init__()
        self.mask_head = mask_head
        self.mask_predictor = mask_predictor
        self.class_specific = class_specific

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict one dense stage. Nothing is random: `generator` is not used."""
        boxes = detections.boxes.split(detections.region_counts)
        features = align_as_torchvision(pyramid, boxes, REGION_SIDE)
        logits = class_channel(self.mask_predictor(self.mask_head(features)), detections.labels)
        return [Stage(side=2 * REGION_SIDE, mask_logits=logits)]

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Cross-entropy of every cell, with targets of boxes that are cut at the image border."""
        (stage,) = stages
        target = segmentation_target(coverage(targets, stage.side, clip=True), with_half=True)
        return {f"mask_{stage.side}": mask_loss(stage.mask_logits, target, len(targets.boxes))}


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Build the mask branch; `query_size` is not used."""
    return TorchvisionMask(
        mask_head=MaskRCNNHeads(pyramid_channels, [config.features] * config.num_convs, 1),
        mask_predictor=MaskRCNNPredictor(config.features, config.features, 1 if config.class_agnostic else num_classes),
        class_specific=not config.class_agnostic,
    )
