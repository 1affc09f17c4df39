"""Weights and images that follow from a seed, a name and a shape: the same numbers on every machine, in no file.

The n-th number of a name is splitmix64 of n and the SHA-256 of seed and name, scaled to [-1, 1). A weight has the
distribution that its name and shape ask for, so that a network of them neither dies nor explodes.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_GOLDEN_RATIO = 0x9E3779B97F4A7C15
_MIXERS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
_DIGITS = 24


def numbers(seed: str, name: str, count: int) -> NDArray[np.float64]:
    """`count` numbers of [-1, 1): multiples of 2^-23, so that they are exact in 32 bits."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    state = np.arange(1, count + 1, dtype=np.uint64)
    state *= np.uint64(_GOLDEN_RATIO)  # unsigned numbers wrap around, as they should
    state += np.uint64(int.from_bytes(digest[:8], "little"))
    for shift, factor in _MIXERS:
        state ^= state >> np.uint64(shift)
        state *= np.uint64(factor)
    state >>= np.uint64(64 - _DIGITS)
    return state / 2.0 ** (_DIGITS - 1) - 1


def weight(seed: str, key: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """The tensor of a state dict with this key."""
    values, kind = numbers(seed, key, math.prod(shape)).reshape(shape), key.rpartition(".")[2]
    match kind, len(shape):
        case "running_var", _:
            values = 1 + values / 2
        case "running_mean", _:
            values = values / 8
        case _, 0 | 1:
            values = 1 + values / 4 if kind == "weight" else values / 8
        case _:
            values = values * math.sqrt(3 / math.prod(shape[1:]))
            if ".sampling_offsets." in key or shape[0] == 4:  # offsets and boxes: rounding must not grow by layers
                values = values / 8
    return values.astype(np.float32)


def image(seed: str, height: int, width: int) -> NDArray[np.uint8]:
    """An image [H W 3] of squares of 32, 8 and 1 pixels a side."""
    total = np.full((height, width, 3), 128.0)
    for name, side, contrast in (("coarse", 32, 70), ("middle", 8, 40), ("fine", 1, 15)):
        shape = (math.ceil(height / side), math.ceil(width / side), 3)
        squares = numbers(seed, f"image.{name}", math.prod(shape)).reshape(shape)
        rows, columns = np.arange(height) // side, np.arange(width) // side
        total += contrast * squares[rows[:, None], columns]
    return np.floor(total).clip(0, 255).astype(np.uint8)


def places(seed: str, name: str, size: int, count: int) -> NDArray[np.int64]:
    """`count` flat indices into an array of `size` numbers."""
    drawn = (numbers(seed, f"places.{name}", count) + 1) / 2 * size
    return drawn.astype(np.int64).clip(max=size - 1)
