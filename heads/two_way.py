"""Two-way: SAM's mask decoder on a region, in which a few tokens and the region's cells attend to each other.

    cells    RoIAlign 28, with a random Fourier code of their places                          [R 784 C]
    tokens   quality, mask, and the query as the prompt                                       [R 3 C]
    2 times  tokens to tokens, tokens to cells, feed-forward, cells to tokens; at last tokens to cells once more
    cells    x2 + features one level finer, x2 + features two levels finer                    [R C/8 112 112]
    mask     cells . MLP(mask token)                                                          [R 112 112]
    quality  MLP(quality token): the IoU that the mask is expected to have                    [R]

From Kirillov et al., "Segment Anything" (ICCV 2023), with the finer features and losses of Ravi et al., "SAM 2" (2024).
Theirs decodes the whole image at stride 16 and marks a box by tokens of its corners, which in a region would be
constants. A box leaves no doubt which object is meant, so there is one mask. ++: the query is the prompt, and Eq. 3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from heads import (
    COARSEST_LEVEL,
    FINEST_LEVEL,
    Detections,
    FlatPyramid,
    Pyramid,
    Stage,
    Targets,
    align_regions,
    cell_points,
    coverage,
    dice_loss,
    mlp,
    region_levels,
    segmentation_target,
)

REGION_SIDE = 28
SIDE = 4 * REGION_SIDE
NUM_BLOCKS = 2
QUALITY, MASK = 0, 1
FOCAL_WEIGHT = 20.0


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the head beside the pyramid's channels, which are its width; with 256 it has 3,727,841 parameters."""

    hidden: int = 2048
    attention_heads: int = 8


PRESETS = {"paper": Config(), "small": Config(hidden=512, attention_heads=4)}


