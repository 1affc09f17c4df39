"""PointRend++: a coarse 28x28 mask, then an MLP that predicts its most uncertain points anew, one by one.

    P2, RoIAlign 14 -> query fusion, 4 convolutions, x2 -> coarse logits [R 28 28] of every class
    inference   `steps` times: x2 bilinear upsampling, then the `num_points` values closest to zero are predicted anew
    training    196 points per region anywhere in the box, three quarters of them where the coarse mask is unsure

A point is predicted from P2 at its position and from the coarse logits there - always those of the original 28x28
map, so an error of one step is not fed to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from heads import (
    CoarseMask,
    Detections,
    FlatPyramid,
    Linear,
    Pyramid,
    Stage,
    Targets,
    align_regions,
    cell_points,
    class_channel,
    coverage,
    in_blocks,
    mask_loss,
    mask_values,
    segmentation_target,
    top_per_region,
)

COARSE_SIDE = 28
LEVEL = 2
TRAIN_POINTS = 196
TRAIN_CANDIDATES = 3 * TRAIN_POINTS
TRAIN_UNCERTAIN = 3 * TRAIN_POINTS // 4


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of PointRend++; the defaults are the paper's.

    `steps` subdivisions at inference: 3 end at 224x224 (the paper's cost and code), 2 at 112x112 (its text).
    `upsample_all_classes` carries the maps of every class through the subdivisions, as the paper's cost does; without
    it only the map of a region's own class is carried, which gives the same masks for less. `fade_at_border`: region
    features fade to zero at the border of the map, as in the authors' code; without, they repeat its edge (RoIAlign).
    """

    features: int = 256
    num_convs: int = 4
    steps: int = 3
    num_points: int = 784
    class_agnostic: bool = False
    upsample_all_classes: bool = True
    fade_at_border: bool = True


_SMALL = Config(features=64, steps=2, upsample_all_classes=False, fade_at_border=False)
PRESETS = {"paper": Config(), "small": _SMALL, "small_agnostic": replace(_SMALL, class_agnostic=True)}


class PointHead(nn.Module):
    """Predict the logits of single points from the pyramid and the coarse masks; every layer sees the latter again."""

    def __init__(self, pyramid_channels: int, features: int, num_masks: int) -> None:
        super().__init__()
        sizes = (pyramid_channels, features, features)
        self.hidden = nn.ModuleList(Linear(size + num_masks, features) for size in sizes)
        self.logits = Linear(features + num_masks, num_masks)
        # Before training a refined point is undecided, whatever its features are.
        nn.init.normal_(self.logits.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)

    def forward(
        self,
        finest: FlatPyramid,
        detections: Detections,
        coarse: Float[Tensor, "R M H W"],
        point: Float[Tensor, "R N 2"],
    ) -> Float[Tensor, "R M N"]:
        """Predict `M` logits at `N` points (x, y) in [0, 1]^2 of every region's box."""
        region = _owner(point)
        positions = cell_points(detections.boxes, region, point.flatten(0, 1))
        features = finest.sample(torch.full_like(region, LEVEL), detections.image[region], positions)
        before = sample_masks(coarse, point).transpose(1, 2).flatten(0, 1)
        logits = in_blocks(self._classify, features, before)
        return logits.unflatten(0, point.shape[:2]).transpose(1, 2)

    def _classify(self, features: Float[Tensor, "N C"], before: Float[Tensor, "N M"]) -> Float[Tensor, "N M"]:
        """The MLP: every layer reads the coarse logits again."""
        for layer in self.hidden:
            features = layer(torch.cat([features, before], 1)).relu()
        return self.logits(torch.cat([features, before], 1))


