"""RefineMask++: four dense masks of 14, 28, 56 and 112 cells a side, each refining the boundary of the one before.

    instance features  RoIAlign 14 -> query fusion -> 2 convolutions            [R F 14 14]
    semantic features  P2 -> 4 convolutions, once for the whole image           [B C H W]
    stage 14, 28, 56   logits; instance, semantic and mask joined -> dilated convolutions -> F/2 channels, x2
    stage 112          one logit from the last features, upsampled x2

The last two stages count only near the boundary of the mask so far, in the loss as in the assembled mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from heads import (
    Detections,
    Pyramid,
    QueryFusion,
    Stage,
    Targets,
    align_regions,
    boundary,
    class_channel,
    compose,
    coverage,
    fcn,
    mask_loss,
    segmentation_target,
)

SIDES = (14, 28, 56, 112)
LOSS_WEIGHTS = (0.5, 0.75, 0.75, 1.0)
LOSS_BOUNDARY_WIDTH = 2
DILATIONS = (1, 3, 5)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of RefineMask++; the defaults are the paper's. `features` halve at each of the three refinement stages.

    Also a class-specific head predicts its last, 112x112 mask without regard to the class. `fade_at_border`: semantic
    features fade to zero at the border of the map, as in the authors' code; without, they repeat its edge (RoIAlign).
    """

    features: int = 256
    num_instance_convs: int = 2
    num_semantic_convs: int = 4
    class_agnostic: bool = False
    fade_at_border: bool = True


_SMALL = Config(features=64, fade_at_border=False)
PRESETS = {"paper": Config(), "small": _SMALL, "small_agnostic": replace(_SMALL, class_agnostic=True)}


class MultiBranchFusion(nn.Module):
    """Parallel dilated convolutions and the global average of the input, summed and mixed (RefineMask's SFM).

    EffSeg's, `heads.SemanticFusion`, has neither the average nor the 1x1 convolution after the sum.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(features, features, 3, padding=d, dilation=d) for d in DILATIONS)
        self.mix = nn.Conv2d(features, features, 1)

    def forward(self, features: Float[Tensor, "R F H W"]) -> Float[Tensor, "R F H W"]:
        """Mix neighbourhoods of three sizes and the whole region."""
        total = features.mean(dim=(2, 3), keepdim=True)
        for branch in self.branches:
            total = total + F.relu(branch(features))
        return F.relu(self.mix(total))


class Refinement(nn.Module):
    """One stage: a mask from the instance features, then features for the next stage, half as many."""

    def __init__(
        self, side: int, features: int, semantic_features: int, num_masks: int, *, fade_at_border: bool
    ) -> None:
        super().__init__()
        self.side = side
        self.fade_at_border = fade_at_border
        self.logits = nn.Conv2d(features, num_masks, 1)
        self.semantic = nn.Conv2d(semantic_features, features, 1)
        self.join = nn.Conv2d(2 * features + 1, features, 1)
        self.fuse = MultiBranchFusion(features)
        # The mask itself is the last channel of the next stage.
        self.shrink = nn.Conv2d(features, features // 2 - 1, 1)

    def forward(
        self,
        instance: Float[Tensor, "R F S S"],
        semantic: Float[Tensor, "B C H W"],
        boxes: Float[Tensor, "R 4"],
        image: Int[Tensor, "R"],
        labels: Int[Tensor, "D"],
    ) -> tuple[Float[Tensor, "R S S"], Float[Tensor, "R F//2 S S"]]:
        """Give the mask logits of each region's class and the features of the next stage."""
        logits = class_channel(self.logits(instance), labels)
        # Channels last, also in its strides: beside a mask that is not, all that it is joined with would be copied.
        mask = logits.sigmoid().unsqueeze(3).permute(0, 3, 1, 2)
        # The ReLU comes before the sampling, so this is a convolution of the whole image, not of the regions.
        maps = {2: F.relu(self.semantic(semantic))}
        context = align_regions(maps, boxes, image, self.side, sampling_ratio=1, level=2, fading=self.fade_at_border)
        joined = F.relu(self.join(torch.cat([instance, context, mask], dim=1)))
        shrunk = F.relu(self.shrink(self.fuse(joined)))
        return logits, torch.cat([shrunk, mask], dim=1)