class Attention(nn.Module):
    """Attention of several heads, `inner` features wide in all."""

    def __init__(self, features: int, inner: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(features, inner)
        self.key = nn.Linear(features, inner)
        self.value = nn.Linear(features, inner)
        self.out = nn.Linear(inner, features)

    def forward(
        self, query: Float[Tensor, "R N C"], key: Float[Tensor, "R M C"], value: Float[Tensor, "R M C"]
    ) -> Float[Tensor, "R N C"]:
        """Weigh values by how well their keys fit a query. As products of matrices, which every ruler counts."""
        heads = self._heads(self.query(query)), self._heads(self.key(key)), self._heads(self.value(value))
        weights = (heads[0] @ heads[1].transpose(2, 3) / math.sqrt(heads[0].shape[3])).softmax(3)
        return self.out((weights @ heads[2]).transpose(1, 2).flatten(2))

    def _heads(self, rows: Float[Tensor, "R N I"]) -> Float[Tensor, "R h N i"]:
        return rows.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Tokens read each other and the cells, then cells read the tokens; a LayerNorm after each of the four sums.

    The first block's tokens are their own positions: it has no use for those, nor for a residual.
    """

    def __init__(self, features: int, config: Config, *, is_first: bool) -> None:
        super().__init__()
        self.is_first = is_first
        self.to_tokens = Attention(features, features, config.attention_heads)
        self.to_cells = Attention(features, features // 2, config.attention_heads)
        self.feedforward = mlp(features, config.hidden, features)
        self.from_cells = Attention(features, features // 2, config.attention_heads)
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(4))

    def forward(
        self,
        tokens: Float[Tensor, "R T C"],
        cells: Float[Tensor, "R N C"],
        positions: Float[Tensor, "R T C"],
        places: Float[Tensor, "N C"],
    ) -> tuple[Float[Tensor, "R T C"], Float[Tensor, "R N C"]]:
        """New tokens and cells; positions and places are added to what is compared, not to what is read."""
        if self.is_first:
            tokens = self.norms[0](self.to_tokens(tokens, tokens, tokens))
        else:
            placed = tokens + positions
            tokens = self.norms[0](tokens + self.to_tokens(placed, placed, tokens))
        placed_cells = cells + places
        tokens = self.norms[1](tokens + self.to_cells(tokens + positions, placed_cells, cells))
        tokens = self.norms[2](tokens + self.feedforward(tokens))
        cells = self.norms[3](cells + self.from_cells(placed_cells, tokens + positions, tokens))
        return tokens, cells


class Transformer(nn.Module):
    """All blocks, and at last tokens that read the cells once more."""

    def __init__(self, features: int, config: Config) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(features, config, is_first=number == 0) for number in range(NUM_BLOCKS))
        self.last = Attention(features, features // 2, config.attention_heads)
        self.norm = nn.LayerNorm(features)

    def forward(
        self, tokens: Float[Tensor, "R T C"], cells: Float[Tensor, "R N C"], places: Float[Tensor, "N C"]
    ) -> tuple[Float[Tensor, "R T C"], Float[Tensor, "R N C"]]:
        """New tokens and cells. A token's position is the token as it came."""
        positions = tokens
        for block in self.blocks:
            tokens, cells = block(tokens, cells, positions, places)
        return self.norm(tokens + self.last(tokens + positions, cells + places, cells)), cells


class Upscaling(nn.Module):
    """Cells to four times their side, on the way joined by finer levels of the pyramid."""

    def __init__(self, features: int) -> None:
        super().__init__()
        middle, last = features // 4, features // 8
        self.first = nn.ConvTranspose2d(features, middle, 2, stride=2)
        self.norm = nn.LayerNorm(middle)
        self.second = nn.ConvTranspose2d(middle, last, 2, stride=2)
        # On whole maps, before they are sampled: these have fewer channels.
        self.finer = nn.ModuleList(nn.Conv2d(features, size, 1) for size in (middle, last))

    def forward(
        self, cells: Float[Tensor, "R C S S"], pyramid: Pyramid, detections: Detections
    ) -> Float[Tensor, "R C//8 4*S 4*S"]:
        """Double the side twice; a level that is one or two finer than the region's own, but not below P2, is added."""
        cells = self.first(cells) + self._sampled(pyramid, detections, 1)
        cells = F.gelu(self.norm(cells.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return F.gelu(self.second(cells) + self._sampled(pyramid, detections, 2))

    def _sampled(self, pyramid: Pyramid, detections: Detections, depth: int) -> Float[Tensor, "R F S S"]:
        """Samples at the centres of all cells of a region."""
        boxes, side = detections.boxes, REGION_SIDE * 2**depth
        own = region_levels(boxes)
        maps = {level: pyramid[level] for level in range(FINEST_LEVEL, COARSEST_LEVEL + 1 - depth)}
        finer = FlatPyramid({level: self.finer[depth - 1](features) for level, features in maps.items()})
        center = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) / side
        y, x = torch.meshgrid(center, center, indexing="ij")
        point = torch.stack([x, y], 2).flatten(0, 1)
        region = torch.arange(len(boxes), device=boxes.device).repeat_interleave(side**2)
        levels = (own - depth).clamp(min=FINEST_LEVEL)[region]
        positions = cell_points(boxes, region, point.repeat(len(boxes), 1))
        rows = finer.sample(levels, detections.image[region], positions)
        return rows.view(len(boxes), side, side, rows.shape[1]).permute(0, 3, 1, 2)


class TwoWay(nn.Module):
    """SAM's decoder on regions with queries: one dense stage with a quality (a `MaskHead`)."""

    class_specific = False

    def __init__(self, config: Config, *, channels: int, query_size: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(2, channels))
        self.prompt = nn.Linear(query_size, channels)
        # Drawn once, not learned: a part of the weights, or these would not fit another draw.
        self.register_buffer("frequencies", torch.randn(2, channels // 2))
        self.frequencies: Tensor
        self.transformer = Transformer(channels, config)
        self.upscaling = Upscaling(channels)
        self.filter = mlp(channels, channels, channels, channels // 8)
        self.quality = mlp(channels, channels, channels, 1)

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict the only stage and its quality. Nothing is random: `generator` is not used."""
        aligned = align_regions(pyramid, detections.boxes, detections.image, REGION_SIDE)
        prompt = self.prompt(detections.queries)[:, None]
        tokens = torch.cat([self.tokens.expand(len(prompt), -1, -1), prompt], 1)
        tokens, cells = self.transformer(tokens, aligned.flatten(2).transpose(1, 2), self._places())
        fine = self.upscaling(cells.transpose(1, 2).view(aligned.shape), pyramid, detections)
        logits = self.filter(tokens[:, MASK])[:, None] @ fine.flatten(2)
        quality = self.quality(tokens[:, QUALITY])[:, 0].sigmoid()
        return [Stage(side=SIDE, mask_logits=logits.view(-1, SIDE, SIDE), quality=quality)]

    def _places(self) -> Float[Tensor, "N C"]:
        """The code of cell centres: sine and cosine of random directions of (x, y) in [-1, 1]^2."""
        # Angles of many turns: half precision would blur them.
        frequencies = self.frequencies.to(torch.promote_types(self.frequencies.dtype, torch.float32))
        center = (2 * torch.arange(REGION_SIDE, device=frequencies.device, dtype=frequencies.dtype) + 1) / REGION_SIDE
        y, x = torch.meshgrid(center - 1, center - 1, indexing="ij")
        angle = 2 * math.pi * (torch.stack([x, y], 2).flatten(0, 1) @ frequencies)
        return torch.cat([angle.sin(), angle.cos()], 1).to(self.frequencies.dtype)

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Focal loss (a mean over cells) and dice of the mask, and how far the quality is from the true IoU."""
        (stage,) = stages
        assert stage.quality is not None
        logits = stage.mask_logits
        target = segmentation_target(coverage(targets, SIDE)).to(logits.dtype)
        focal = sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2.0).flatten(1).mean(1).sum()
        found, wanted = (logits.detach() > 0).flatten(1), (target > 0).flatten(1)
        union = (found | wanted).sum(1).clamp(min=1)
        overlap = (found & wanted).sum(1) / union
        return {
            "mask_112": FOCAL_WEIGHT * focal,
            "dice_112": dice_loss(logits, target),
            "quality": (stage.quality - overlap.to(stage.quality.dtype)).abs().sum(),
        }


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Build the head; it has one mask for all of the `num_classes`.

    Raises ValueError for a number of channels that 8 and twice the attention heads do not divide.
    """
    if pyramid_channels % math.lcm(8, 2 * config.attention_heads):
        raise ValueError(
            f"The pyramid has {pyramid_channels} channels; expected a multiple of 8 and of twice the "
            f"{config.attention_heads} attention heads. Use such a pyramid or fewer heads."
        )
    return TwoWay(config, channels=pyramid_channels, query_size=query_size)
