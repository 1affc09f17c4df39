"""Mask R-CNN++: one dense stage, 14x14 region features to 28x28 masks (the paper's first baseline)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from heads import (
    CoarseMask,
    Detections,
    Pyramid,
    Stage,
    Targets,
    align_regions,
    class_channel,
    coverage,
    mask_loss,
    segmentation_target,
)

REGION_SIDE = 14


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of Mask R-CNN++; the defaults are the paper's."""

    features: int = 256
    num_convs: int = 4
    class_agnostic: bool = False


PRESETS = {
    "paper": Config(),
    "small": Config(features=64),
    "small_agnostic": Config(features=64, class_agnostic=True),
}


class MaskRCNN(nn.Module):
    """Mask R-CNN's mask branch on regions with queries (a `MaskHead`)."""

    def __init__(self, *, coarse: CoarseMask, class_specific: bool) -> None:
        super().__init__()
        self.coarse = coarse
        self.class_specific = class_specific

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict one dense stage. Nothing is random: `generator` is not used."""
        features = align_regions(pyramid, detections.boxes, detections.image, REGION_SIDE)
        logits = class_channel(self.coarse(features, detections.queries), detections.labels)
        return [Stage(side=2 * REGION_SIDE, mask_logits=logits)]

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Cross-entropy of every cell; boxes are cut at the image border for the target, unlike for the features."""
        (stage,) = stages
        target = segmentation_target(coverage(targets, stage.side, clip=True), with_half=True)
        return {f"mask_{stage.side}": mask_loss(stage.mask_logits, target, len(targets.boxes))}


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Build Mask R-CNN++."""
    return MaskRCNN(
        coarse=CoarseMask(
            pyramid_channels,
            query_size,
            config.features,
            config.num_convs,
            1 if config.class_agnostic else num_classes,
        ),
        class_specific=not config.class_agnostic,
    )
