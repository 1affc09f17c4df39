"""The stronger neck "DefEnc": deformable self-attention over P3..P7, and a branch for P2 beside it (Table 3)."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from heads import MultiScaleDeformableAttention

ENCODED_LEVELS = (3, 4, 5, 6, 7)
_DETR_EPSILON = 1e-6  # DETR divides by the size of the map and this


class DeformEncoder(nn.Module):
    """Mask DINO's pixel decoder followed by a 1x1 convolution per level: C2..C5 to P2..P7.

    This combination reproduces the paper's parameter totals. Nothing masks padding: maps are read to their padded
    extent, which is the image itself at batch size 1.

    `source_positions` codes the places of cells exactly as that source does, slips included (`_source_positions`);
    without, a cell has the code of its centre.
    """

    def __init__(
        self,
        in_channels: Mapping[int, int],
        channels: int = 256,
        *,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        hidden: int = 1024,
        num_groups: int = 32,
        source_positions: bool = True,
    ) -> None:
        super().__init__()
        self.source_positions = source_positions

        def norm() -> nn.GroupNorm:
            return nn.GroupNorm(num_groups, channels)

        def pointwise(level: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(in_channels[level], channels, 1), norm())

        def halve(width: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(width, channels, 3, stride=2, padding=1), norm())

        self.inputs = nn.ModuleDict({str(level): pointwise(level) for level in (3, 4, 5)})
        self.inputs["6"] = halve(in_channels[5])
        self.inputs["7"] = halve(channels)
        self.level_embedding = nn.Parameter(torch.empty(len(ENCODED_LEVELS), channels))
        self.layers = nn.ModuleList(
            EncoderLayer(
                channels=channels,
                num_levels=len(ENCODED_LEVELS),
                num_heads=num_heads,
                num_points=num_points,
                hidden=hidden,
            )
            for _ in range(num_layers)
        )
        self.fine_lateral = nn.Sequential(nn.Conv2d(in_channels[2], channels, 1, bias=False), norm())
        self.fine_output = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm(), nn.ReLU(), nn.Conv2d(channels, channels, 1)
        )
        self.outputs = nn.ModuleDict({str(k): nn.Conv2d(channels, channels, 1) for k in (2, *ENCODED_LEVELS)})
        nn.init.normal_(self.level_embedding)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Give the pyramid by level, every map [B channels H W], finest level first."""
        maps = {level: self.inputs[str(level)](features[level]) for level in (3, 4, 5)}
        maps[6] = self.inputs["6"](features[5])
        maps[7] = self.inputs["7"](maps[6])
        encoded = self._encode(maps)
        lateral = self.fine_lateral(features[2])
        upsampled = F.interpolate(encoded[3], size=lateral.shape[-2:], mode="bilinear", align_corners=False)
        encoded[2] = self.fine_output(lateral + upsampled)
        return {level: self.outputs[str(level)](encoded[level]) for level in (2, *ENCODED_LEVELS)}

    def _encode(self, maps: Mapping[int, Tensor]) -> dict[int, Tensor]:
        first = maps[ENCODED_LEVELS[0]]
        shapes = [(int(maps[level].shape[-2]), int(maps[level].shape[-1])) for level in ENCODED_LEVELS]
        centres = [cell_centres(height, width, first) for height, width in shapes]
        positions = self._source_positions(shapes, first) if self.source_positions else self._positions(centres)
        rows = torch.cat([maps[level].flatten(2).transpose(1, 2) for level in ENCODED_LEVELS], dim=1)
        position, centre = torch.cat(positions)[None].to(rows.dtype), torch.cat(centres)[None]
        sides = centre.new_tensor([(width, height) for height, width in shapes])
        for layer in self.layers:
            rows = layer(rows, position, centre[:, :, None], 1 / sides[None, None], shapes)
        pieces = rows.transpose(1, 2).split([height * width for height, width in shapes], dim=2)
        return {
            level: piece.unflatten(2, shape) for level, piece, shape in zip(ENCODED_LEVELS, pieces, shapes, strict=True)
        }

    def _positions(self, centres: Sequence[Float[Tensor, "_ 2"]]) -> list[Tensor]:
        """Position code of every cell [N C] by level: that of its centre and its level."""
        channels = self.level_embedding.shape[1]
        return [
            sine_encoding(middle, channels) + embedding
            for middle, embedding in zip(centres, self.level_embedding, strict=True)
        ]

    def _source_positions(self, shapes: Sequence[tuple[int, int]], like: Tensor) -> list[Tensor]:
        """The same as Mask DINO's code computes it: of lower right corners, and with P6 and P7 mixed up.

        There features go from P7 to P3, but positions from P6, P7 to P5, P4, P3: the cells of P7 get the first rows of
        P6's code with P7's embedding, and those of P6 the rest of it, then all of P7's code with P6's embedding.
        """
        channels = self.level_embedding.shape[1]
        codes = [corner_encoding(height, width, channels, like) for height, width in shapes]
        added = [code + embedding for code, embedding in zip(codes[:-2], self.level_embedding[:-2], strict=True)]
        mixed = torch.cat((codes[-2] + self.level_embedding[-1], codes[-1] + self.level_embedding[-2]))
        num_last = len(codes[-1])
        return [*added, mixed[num_last:], mixed[:num_last]]


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward network, normalised after each residual."""

    def __init__(self, *, channels: int, num_levels: int, num_heads: int, num_points: int, hidden: int) -> None:
        super().__init__()
        self.feed_forward = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        for layer in self.feed_forward:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        self.attention = MultiScaleDeformableAttention(
            channels=channels, num_levels=num_levels, num_heads=num_heads, num_points=num_points
        )
        self.attention_norm = nn.LayerNorm(channels)
        self.feed_forward_norm = nn.LayerNorm(channels)

    def forward(
        self,
        features: Float[Tensor, "B N C"],
        position: Float[Tensor, "1 N C"],
        centres: Float[Tensor, "1 N 1 2"],
        unit: Float[Tensor, "1 1 L 2"],
        shapes: Sequence[tuple[int, int]],
    ) -> Float[Tensor, "B N C"]:
        """Mix the cells of all levels; positions are added to the queries, not to the values."""
        attended = self.attention(features + position, centres, unit, features, shapes)
        features = self.attention_norm(features + attended)
        return self.feed_forward_norm(features + self.feed_forward(features))


def cell_centres(height: int, width: int, like: Tensor) -> Float[Tensor, "N 2"]:
    """Centres (x, y) in (0, 1) of the cells of a map, row-major, on the device of `like`, in at least 32 bits."""
    precision = torch.promote_types(like.dtype, torch.float32)
    y = (torch.arange(height, device=like.device, dtype=precision) + 0.5) / height
    x = (torch.arange(width, device=like.device, dtype=precision) + 0.5) / width
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1).flatten(0, 1)


def sine_encoding(
    points: Float[Tensor, "N 2"], channels: int, temperature: float = 10_000.0
) -> Float[Tensor, "N {channels}"]:
    """Sines and cosines of the coordinates, scaled to 2 pi; half of the channels describe x, the other half y."""
    exponents = torch.arange(0, channels // 2, 2, device=points.device, dtype=points.dtype) / (channels // 2)
    phases = 2 * math.pi * points[..., None] / temperature**exponents
    return torch.cat((phases.sin(), phases.cos()), dim=-1).flatten(1)


def corner_encoding(
    height: int, width: int, channels: int, like: Tensor, temperature: float = 10_000.0
) -> Float[Tensor, "N {channels}"]:
    """DETR's code of the cells of a map, row-major: of their lower right corners in (0, 1], scaled to 2 pi.

    Half of the channels describe y, then the other half x; sines and cosines of one period alternate.
    """
    precision = torch.promote_types(like.dtype, torch.float32)
    along = []
    for size in (height, width):
        corner = torch.arange(1, size + 1, device=like.device, dtype=precision) / (size + _DETR_EPSILON)
        exponents = torch.arange(0, channels // 2, 2, device=like.device, dtype=precision) / (channels // 2)
        phases = 2 * math.pi * corner[:, None] / temperature**exponents
        along.append(torch.stack((phases.sin(), phases.cos()), dim=-1).flatten(1))
    rows, columns = along
    grid = (rows[:, None].expand(-1, width, -1), columns.expand(height, -1, -1))
    return torch.cat(grid, dim=-1).flatten(0, 1)
