"""The cosine code against a fast Fourier transform, and what it keeps of a mask."""

import math

import pytest
import torch
from torch import Tensor

from heads import CosineCode, triangle


def cosine_transform(values: Tensor) -> Tensor:
    """The orthonormal DCT-II of the last axis: the Fourier transform of the signal and its mirror image."""
    side = values.shape[-1]
    spectrum = torch.fft.fft(torch.cat([values, values.flip(-1)], -1))[..., :side]
    k = torch.arange(side)
    waves = (spectrum * torch.exp(-1j * math.pi * k / (2 * side))).real / 2
    return waves * torch.where(k == 0, math.sqrt(1 / side), math.sqrt(2 / side))


@pytest.mark.parametrize(("side", "diagonals"), [(112, 24), (8, 3), (8, 8), (5, 1)])
def test_encodes_as_a_fourier_transform_does(side: int, diagonals: int) -> None:
    maps = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = cosine_transform(cosine_transform(maps).transpose(-1, -2)).transpose(-1, -2)
    listed = [expected[..., i, j] for i in range(diagonals) for j in range(diagonals - i)]
    found = CosineCode(side, diagonals).encode(maps)
    assert found.shape == (2, 3, triangle(diagonals))
    torch.testing.assert_close(found, torch.stack(listed, -1), atol=1e-5, rtol=1e-5)


def test_decodes_what_it_encoded() -> None:
    code = CosineCode(8, 3)
    coefficients = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(code.encode(code.decode(coefficients)), coefficients)
    assert code.encode(torch.ones(1, 8, 8))[0, 0].item() == pytest.approx(8)  # a full patch: only its mean
    assert code.decode(torch.zeros(0, 6)).shape == (0, 8, 8)


def test_what_is_lost_is_what_is_not_listed() -> None:
    # The code is orthonormal: Pythagoras holds.
    maps = torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    code = CosineCode(8, 5)
    kept = code.encode(maps).square().sum()
    lost = (maps - code.decode(code.encode(maps))).square().sum()
    torch.testing.assert_close(kept + lost, maps.square().sum(), atol=1e-5, rtol=1e-5)


def test_is_built_without_values_and_not_saved() -> None:
    with torch.device("meta"):
        code = CosineCode(112, 24)
    assert code.decode(torch.empty(2, 300, device="meta")).shape == (2, 112, 112)
    assert not code.state_dict()
    assert not list(code.parameters())
