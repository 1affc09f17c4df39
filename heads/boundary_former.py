"""BoundaryFormer++: the mask is a polygon, whose corners attend to each other and to the pyramid.

    start    8 corners on an ellipse in the box; each has a sine code of its number, and what the query says
    layers   four, of 8, 16, 32 and 64 corners, new ones halfway between their neighbours: attention among the corners
             of a polygon, deformable attention to P2..P5 around each, feed-forward; then every corner moves
    mask     the signed distance to the polygon, on 64x64 cells after every layer in training, on 112x112 at inference

Lazarow et al., "Instance Segmentation with Mask-supervised Polygonal Boundary Transformers" (CVPR 2022). There the last
polygon is filled at the size of the image. A polygon has no holes and no second part. Its masks are hard: the mean
foreground probability (Eq. 3) is near 1 for all of them. It is made of the query, which ++ adds to every corner.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heads import (
    COARSEST_LEVEL,
    FINEST_LEVEL,
    Detections,
    MultiScaleDeformableAttention,
    Pyramid,
    Stage,
    Targets,
    coverage,
    lattice_code,
    mlp,
    segmentation_target,
    sine_code,
    two_layer_mlp,
)
from heads._boundary_former import polygon_logits

LEVELS = range(FINEST_LEVEL, COARSEST_LEVEL + 1)
CORNERS = (8, 16, 32, 64)
RADIUS = 0.49
TRAIN_SIDE = 64
SIDE = 112
SMALLEST = 1e-5


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of BoundaryFormer++; the defaults are those of the published models. Its width is that of the pyramid."""

    feedforward: int = 1024
    num_heads: int = 8
    num_points: int = 4


PRESETS = {"paper": Config(), "small": Config(feedforward=256)}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the corners look at: the cells of P2..P5 of every image with their codes, level after level."""

    cells: Float[Tensor, "B N C"]
    shapes: tuple[tuple[int, int], ...]

    def places(
        self, polygon: Float[Tensor, "R P 2"], boxes: Float[Tensor, "R 4"]
    ) -> tuple[Float[Tensor, "R P 4 2"], Float[Tensor, "R P 4 2"]]:
        """Corners in [0, 1] of each map's extent, and how far an offset of 1 goes there: box size over map size."""
        sizes = boxes.new_tensor([(width, height) for height, width in self.shapes])
        extent = sizes * boxes.new_tensor([2**level for level in LEVELS])[:, None]
        box = (boxes[:, 2:] - boxes[:, :2])[:, None]
        centres = (boxes[:, None, :2] + polygon * box)[:, :, None] / extent
        return centres, (box[:, :, None] / (sizes * extent)).expand(centres.shape)


