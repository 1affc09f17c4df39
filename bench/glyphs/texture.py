"""Procedural surfaces: two colours mixed by clouds, stripes or checks. Neither colour nor texture tells a class."""

import numpy as np
from jaxtyping import Float32, Float64

_CLOUDS, _STRIPES, _CHECKS = range(3)


def surface(
    rng: np.random.Generator, height: int, width: int, colour: Float64[np.ndarray, "3"], contrast: float
) -> Float32[np.ndarray, "H W 3"]:
    """Draw a surface around a colour (0-255); its second colour is up to `contrast` away in each channel."""
    other = colour + rng.uniform(-contrast, contrast, 3)
    mixture = _mixture(rng, height, width)[..., None]
    return (colour + mixture * (other - colour)).astype(np.float32)


def clouds(rng: np.random.Generator, height: int, width: int, cell: float) -> Float32[np.ndarray, "H W"]:
    """Random values from 0 to 1 on a lattice of `cell` pixels, linear in between."""
    rows, columns = _hats(height, cell), _hats(width, cell)
    values = rng.random((rows.shape[1], columns.shape[1]), np.float32)
    return rows @ values @ columns.T


def _mixture(rng: np.random.Generator, height: int, width: int) -> Float32[np.ndarray, "H W"]:
    kind = rng.integers(3)
    if kind == _CLOUDS:
        return clouds(rng, height, width, float(rng.uniform(3, 24)))
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 30)
    phase = rng.uniform(0, 2 * np.pi, 2)
    hardness = rng.uniform(1, 6)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    frequency = np.float32(2 * np.pi / period)
    cosine, sine = frequency * np.float32(np.cos(angle)), frequency * np.float32(np.sin(angle))
    wave = np.sin(cosine * x + sine * y + np.float32(phase[0]))
    if kind == _CHECKS:
        wave *= np.sin(cosine * y - sine * x + np.float32(phase[1]))
    return np.clip(np.float32(hardness) * wave, -1, 1) / 2 + np.float32(0.5)


def _hats(length: int, cell: float) -> Float32[np.ndarray, "L N"]:
    """Weights of lattice values in every pixel of a line."""
    place = (np.arange(length) + 0.5) / cell
    lattice = np.arange(int(np.ceil(length / cell)) + 1)
    return np.maximum(1 - np.abs(place[:, None] - lattice), 0).astype(np.float32)
