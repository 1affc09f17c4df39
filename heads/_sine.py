"""Positions as sines and cosines of growing period: what attention knows of where its tokens are."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

PERIOD = 10_000.0


def sine_code(positions: Float[Tensor, "N"], features: int) -> Float[Tensor, "N {features}"]:
    """Sines and cosines of positions in radians, in turn: those of pair k of K have the frequency PERIOD^(-k / K)."""
    pairs = torch.arange(0, features, 2, device=positions.device, dtype=positions.dtype)
    phases = positions[:, None] * PERIOD ** (-pairs / features)
    return torch.stack([phases.sin(), phases.cos()], 2).flatten(1)


def lattice_code(
    row: Int[Tensor, "*cells"], column: Int[Tensor, "*cells"], size: tuple[int, int], features: int
) -> Float[Tensor, "*cells {features}"]:
    """Code of the cells of a lattice of `size` (height, width): half of the features tell the row, half the column.

    Both are counted from 1 and scaled, so that the last is at 2 pi.
    """
    height, width = (
        sine_code(2 * math.pi / length * torch.arange(1, length + 1, device=row.device).float(), features // 2)
        for length in size
    )
    return torch.cat([height[row], width[column]], -1)
