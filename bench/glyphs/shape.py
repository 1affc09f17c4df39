"""How an object looks and lies: the outline of its class bent, stretched, sheared, mirrored, turned, scaled, placed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

SIZES = (48.0, 240.0)
"""Longer side of an object's bounding box in pixels, before anything hides a part of it. Half are below 107."""

_BEND = 0.035
_STRETCH = 0.2
_SHEAR = 0.25
_TURN = np.deg2rad(40)
_OUTSIDE = 0.15
_CLUTTER_SIZES = (20.0, 90.0)

Rings = Sequence[Float64[np.ndarray, "_ 2"]]


def posed(rng: np.random.Generator, outline: Rings, side: int) -> list[Float64[np.ndarray, "_ 2"]]:
    """Give an ideal outline a random shape, size and place in a square image; rings of points (x, y) in pixels.

    Sizes are uniform on a logarithmic scale: most objects are small. At most 15 % of an object's extent in each
    direction is outside of the image.
    """
    amplitude, frequency = rng.uniform(0, _BEND, 2), rng.uniform(0.5, 2, 2)
    phase = rng.uniform(0, 2 * np.pi, 2)
    stretch = np.exp(rng.uniform(-_STRETCH, _STRETCH))
    mirror = rng.choice([-1.0, 1.0])
    shear, turn = rng.uniform(-_SHEAR, _SHEAR), rng.uniform(-_TURN, _TURN)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([mirror * stretch, 1.0])
    # Each coordinate is bent by a wave along the other one.
    waves = [amplitude * np.sin(2 * np.pi * frequency * ring[:, ::-1] + phase) for ring in outline]
    shaped = [(ring + wave) @ matrix.T for ring, wave in zip(outline, waves, strict=True)]
    return _placed(rng, shaped, _log_uniform(rng, *SIZES), side)


def clutter(rng: np.random.Generator, side: int) -> list[Float64[np.ndarray, "_ 2"]]:
    """Draw a polygon of three to seven corners that belongs to no class."""
    num_corners = int(rng.integers(3, 8))
    angle = np.sort(rng.uniform(0, 2 * np.pi, num_corners))
    corners = rng.uniform(0.4, 1, (num_corners, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _placed(rng, [corners], _log_uniform(rng, *_CLUTTER_SIZES), side)


def _placed(rng: np.random.Generator, rings: Rings, size: float, side: int) -> list[Float64[np.ndarray, "_ 2"]]:
    """Scale rings to a longer side of `size` and move them to where they are, nearly, inside of a square image."""
    everything = np.concatenate(rings)
    low, high = everything.min(axis=0), everything.max(axis=0)
    scale = size / float((high - low).max())
    extent = scale * (high - low)
    corner = rng.uniform(-_OUTSIDE * extent, side - (1 - _OUTSIDE) * extent)
    return [corner + scale * (ring - low) for ring in rings]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