class RefineMask(nn.Module):
    """RefineMask on regions with queries: four dense stages (a `MaskHead`)."""

    def __init__(
        self,
        *,
        fusion: nn.Module,
        instance: nn.Module,
        semantic: nn.Module,
        refinements: Sequence[Refinement],
        last_logits: nn.Module,
        class_specific: bool,
    ) -> None:
        super().__init__()
        self.fusion = fusion
        self.instance = instance
        self.semantic = semantic
        self.refinements = nn.ModuleList(refinements)
        self.last_logits = last_logits
        self.class_specific = class_specific

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict the masks of all four stages; nothing is random."""
        boxes, image = detections.boxes, detections.image
        features = self.instance(self.fusion(align_regions(pyramid, boxes, image, SIDES[0]), detections.queries))
        semantic = self.semantic(pyramid[2])
        stages: list[Stage] = []
        for side, refinement in zip(SIDES[:-1], self.refinements, strict=True):
            if stages:
                features = F.interpolate(features, scale_factor=2, mode="bilinear")
            logits, features = refinement(features, semantic, boxes, image, detections.labels)
            stages.append(_stage(side, logits))
        last = F.interpolate(self.last_logits(features), scale_factor=2, mode="bilinear", align_corners=True)
        return [*stages, _stage(SIDES[-1], last.squeeze(1))]

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Weighted binary cross-entropies by stage: a mean over all counted cells, times the number of regions.

        The last two stages count only the cells near the boundary of the assembled mask of the stages before or of
        its target; without such a cell their loss is 0. Boxes are cut at the image border for the target.
        """
        wanted = [segmentation_target(coverage(targets, stage.side, clip=True), with_half=True) for stage in stages]
        losses = {}
        for index, (stage, weight) in enumerate(zip(stages, LOSS_WEIGHTS, strict=True)):
            logits, target = stage.mask_logits, wanted[index]
            if stage.overwrite == "boundary":
                with torch.no_grad():
                    counted = counted_cells(compose(stages[:index]) >= 0, wanted[index - 1] > 0)
                logits, target = logits[counted], target[counted]
            losses[f"mask_{stage.side}"] = mask_loss(logits, target, len(targets.boxes), weight)
        return losses


def _stage(side: int, logits: Float[Tensor, "R S S"]) -> Stage:
    """Wrap logits: masks of 14 and 28 stand for themselves, finer ones correct the boundary of the coarser."""
    corrects = side > SIDES[1]
    return Stage(side=side, mask_logits=logits, overwrite="boundary" if corrects else "all", align_corners=corrects)


def counted_cells(predicted: Bool[Tensor, "R S S"], wanted: Bool[Tensor, "R S S"]) -> Bool[Tensor, "R S*2 S*2"]:
    """Cells of the next lattice near the boundary of a predicted or wanted mask (width 2, wider than in assembly)."""
    near = boundary(predicted, LOSS_BOUNDARY_WIDTH) | boundary(wanted, LOSS_BOUNDARY_WIDTH)
    grown = F.interpolate(near.unsqueeze(1).float(), scale_factor=2, mode="bilinear", align_corners=True)
    return grown.squeeze(1) >= 0.5


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Make the head; with the paper's sizes it has 6,580,590 parameters."""
    num_masks = 1 if config.class_agnostic else num_classes
    features = [config.features >> index for index in range(len(SIDES))]
    return RefineMask(
        fusion=QueryFusion(pyramid_channels, query_size),
        instance=fcn(pyramid_channels, config.features, config.num_instance_convs),
        semantic=fcn(pyramid_channels, config.features, config.num_semantic_convs),
        refinements=[
            Refinement(side, size, config.features, num_masks, fade_at_border=config.fade_at_border)
            for side, size in zip(SIDES[:-1], features[:-1], strict=True)
        ],
        last_logits=nn.Conv2d(features[-1], 1, kernel_size=1),
        class_specific=not config.class_agnostic,
    )
