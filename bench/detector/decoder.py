"""The decoder of FQDet: queries look at the pyramid around their anchor, then at each other."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.detector.blocks import Residual, linear_block
from bench.detector.boxes import centre_size
from heads import MultiScaleDeformableAttention


class AnchorEncoding(nn.Module):
    """Encode the anchor of each query, relative to the input image; one encoding serves all decoder layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, channels), Residual(linear_block(channels)))

    def forward(self, anchors: Float[Tensor, "B Q 4"]) -> Float[Tensor, "B Q C"]:
        """Encode anchors given as xyxy in [0, 1] of the (padded) input."""
        return self.layers(torch.cat(centre_size(anchors), dim=-1))


class DecoderLayer(nn.Module):
    """Cross-attention to the pyramid, self-attention among an image's queries, feed-forward; all pre-norm residuals."""

    def __init__(self, *, channels: int, num_levels: int, num_heads: int, num_points: int, hidden: int) -> None:
        super().__init__()
        self.num_points = num_points
        self.cross_norm = nn.LayerNorm(channels)
        self.cross_attention = MultiScaleDeformableAttention(
            channels=channels, num_levels=num_levels, num_heads=num_heads, num_points=num_points
        )
        self.self_norm = nn.LayerNorm(channels)
        self.self_attention = nn.MultiheadAttention(channels, num_heads, batch_first=True)
        self.feed_forward = Residual(
            nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        )

    def forward(
        self,
        queries: Float[Tensor, "B Q C"],
        encoding: Float[Tensor, "B Q C"] | None,
        anchors: Float[Tensor, "B Q 4"],
        features: Float[Tensor, "B N C"],
        shapes: Sequence[tuple[int, int]],
    ) -> Float[Tensor, "B Q C"]:
        """Update the queries. `anchors`: xyxy in [0, 1] of the input; `features`: all levels, of sizes `shapes`.

        An offset of `num_points`, the farthest of the initial ones, reaches the border of the anchor. Where there is an
        `encoding` of the anchors, it says to both attentions where a query stands.
        """
        centres, sizes = centre_size(anchors)
        unit = 0.5 * sizes[:, :, None] / self.num_points
        place = _placed(self.cross_norm(queries), encoding)
        queries = queries + self.cross_attention(place, centres[:, :, None], unit, features, shapes)
        normed = self.self_norm(queries)
        place = _placed(normed, encoding)
        queries = queries + self.self_attention(place, place, normed, need_weights=False)[0]
        return self.feed_forward(queries)


def _placed(queries: Float[Tensor, "B Q C"], encoding: Float[Tensor, "B Q C"] | None) -> Float[Tensor, "B Q C"]:
    return queries if encoding is None else queries + encoding
