"""Masks as coefficients of the discrete cosine transform (DCT-II, orthonormal), low frequencies only."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


def triangle(diagonals: int) -> int:
    """Number of coefficients (i, j) with `i + j < diagonals`."""
    return diagonals * (diagonals + 1) // 2


class CosineCode(nn.Module):
    """Square maps of `side` cells to and from their coefficients (i, j) with `i + j < diagonals`.

    That triangle is what "the first n in zigzag order" means for n = triangle(diagonals) (DCT-Mask,
    Sec. 3.2); here it is read row by row, which decides nothing but the order of the weights that predict it.
    It holds no parameters, and its tables are not saved.
    """

    basis: Tensor
    inside: Tensor
    listed: Tensor

    def __init__(self, side: int, diagonals: int) -> None:
        super().__init__()
        self.side, self.diagonals = side, diagonals
        frequency = torch.arange(diagonals, dtype=torch.float64)[:, None]
        position = torch.arange(side, dtype=torch.float64) + 0.5
        basis = (math.pi / side * frequency * position).cos() * math.sqrt(2 / side)
        # The constant function has length sqrt(side), the others sqrt(side / 2).
        scale = torch.where(frequency == 0, math.sqrt(0.5), 1.0)
        self.register_buffer("basis", (basis * scale).to(torch.get_default_dtype()), persistent=False)
        # Where a coefficient lies in the square of all; where a place of the square is in the list (last: a zero).
        inside = [row * diagonals + column for row in range(diagonals) for column in range(diagonals - row)]
        place = {cell: number for number, cell in enumerate(inside)}
        listed = [place.get(cell, len(inside)) for cell in range(diagonals**2)]
        self.register_buffer("inside", torch.tensor(inside), persistent=False)
        self.register_buffer("listed", torch.tensor(listed), persistent=False)

    def encode(self, maps: Float[Tensor, "*batch S S"]) -> Float[Tensor, "*batch K"]:
        """The coefficients of maps."""
        basis = self.basis.to(maps.dtype)
        return _both_ways(maps, basis.T).flatten(-2)[..., self.inside]

    def decode(self, coefficients: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch S S"]:
        """The maps of coefficients; those that are not listed are zero."""
        basis = self.basis.to(coefficients.dtype)
        padded = torch.cat([coefficients, torch.zeros_like(coefficients[..., :1])], -1)
        square = padded[..., self.listed].unflatten(-1, (self.diagonals, self.diagonals))
        return _both_ways(square, basis)


def _both_ways(maps: Float[Tensor, "*batch N N"], matrix: Float[Tensor, "N M"]) -> Float[Tensor, "*batch M M"]:
    """The product `matrix.T @ maps @ matrix`, maps on the left both times: so both operation counters see all of it."""
    return ((maps @ matrix).transpose(-1, -2) @ matrix).transpose(-1, -2)