class Layer(nn.Module):
    """One layer: the corners of a polygon see each other and the maps around them, then move; all post-norm."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, config.num_heads, batch_first=True)
        self.look = MultiScaleDeformableAttention(
            channels=channels, num_levels=len(LEVELS), num_heads=config.num_heads, num_points=config.num_points
        )
        self.feedforward = two_layer_mlp(channels, config.feedforward, channels)
        for linear in (self.feedforward[0], self.feedforward[2]):
            nn.init.xavier_uniform_(linear.weight)  # type: ignore[arg-type]
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.move = mlp(channels, channels, channels, 2)
        # The published layers do not move at first; so little lets gradients through.
        nn.init.normal_(self.move[-1].weight, std=0.001)  # type: ignore[arg-type]
        nn.init.zeros_(self.move[-1].bias)  # type: ignore[arg-type]

    def forward(
        self,
        content: Float[Tensor, "R P C"],
        place: Float[Tensor, "P C"],
        polygon: Float[Tensor, "R P 2"],
        memory: Memory,
        detections: Detections,
    ) -> tuple[Float[Tensor, "R P C"], Float[Tensor, "R P 2"]]:
        """New content of the corners, and where they are now."""
        placed = content + place
        content = self.norms[0](content + self.attention(placed, placed, content, need_weights=False)[0])
        content = self.norms[1](content + self._look(content + place, polygon, memory, detections))
        content = self.norms[2](content + self.feedforward(content))
        moved = polygon.logit(eps=SMALLEST) + self.move(content).to(polygon.dtype)
        return content, moved.sigmoid()

    def _look(
        self, placed: Float[Tensor, "R P C"], polygon: Float[Tensor, "R P 2"], memory: Memory, detections: Detections
    ) -> Float[Tensor, "R P C"]:
        """Deformable attention of all corners to the maps of their image."""
        counts, found, first = detections.region_counts, [], 0
        centres, unit = memory.places(polygon, detections.boxes)
        # There may be counts of images that have no regions and are not in the batch.
        for count, cells in zip(counts, memory.cells.split(1), strict=False):
            part = slice(first, first + count)
            rows, where, step = (values[part].flatten(0, 1)[None] for values in (placed, centres, unit))
            found.append(self.look(rows, where, step, cells, memory.shapes)[0])
            first += count
        return torch.cat(found).view(placed.shape)


class BoundaryFormer(nn.Module):
    """BoundaryFormer on regions with queries: a dense stage, in training one for every layer (a `MaskHead`)."""

    class_specific = False

    def __init__(self, config: Config, *, channels: int, query_size: int) -> None:
        super().__init__()
        self.level_code = nn.Parameter(torch.randn(len(LEVELS), channels))
        self.prompt = nn.Linear(query_size, channels)
        self.layers = nn.ModuleList(Layer(channels, config) for _ in CORNERS)

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict polygons and fill them. Nothing is random: `generator` is not used."""
        polygons = self.polygons(pyramid, detections)
        if not self.training:
            return [Stage(side=SIDE, mask_logits=polygon_logits(polygons[-1], SIDE))]
        return [Stage(side=TRAIN_SIDE, mask_logits=polygon_logits(polygon, TRAIN_SIDE)) for polygon in polygons]

    def polygons(self, pyramid: Pyramid, detections: Detections) -> list[Float[Tensor, "R P 2"]]:
        """The polygons after every layer: corners (x, y) in [0, 1]^2 of the boxes, which decide their precision."""
        memory, prompt = self._memory(pyramid), self.prompt(detections.queries)[:, None]
        numbers = torch.arange(CORNERS[-1], device=prompt.device).float()
        place, content_code = sine_code(numbers, 2 * prompt.shape[2]).to(prompt.dtype).chunk(2, dim=1)
        angle = 2 * math.pi / CORNERS[0] * torch.arange(CORNERS[0], device=prompt.device, dtype=detections.boxes.dtype)
        start = 0.5 + RADIUS * torch.stack([angle.cos(), angle.sin()], 1)
        polygon = start.expand(len(prompt), -1, -1)
        found: list[Tensor] = []
        content = content_code[:: CORNERS[-1] // CORNERS[0]] + prompt
        for layer, corners in zip(self.layers, CORNERS, strict=True):
            step = CORNERS[-1] // corners
            if found:
                polygon = _alternate(polygon, (polygon + polygon.roll(-1, 1)) / 2)
                content = _alternate(content, content_code[step :: 2 * step] + prompt)
            content, polygon = layer(content, place[::step], polygon, memory, detections)
            found.append(polygon)
        return found

    def _memory(self, pyramid: Pyramid) -> Memory:
        """Flatten the maps, each with the code of its cells and of its level."""
        shapes, cells = [], []
        for level, code in zip(LEVELS, self.level_code, strict=True):
            features = pyramid[level]
            height, width = map(int, features.shape[2:])  # while tracing, sizes are tensors
            row = torch.arange(height, device=features.device)[:, None].expand(height, width)
            column = torch.arange(width, device=features.device).expand(height, width)
            place = lattice_code(row, column, (height, width), features.shape[1]).to(features.dtype)
            cells.append(features.flatten(2).transpose(1, 2) + place.flatten(0, 1) + code)
            shapes.append((height, width))
        return Memory(cells=torch.cat(cells, 1), shapes=tuple(shapes))

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Dice of the masks after every layer, over all regions at once, times their number; a mean over layers."""
        target = segmentation_target(coverage(targets, TRAIN_SIDE))
        weight = len(targets.boxes) / len(stages)
        losses = {}
        for corners, stage in zip(CORNERS, stages, strict=True):
            chance = stage.mask_logits.sigmoid().clamp(min=SMALLEST)
            overlap = (2 * (chance * target).sum() + 1) / (chance.sum() + target.sum() + 1)
            losses[f"mask_of_{corners}"] = weight * (1 - overlap)
        return losses


def _alternate(old: Float[Tensor, "R P D"], new: Float[Tensor, "R P D"]) -> Float[Tensor, "R 2*P D"]:
    """One of `old`, one of `new`, and so on."""
    return torch.stack([old, new], 2).flatten(1, 2)


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Make the head; with the published sizes it has 4,677,384 parameters and no regard to the `num_classes`.

    Raises ValueError for a number of channels that 4 and the attention heads do not divide.
    """
    if pyramid_channels % math.lcm(4, config.num_heads):
        raise ValueError(
            f"The pyramid has {pyramid_channels} channels; expected a multiple of 4 and of the {config.num_heads} "
            "attention heads. Use such a pyramid or fewer heads."
        )
    return BoundaryFormer(config, channels=pyramid_channels, query_size=query_size)
