"""Query-dot: the query becomes a filter, and the mask is its product with a map of the image, seen through the box.

    pixels   P2 -> convolution, GroupNorm, ReLU, 1x1 convolution, once for the image           [B F H W]
    filter   query -> LayerNorm, three linear layers                                           [R F + 3]
    mask     pixels . filter on the image, RoIAlign 112, + the part of x and y in the box      [R 112 112]

The mask branch of Mask2Former, Mask DINO and others (Cheng et al., CVPR 2022; Li et al., CVPR 2023). Without the plane
of x and y it is theirs: their queries are trained with masks and know their place. With `dynamic` channels the filter
is a network of three layers on so many maps and the place in the box, as in CondInst (Tian et al., ECCV 2020). Their
masks are not cut at a box, and here CondInst's maps come from P2 alone.

It is made of the query, so ++ adds nothing; Eq. 3 is the score of the first two anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heads import (
    FINEST_LEVEL,
    Detections,
    Pyramid,
    Stage,
    Targets,
    align_regions,
    coverage,
    dice_loss,
    mask_loss,
    mlp,
    segmentation_target,
)

SIDE = 112
DOT_WEIGHT = 5.0
DYNAMIC_SMOOTH = 1e-5
COORDINATES = 2


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the head; the defaults are those of Mask2Former's branch, with 854,787 parameters.

    `coordinates` adds to every mask a plane over its box, for queries that never saw one. `dynamic` makes filters as
    CondInst does, on that many channels; they always see coordinates.
    """

    features: int = 256
    groups: int = 32
    coordinates: bool = True
    dynamic: int | None = None


_SMALL = Config(features=64, groups=8)
PRESETS = {"paper": Config(), "small": _SMALL, "small_dynamic": Config(features=64, groups=8, dynamic=8)}


class QueryDot(nn.Module):
    """Query-dot on regions with queries: one dense stage (a `MaskHead`)."""

    class_specific = False

    def __init__(
        self, *, pixels: nn.Module, filters: nn.Module, coordinates: bool, layers: Sequence[tuple[int, int]] | None
    ) -> None:
        super().__init__()
        self.pixels = pixels
        self.filters = filters
        self.coordinates = coordinates
        self.layers = layers

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict the only stage. Nothing is random: `generator` is not used."""
        pixels, filters = self.pixels(pyramid[FINEST_LEVEL]), self.filters(detections.queries)
        logits = (
            self._dot(pixels, filters, detections)
            if self.layers is None
            else self._dynamic(pixels, filters, detections, self.layers)
        )
        return [Stage(side=SIDE, mask_logits=logits)]

    def _dot(
        self, pixels: Float[Tensor, "B F H W"], filters: Float[Tensor, "R G"], detections: Detections
    ) -> Float[Tensor, "R S S"]:
        """Products on the whole image first: samples are linear, and one map costs less to sample than its channels."""
        features = pixels.shape[1]
        of_images = filters[:, :features].split(detections.region_counts)
        maps = torch.cat([part @ image.flatten(1) for part, image in zip(of_images, pixels, strict=True)])
        boxes = detections.boxes
        regions = torch.arange(len(boxes), device=boxes.device)
        maps = maps.view(-1, 1, *pixels.shape[2:])
        logits = align_regions({FINEST_LEVEL: maps}, boxes, regions, SIDE, level=FINEST_LEVEL)[:, 0]
        if not self.coordinates:
            return logits
        *plane, shift = filters.split([features, COORDINATES, 1], 1)
        return logits + (plane[1] @ box_coordinates(filters).flatten(1) + shift).view(logits.shape)

    def _dynamic(
        self,
        pixels: Float[Tensor, "B D H W"],
        filters: Float[Tensor, "R G"],
        detections: Detections,
        layers: Sequence[tuple[int, int]],
    ) -> Float[Tensor, "R S S"]:
        """Every region's own network on its place in the box and the channels of the map."""
        aligned = align_regions(
            {FINEST_LEVEL: pixels}, detections.boxes, detections.image, SIDE, level=FINEST_LEVEL
        ).flatten(2)
        places = box_coordinates(filters).flatten(1).expand(len(filters), -1, -1)
        rows = torch.cat([places, aligned], 1)
        *weights, biases = filters.split([*(size * out for size, out in layers), sum(out for _, out in layers)], 1)
        shifts = biases.split([out for _, out in layers], 1)
        for number, ((size, out), weight, shift) in enumerate(zip(layers, weights, shifts, strict=True)):
            rows = weight.view(-1, out, size) @ rows + shift[:, :, None]
            rows = rows.relu() if number < len(layers) - 1 else rows
        return rows.view(-1, SIDE, SIDE)

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Cross-entropy (a mean over cells) and dice of every region, or dice alone as CondInst."""
        (stage,) = stages
        target = segmentation_target(coverage(targets, SIDE))
        if self.layers is not None:
            return {"dice_112": dice_loss(stage.mask_logits, target, squared=True, smooth=DYNAMIC_SMOOTH)}
        return {
            "mask_112": mask_loss(stage.mask_logits, target, len(targets.boxes), DOT_WEIGHT),
            "dice_112": dice_loss(stage.mask_logits, target, weight=DOT_WEIGHT),
        }


def box_coordinates(like: Float[Tensor, "..."]) -> Float[Tensor, "2 S S"]:
    """x and y of cell centres, from -1 to 1 in the box."""
    center = (2 * torch.arange(SIDE, device=like.device) + 1) / SIDE - 1
    y, x = torch.meshgrid(center, center, indexing="ij")
    return torch.stack([x, y]).to(like.dtype)


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Build the head; it has one mask for all of the `num_classes`.

    Raises ValueError where GroupNorm's `groups` do not divide the features.
    """
    features, dynamic = config.features, config.dynamic
    if features % config.groups:
        raise ValueError(
            f"{features} features cannot be normalised in {config.groups} groups; expected a divisor. Change one."
        )
    layers = None if dynamic is None else [(COORDINATES + dynamic, dynamic), (dynamic, dynamic), (dynamic, 1)]
    numbers = features + (COORDINATES + 1) * config.coordinates
    if layers is not None:
        numbers = sum(size * out + out for size, out in layers)
    return QueryDot(
        pixels=nn.Sequential(
            nn.Conv2d(pyramid_channels, features, 3, padding=1, bias=False),
            nn.GroupNorm(config.groups, features),
            nn.ReLU(inplace=True),
            nn.Conv2d(features, features if dynamic is None else dynamic, 1),
        ),
        filters=nn.Sequential(nn.LayerNorm(query_size), *mlp(query_size, features, features, numbers)),
        coordinates=config.coordinates,
        layers=layers,
    )
