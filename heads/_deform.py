"""Multi-scale deformable attention in plain PyTorch: a query reads a few learned points of every pyramid level."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class MultiScaleDeformableAttention(nn.Module):
    """Attention whose keys are bilinear samples at learned offsets around a reference point (Deformable DETR).

    Every head reads `num_points` points on each of `num_levels` maps; softmax over all of them. The layer that predicts
    the offsets is the only one with "offset" in its name: it trains at its own learning rate.

    Cost: four multiply-adds per bilinear sample and channel, then one for its weight, which is written as a matrix
    product so that operation counters see it: 5 * levels * points * outputs together.
    """

    def __init__(self, *, channels: int, num_levels: int, num_heads: int, num_points: int) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(
                f"{channels} channels cannot be split over {num_heads} heads; expected a multiple; change one of them."
            )
        self.num_levels, self.num_heads, self.num_points = num_levels, num_heads, num_points
        num_samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(channels, num_samples * 2)
        self.attention_weights = nn.Linear(channels, num_samples)
        self.values = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as a mean over points that lie on squares around the reference, one direction per head."""
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        distances = torch.arange(1, self.num_points + 1)
        grid = directions[:, None, None] * distances[:, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(grid.expand(-1, self.num_levels, -1, -1).flatten())
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.values, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        queries: Float[Tensor, "B Q C"],
        centres: Float[Tensor, "#B Q #L 2"],
        unit: Float[Tensor, "#B #Q #L 2"],
        features: Float[Tensor, "B N C"],
        shapes: Sequence[tuple[int, int]],
    ) -> Float[Tensor, "B Q C"]:
        """Attend from each query to the maps of all levels, flattened and concatenated in `features`.

        `centres` (x, y) in [0, 1] of the maps' extent, per level or for all; an offset of 1 moves a sample by `unit`,
        per level, in the same coordinates. Samples outside a map count as zero. `shapes`: (height, width) by level.
        """
        batch, num_queries, channels = queries.shape
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        offsets = self.sampling_offsets(queries).view(batch, num_queries, heads, levels, points, 2)
        # Positions need more digits than 16 bits have, and torch reads beyond the map when it samples with fewer.
        precision = torch.promote_types(queries.dtype, torch.float32)
        places = centres[:, :, None, :, None].to(precision) + offsets * unit[:, :, None, :, None]
        grids = (2 * places - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
        weights = self.attention_weights(queries).view(batch, num_queries, heads, levels * points).softmax(dim=-1)
        values = self.values(features).view(batch, -1, heads, channels // heads).permute(0, 2, 3, 1)

        samples = []
        areas = [height * width for height, width in shapes]
        for (height, width), flat, grid in zip(shapes, values.split(areas, dim=-1), grids, strict=True):
            level = flat.flatten(0, 1).unflatten(-1, (height, width)).to(precision)
            sampled = F.grid_sample(level, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            samples.append(sampled.transpose(1, 2))
        # [B*heads Q C/heads L*P] @ [B*heads Q L*P 1]
        attended = torch.cat(samples, dim=-1) @ weights.to(precision).transpose(1, 2).flatten(0, 1)[..., None]
        attended = attended.view(batch, heads, num_queries, channels // heads).transpose(1, 2)
        return self.output(attended.flatten(2).to(queries.dtype))
