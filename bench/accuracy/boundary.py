"""Boundary IoU: how well outlines agree, measured on a band of pixels along the inside of each (Cheng et al. 2021).

A mask is one Python integer with a bit per pixel, column by column, and a zero below every column: shifting it moves
the mask, and nothing moves from one column into the next. So a minimum over a square window is a dozen shifts.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int32, Int64

from bench.accuracy.predictions import Predictions
from bench.data.ground_truth import GroundTruth
from bench.data.run_lengths import runs_of_ones


@dataclass(frozen=True, slots=True)
class Bitmap:
    """Pixels of a mask from column `left` on: pixel (row, column) is bit (column - left) * (height + 1) + row."""

    left: int
    bits: int

    def shared(self, other: "Bitmap", height: int) -> int:
        """How many pixels both masks have."""
        shift = (other.left - self.left) * (height + 1)
        mine, theirs = (self.bits >> shift, other.bits) if shift > 0 else (self.bits, other.bits >> -shift)
        return (mine & theirs).bit_count()


def band_width(height: int, width: int, ratio: float) -> int:
    """Pixels from the outline inwards: `ratio` of the image diagonal, half to even, at least one."""
    return max(1, round(ratio * math.sqrt(height**2 + width**2)))


def band(runs: Int32[np.ndarray, "K 2"], height: int, width: int, distance: int) -> Bitmap:
    """The pixels of a mask from which a square of `distance` pixels to each side reaches out of mask or image."""
    mask = _bitmap(runs, height, width)
    inside = mask.bits
    for step in (1, height + 1):
        reach = 1
        while reach <= 2 * distance:
            more = min(reach, 2 * distance + 1 - reach)
            inside &= inside >> more * step
            reach += more
    # The square of a pixel has begun above and left of it.
    inside <<= distance * (height + 2)
    return Bitmap(mask.left, mask.bits ^ inside)


def band_ious(
    truth: GroundTruth,
    predictions: Predictions,
    detections: Int64[np.ndarray, "P"],
    objects: Int64[np.ndarray, "P"],
    ratio: float,
) -> Float64[np.ndarray, "P"]:
    """IoU of the bands of paired detections and objects, image by image, so that few bands are there at a time.

    The masks of a pair are of the same image. It is 0 where neither has a pixel.
    """
    iou = np.zeros(len(objects))
    image = truth.image[objects]
    order = np.argsort(image, kind="stable")
    for pairs in np.split(order, np.flatnonzero(np.diff(image[order])) + 1):
        if len(pairs) == 0:
            continue
        height, width = truth.sizes[image[pairs[0]]].tolist()
        ours = [predictions.counts[row] for row in detections[pairs]]
        theirs = [truth.counts[row] for row in objects[pairs]]
        distance = band_width(height, width, ratio)
        masks = list({*ours, *theirs})
        bands = {
            counts: band(runs, height, width, distance) for counts, runs in zip(masks, runs_of_ones(masks), strict=True)
        }
        pixels = {counts: each.bits.bit_count() for counts, each in bands.items()}
        for pair, our, their in zip(pairs.tolist(), ours, theirs, strict=True):
            shared = bands[our].shared(bands[their], height)
            iou[pair] = shared / max(1, pixels[our] + pixels[their] - shared)
    return iou


def _bitmap(runs: Int32[np.ndarray, "K 2"], height: int, width: int) -> Bitmap:
    """Draw runs of ones: one of them is the difference of two powers of two, so all are stops minus starts."""
    if len(runs) == 0:
        return Bitmap(0, 0)
    left = int(runs[0, 0]) // height
    starts, lasts = runs[:, 0] - left * height, runs[:, 1] - left * height - 1
    num_columns = int(lasts[-1]) // height + 1
    size = num_columns * (height + 1) + 1
    bits = _with_ones(size, lasts + lasts // height + 1) - _with_ones(size, starts + starts // height)
    # A run that goes on in the next column has filled the zero between them.
    return Bitmap(left, bits & _whole_image(height, width))


@lru_cache(maxsize=16)
def _whole_image(height: int, width: int) -> int:
    column = "1" * height + "0"
    return int((column * width)[::-1], base=2)


def _with_ones(size: int, places: Int32[np.ndarray, "N"]) -> int:
    bits = np.zeros(size, np.uint8)
    bits[places] = 1
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
