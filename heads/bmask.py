"""BMask R-CNN++: a branch that learns the mask's boundary beside Mask R-CNN's, and each gives to the other.

    mask features      RoIAlign 14 -> query fusion -> 4 convolutions                          [R F 14 14]
    boundary features  RoIAlign 28 from P2 -> convolution of stride 2, + those of the mask    [R F 14 14]
                       -> 2 convolutions
    mask               the sum of both -> convolution, x2                                     [R 28 28]
    boundary           x2, in training only                                                   [R 28 28]

From Cheng et al., "Boundary-preserving Mask R-CNN" (ECCV 2020); ++ is the fusion with the query, and Eq. 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from heads import (
    FINEST_LEVEL,
    Detections,
    Pyramid,
    QueryFusion,
    Stage,
    Targets,
    align_regions,
    class_channel,
    coverage,
    dice_loss,
    fcn,
    mask_loss,
    segmentation_target,
)

REGION_SIDE = 14
SIDE = 2 * REGION_SIDE
EDGE_THRESHOLD = 0.1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of BMask R-CNN++; the defaults are those of its paper, with 80 classes 5,681,056 parameters."""

    features: int = 256
    num_mask_convs: int = 4
    num_boundary_convs: int = 2
    class_agnostic: bool = False


PRESETS = {
    "paper": Config(),
    "small": Config(features=64),
    "small_agnostic": Config(features=64, class_agnostic=True),
}


class BMask(nn.Module):
    """Mask and boundary branches on regions with queries: one dense stage (a `MaskHead`).

    In training its `refine_logits` are those of the boundary.
    """

    def __init__(self, config: Config, *, channels: int, query_size: int, num_masks: int, class_specific: bool) -> None:
        super().__init__()
        features = config.features
        self.class_specific = class_specific
        self.fusion = QueryFusion(channels, query_size)
        self.mask = fcn(channels, features, config.num_mask_convs)
        self.shrink = nn.Sequential(_kaiming(nn.Conv2d(channels, features, 3, 2, 1)), nn.ReLU(inplace=True))
        self.mask_to_boundary = nn.Sequential(_kaiming(nn.Conv2d(features, features, 1)), nn.ReLU(inplace=True))
        self.boundary = fcn(features, features, config.num_boundary_convs)
        self.boundary_to_mask = nn.Sequential(_kaiming(nn.Conv2d(features, features, 1)), nn.ReLU(inplace=True))
        self.last = fcn(features, features, 1)
        self.mask_logits = _predictor(features, num_masks)
        self.boundary_logits = _predictor(features, num_masks)

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict one dense stage, in training with the boundary. Nothing is random: `generator` is not used."""
        boxes, image, labels = detections.boxes, detections.image, detections.labels
        mask = self.mask(self.fusion(align_regions(pyramid, boxes, image, REGION_SIDE), detections.queries))
        fine = align_regions(pyramid, boxes, image, SIDE, level=FINEST_LEVEL)
        boundary = self.boundary(self.shrink(fine) + self.mask_to_boundary(mask))
        mask = self.last(mask + self.boundary_to_mask(boundary))
        logits = class_channel(self.mask_logits(mask), labels)
        edges = class_channel(self.boundary_logits(boundary), labels) if self.training else None
        return [Stage(side=SIDE, mask_logits=logits, refine_logits=edges)]

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Cross-entropies of mask and boundary, means over cells, and the boundary's dice; boxes cut at the image."""
        (stage,) = stages
        assert stage.refine_logits is not None
        target, num_regions = segmentation_target(coverage(targets, SIDE, clip=True)), len(targets.boxes)
        edges = boundary_target(target)
        return {
            "mask_28": mask_loss(stage.mask_logits, target, num_regions),
            "boundary_28": mask_loss(stage.refine_logits, edges, num_regions),
            "boundary_dice_28": dice_loss(stage.refine_logits, edges),
        }


def boundary_target(target: Float[Tensor, "R S S"]) -> Float[Tensor, "R S S"]:
    """1 in foreground cells with one of the background among their eight neighbours, as which counts all outside.

    The published rule: a Laplacian of more than 0.1.
    """
    kernel = target.new_full((1, 1, 3, 3), -1)
    kernel[..., 1, 1] = 8
    return (F.conv2d(target[:, None], kernel, padding=1)[:, 0] > EDGE_THRESHOLD).to(target.dtype)


def _kaiming(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _predictor(features: int, num_masks: int) -> nn.Sequential:
    """Logits at twice the side; before training all are close to zero."""
    logits = nn.Conv2d(features, num_masks, 1)
    nn.init.normal_(logits.weight, std=0.001)
    nn.init.zeros_(logits.bias)  # type: ignore[arg-type]
    up = _kaiming(nn.ConvTranspose2d(features, features, 2, stride=2))
    return nn.Sequential(up, nn.ReLU(inplace=True), logits)


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Build BMask R-CNN++."""
    return BMask(
        config,
        channels=pyramid_channels,
        query_size=query_size,
        num_masks=1 if config.class_agnostic else num_classes,
        class_specific=not config.class_agnostic,
    )
