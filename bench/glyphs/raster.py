"""Filling outlines: which of 4 x 4 samples of every pixel are inside, and what follows for the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, UInt8

SAMPLES = 4
"""Samples along a side of a pixel; they lie at 1/8, 3/8, 5/8 and 7/8."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """Samples [Y X] of a window of whole pixels, which may lie outside the image; `top`, `left` are its first pixel."""

    top: int
    left: int
    inside: Bool[np.ndarray, "Y X"]

    def clip(self, height: int, width: int) -> "Filled":
        """The part of the window that lies in an image, empty where none does."""
        top, left = min(max(self.top, 0), height), min(max(self.left, 0), width)
        rows = slice(SAMPLES * (top - self.top), max(SAMPLES * (height - self.top), 0))
        columns = slice(SAMPLES * (left - self.left), max(SAMPLES * (width - self.left), 0))
        return Filled(top=top, left=left, inside=self.inside[rows, columns])

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The window in an array of pixels; it must be clipped."""
        height, width = self.inside.shape
        return slice(self.top, self.top + height // SAMPLES), slice(self.left, self.left + width // SAMPLES)

    @property
    def samples(self) -> tuple[slice, slice]:
        """The window in an array of samples; it must be clipped."""
        height, width = self.inside.shape
        top, left = SAMPLES * self.top, SAMPLES * self.left
        return slice(top, top + height), slice(left, left + width)


def fill(rings: Sequence[Float64[np.ndarray, "_ 2"]]) -> Filled:
    """Fill closed rings of points (x, y) in pixels by the nonzero rule, in their bounding box.

    A sample is inside where the outline winds around it: every edge that a row of samples crosses turns the winding
    number up or down by one for all samples to the right.
    """
    everything = np.concatenate(rings)
    left, top = np.floor(everything.min(axis=0)).astype(np.int64).tolist()
    right, bottom = np.ceil(everything.max(axis=0)).astype(np.int64).tolist()
    height, width = SAMPLES * (bottom - top), SAMPLES * (right - left)
    start = (everything - (left, top)) * SAMPLES
    following = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    end = (following - (left, top)) * SAMPLES

    # Row r of samples is at y = r + 1/2. An edge crosses those from its upper end on to before its lower one.
    upper, lower = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first = np.ceil(upper - 0.5).astype(np.int64)
    num_rows = np.ceil(lower - 0.5).astype(np.int64) - first
    edge = np.repeat(np.arange(len(start)), num_rows)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(num_rows) - num_rows, num_rows)
    along = (row + 0.5 - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    x = start[edge, 0] + along * (end[edge, 0] - start[edge, 0])
    column = np.clip(np.ceil(x - 0.5).astype(np.int64), 0, width)
    turn = np.where(end[edge, 1] > start[edge, 1], 1, -1).astype(np.int8)

    turns = np.zeros((height, width + 1), np.int8)  # the last column is for what starts right of all samples
    np.add.at(turns, (row, column), turn)
    winding = np.cumsum(turns[:, :width], axis=1, dtype=np.int8)
    return Filled(top=top, left=left, inside=winding != 0)


def coverage(inside: Bool[np.ndarray, "Y X"]) -> UInt8[np.ndarray, "H W"]:
    """Count the samples of every pixel that are inside, 0 to 16."""
    # Slice by slice: numpy is several times slower at sums over so short axes.
    samples = inside.view(np.uint8)
    rows = sum((samples[place::SAMPLES] for place in range(1, SAMPLES)), samples[::SAMPLES])
    return sum((rows[:, place::SAMPLES] for place in range(1, SAMPLES)), rows[:, ::SAMPLES])


def bounding_box(mask: Bool[np.ndarray, "H W"]) -> tuple[int, int, int, int]:
    """The box (x, y, width, height) of a mask that has a pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top, right, bottom = (int(end) for end in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return left, top, right - left, bottom - top
