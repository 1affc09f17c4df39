"""Objects squeezed through a grid over their box and pasted back as every head's masks are."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, UInt8
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
        encoded = [{"size": [height, width], "counts": truth.counts[i]} for i in index]
        masks = coco_mask.decode(encoded)
        boxes = np.concatenate([truth.boxes[index, :2], truth.boxes[index, :2] + truth.boxes[index, 2:]], axis=1)
        covered = np.stack([coverage(masks[:, :, i], box, grid.side) for i, box in enumerate(boxes)])
        maps = torch.from_numpy(covered if grid.soft else (covered > 0.5).astype(np.float64))
        pasted = paste_each(maps, torch.from_numpy(boxes), (height, width))
        for i, (crop, (top, left)) in enumerate(pasted):
            mask = crop > 0.5
            yield Squeezed(
                truth=int(index[i]),
                image_id=int(truth.image_ids[image]),
                size=(height, width),
                mask=Crop(mask=mask, top=top, left=left),
                iou=overlap(mask.numpy(), masks[:, :, i], top, left),
                box_replaced=bool(truth.boxes_replaced[index[i]]),
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
    # The sum over all pixels above and left of a corner; linear between corners, because a pixel is uniform.
    sums = np.zeros((crop.shape[0] + 1, crop.shape[1] + 1))
    sums[1:, 1:] = crop.cumsum(0, dtype=np.float64).cumsum(1)
    sums = _rows_at(sums, np.linspace(top, bottom, side + 1) - first_row)
    sums = _rows_at(sums.T, np.linspace(left, right, side + 1) - first_column).T
    return np.diff(np.diff(sums, axis=0), axis=1) / cell_area


def overlap(crop: Bool[np.ndarray, "h w"], mask: UInt8[np.ndarray, "H W"], top: int, left: int) -> float:
    """Intersection over union of a mask on the extent of its box with one of the whole image; 0 for two empty ones."""
    height, width = crop.shape
    common = int((mask[top : top + height, left : left + width] & crop).sum())
    union = int(mask.sum()) + int(crop.sum()) - common
    return common / union if union else 0.0


def _rows_at(table: Float64[np.ndarray, "N M"], places: Float64[np.ndarray, "P"]) -> Float64[np.ndarray, "P M"]:
    """Rows of a table at fractional places, those beyond its ends like the ends."""
    places = places.clip(0, len(table) - 1)
    below = np.minimum(places.astype(np.int64), max(len(table) - 2, 0))
    above = np.minimum(below + 1, len(table) - 1)
    fraction = (places - below)[:, None]
    return table[below] * (1 - fraction) + table[above] * fraction