class PointRend(nn.Module):
    """PointRend on regions with queries: one dense stage and, after it, sparse ones (a `MaskHead`).

    In training the only sparse stage holds the drawn points, which lie on no lattice; its `side` is that of the
    first subdivision.
    """

    def __init__(
        self,
        *,
        coarse: nn.Module,
        point_head: nn.Module,
        steps: int,
        num_points: int,
        class_specific: bool,
        upsample_all_classes: bool,
        fade_at_border: bool,
    ) -> None:
        super().__init__()
        self.coarse = coarse
        self.point_head = point_head
        self.steps = steps
        self.num_points = num_points
        self.class_specific = class_specific
        self.upsample_all_classes = upsample_all_classes
        self.fade_at_border = fade_at_border

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict the coarse stage, then the drawn points (training) or the refined ones (inference).

        The generator must live on the device of the boxes.
        """
        boxes, image = detections.boxes, detections.image
        # PointRend takes one sample per bin from P2 for boxes of every size; the other heads follow Eq. 1.
        aligned = align_regions(
            pyramid, boxes, image, COARSE_SIDE // 2, sampling_ratio=1, level=LEVEL, fading=self.fade_at_border
        )
        coarse = self.coarse(aligned, detections.queries)
        first = Stage(side=COARSE_SIDE, mask_logits=class_channel(coarse, detections.labels))
        finest = FlatPyramid({LEVEL: pyramid[LEVEL]})
        if not self.training:
            return [first, *self._subdivide(finest, detections, coarse)]
        point = training_points(first.mask_logits.detach(), boxes, generator)
        logits = class_channel(self.point_head(finest, detections, coarse, point), detections.labels)
        return [first, _point_stage(2 * COARSE_SIDE, point, logits)]

    def _subdivide(self, finest: FlatPyramid, detections: Detections, coarse: Float[Tensor, "R M H W"]) -> list[Stage]:
        """Refine the most uncertain cells of ever finer masks."""
        stages, labels = [], detections.labels
        masks = self._carried(coarse, labels)
        for step in range(1, self.steps + 1):
            side = COARSE_SIDE * 2**step
            masks = F.interpolate(masks, size=(side, side), mode="bilinear")
            cell = least_certain(class_channel(masks, labels).flatten(1), self.num_points)
            point = (torch.stack([cell % side, cell // side], 2) + 0.5).to(detections.boxes.dtype) / side
            logits = self._carried(self.point_head(finest, detections, coarse, point), labels)
            # In place: at 224x224 the maps of 80 classes and 100 regions are 1.6 GB.
            masks = masks.flatten(2).scatter_(2, cell[:, None].expand_as(logits), logits).unflatten(2, (side, side))
            stages.append(_point_stage(side, point, class_channel(logits, labels)))
        return stages

    def _carried(self, logits: Float[Tensor, "R M *cells"], labels: Int[Tensor, "D"]) -> Float[Tensor, "R m *cells"]:
        """The logits that one subdivision hands to the next: of all classes, or of each region's own (m = 1)."""
        return logits if self.upsample_all_classes else class_channel(logits, labels).unsqueeze(1)

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Binary cross-entropy of the coarse mask and of the points, each a mean per region, summed over regions.

        Points are compared with the bilinear, hence soft, value of the object's mask.
        """
        coarse, points = stages
        assert points.region is not None
        assert points.point is not None
        target = segmentation_target(coverage(targets, coarse.side, clip=True), with_half=True)
        values = mask_values(targets, points.region, points.point)
        num_regions = len(targets.boxes)
        return {
            "mask_28": mask_loss(coarse.mask_logits, target, num_regions),
            "points": mask_loss(points.mask_logits, values, num_regions),
        }


def sample_masks(masks: Float[Tensor, "R M H W"], point: Float[Tensor, "R N 2"]) -> Float[Tensor, "R M N"]:
    """Sample every region's own masks at points (x, y) in [0, 1]^2: bilinear.

    Outside are zeros, as in PointRend, so logits fade at the rim of the box and look less certain there.
    Computed in the precision of the points: 16 bits cannot tell the cells of a fine lattice apart.
    """
    grid = (2 * point - 1).unsqueeze(2)
    return F.grid_sample(masks.to(point.dtype), grid, align_corners=False).squeeze(3).to(masks.dtype)


def least_certain(logits: Float[Tensor, "R N"], count: int) -> Int[Tensor, "R K"]:
    """Indices of the `count` logits of each region that are closest to zero, ascending; all if there are fewer."""
    return top_per_region(-logits.abs(), count) % logits.shape[1]


def training_points(
    coarse: Float[Tensor, "R H W"], boxes: Float[Tensor, "R 4"], generator: torch.Generator | None
) -> Float[Tensor, "R N 2"]:
    """Draw 196 points per region: the 147 of 588 uniform ones where the coarse mask is least certain, and 49 more.

    Certainty is that of the logit sampled at the point itself: two certain cells of opposite sign have an uncertain
    point between them.
    """

    def uniform(count: int) -> Float[Tensor, "R N 2"]:
        return torch.rand((len(boxes), count, 2), generator=generator, device=boxes.device, dtype=boxes.dtype)

    candidates = uniform(TRAIN_CANDIDATES)
    uncertain = least_certain(sample_masks(coarse.unsqueeze(1), candidates).squeeze(1), TRAIN_UNCERTAIN)
    chosen = torch.take_along_dim(candidates, uncertain.unsqueeze(2), 1)
    return torch.cat([chosen, uniform(TRAIN_POINTS - TRAIN_UNCERTAIN)], 1)


def _owner(point: Float[Tensor, "R N 2"]) -> Int[Tensor, "R*N"]:
    """Region of every point, in the order of `point.flatten(0, 1)`."""
    num_regions, num_points, _ = point.shape
    return torch.arange(num_regions, device=point.device)[:, None].expand(-1, num_points).flatten()


def _point_stage(side: int, point: Float[Tensor, "R N 2"], logits: Float[Tensor, "R N"]) -> Stage:
    return Stage(
        side=side, mask_logits=logits.flatten(), region=_owner(point), point=point.flatten(0, 1), overwrite="selected"
    )


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Make the head; with the paper's sizes it has 3,191,968 parameters."""
    num_masks = 1 if config.class_agnostic else num_classes
    return PointRend(
        coarse=CoarseMask(pyramid_channels, query_size, config.features, config.num_convs, num_masks),
        point_head=PointHead(pyramid_channels, config.features, num_masks),
        steps=config.steps,
        num_points=config.num_points,
        class_specific=not config.class_agnostic,
        upsample_all_classes=config.upsample_all_classes,
        fade_at_border=config.fade_at_border,
    )
