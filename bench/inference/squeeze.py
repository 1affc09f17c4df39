"""Objects squeezed through a grid over their box and pasted back as every head's masks are."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from pycocotools import mask as coco_mask

from bench.data.ground_truth import GroundTruth
from bench.model.assemble import Crop, paste_each


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A grid of `side` x `side` cells over an object's box, that holds shares (`soft`) or ones and zeros."""

    side: int
    soft: bool


@dataclass(frozen=True, kw_only=True)
class Squeezed:
    """An object that went through a grid. `mask` covers its box within the image, `iou` is with the object itself.

    `truth` is the object's position among the annotations. `box_replaced` says that the annotated box was not its own.
    """

    truth: int
    image_id: int
    size: tuple[int, int]
    mask: Crop
    iou: float
    box_replaced: bool


def squeeze(truth: GroundTruth, grid: Rung, images: Collection[int]) -> Iterator[Squeezed]:
    """Squeeze the objects of some images through a grid, image by image, crowds left out."""
    for image in np.flatnonzero(np.isin(truth.image_ids, list(images))):
        index = np.flatnonzero((truth.image == image) & ~truth.crowd)
        if not len(index):
            continue
        height, width = (int(side) for side in truth.sizes[image])
        boxes = np.concatenate([truth.boxes[index, :2], truth.boxes[index, :2] + truth.boxes[index, 2:]], axis=1)
        for i, box in zip(index.tolist(), boxes, strict=True):  # one by one: large images have room for one mask
            drawn = coco_mask.decode({"size": [height, width], "counts": truth.counts[i]})
            covered = coverage(drawn, box, grid.side)
            maps = torch.from_numpy(covered if grid.soft else (covered > 0.5).astype(np.float64))
            ((crop, (top, left)),) = paste_each(maps[None], torch.from_numpy(box[None]), (height, width))
            mask = crop > 0.5
            yield Squeezed(
                truth=i,
                image_id=int(truth.image_ids[image]),
                size=(height, width),
                mask=Crop(mask=mask, top=top, left=left),
                iou=overlap(mask.numpy(), drawn, top, left),
                box_replaced=bool(truth.boxes_replaced[i]),
            )


def coverage(mask: UInt8[np.ndarray, "H W"], box: Float64[np.ndarray, "4"], side: int) -> Float64[np.ndarray, "S S"]:
    """Share of every cell of a box's grid that a bitmap covers, exact, with fractions of pixels at the cells' edges.

    `box` is xyxy in pixels. What is outside the image is empty, and so is a box without area.
    """
    left, top, right, bottom = (float(edge) for edge in box)
    cell_area = max(0.0, bottom - top) * max(0.0, right - left) / side**2
    if cell_area == 0:  # also where the product of two tiny sides is too small for a number
        return np.zeros((side, side))
    first_row, first_column = max(0, int(top)), max(0, int(left))
    crop = mask[first_row : max(0, int(np.ceil(bottom))), first_column : max(0, int(np.ceil(right)))]
    # The sum over all pixels above and left of a corner; linear between corners, because a pixel is uniform. Of its
    # rows only those are made that a cell's edge lies between.
    rows = _between(np.linspace(top, bottom, side + 1) - first_row, crop.shape[0] + 1)
    columns = _between(np.linspace(left, right, side + 1) - first_column, crop.shape[1] + 1)
    sums = np.zeros((2, side + 1, crop.shape[1] + 1))
    for of_rows, places in zip(sums, rows[:2], strict=True):
        starts = np.concatenate([[0], places[:-1]])
        parts = [crop[start:stop].sum(0, dtype=np.float64) for start, stop in zip(starts, places, strict=True)]
        of_rows[:, 1:] = np.cumsum(parts, 0).cumsum(1)
    at_rows = sums[0] * (1 - rows[2][:, None]) + sums[1] * rows[2][:, None]
    below, above, fraction = columns
    at_corners = at_rows[:, below] * (1 - fraction) + at_rows[:, above] * fraction
    return np.diff(np.diff(at_corners, axis=0), axis=1) / cell_area


def overlap(crop: Bool[np.ndarray, "h w"], mask: UInt8[np.ndarray, "H W"], top: int, left: int) -> float:
    """Intersection over union of a mask on the extent of its box with one of the whole image; 0 for two empty ones."""
    height, width = crop.shape
    common = int((mask[top : top + height, left : left + width] & crop).sum())
    union = int(mask.sum()) + int(crop.sum()) - common
    return common / union if union else 0.0


def _between(
    places: Float64[np.ndarray, "P"], count: int
) -> tuple[Int64[np.ndarray, "P"], Int64[np.ndarray, "P"], Float64[np.ndarray, "P"]]:
    """The two of `count` entries that fractional places lie between and how far; those beyond the ends are the ends."""
    places = places.clip(0, count - 1)
    below = np.minimum(places.astype(np.int64), max(count - 2, 0))
    return below, np.minimum(below + 1, count - 1), places - below
