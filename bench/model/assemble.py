"""From the masks of a head to predictions: score them (Eq. 3), place them in images, encode them.

Nothing here makes a full image canvas per mask: a mask is placed on the extent of its box only. The one exception is
`paste_canvas`, the paper's own way, which is kept because its cost is part of the paper's numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask
from torch import Tensor

from bench.contract import Finishing
from bench.model.finishing import Dilation
from heads import Detections, Stage, compose


class RunLengths(TypedDict):
    """A mask in COCO's compressed run-length encoding."""

    size: list[int]
    counts: str


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A mask on the extent of its box: `mask` [h w] bool, its first pixel at (`top`, `left`) of the image."""

    mask: Bool[Tensor, "h w"]
    top: int
    left: int


@dataclass(frozen=True, kw_only=True)
class ImagePredictions:
    """The predictions for one image of `size` (height, width): classes, scores and masks, in the detections' order.

    `mask_index[d]` is the crop of prediction `d`; predictions of one region share a crop.
    """

    size: tuple[int, int]
    labels: Int[Tensor, "D"]
    scores: Float[Tensor, "D"]
    mask_index: Int[Tensor, "D"]
    crops: tuple[Crop, ...]


def paste_each(
    probabilities: Float[Tensor, "R S S"], boxes: Float[Tensor, "R 4"], size: tuple[int, int]
) -> Iterator[tuple[Float[Tensor, "h w"], tuple[int, int]]]:
    """Place the maps of regions into an image of `size` (height, width), one after the other.

    Yields the pixels whose centres are inside box and image, and the (top, left) of the first. Sampling is bilinear
    with zeros outside the map, so pixels outside the box never exceed 0.5 and are never foreground.
    """
    limits = torch.tensor([size[1], size[0]] * 2, device=boxes.device)
    edges = (boxes - 0.5).ceil().clamp(min=0).minimum(limits).long().tolist()
    tops, lefts = [edge[1] for edge in edges], [edge[0] for edge in edges]
    heights = [max(0, edge[3] - edge[1]) for edge in edges]
    widths = [max(0, edge[2] - edge[0]) for edge in edges]
    side = probabilities.shape[-1]
    # Bilinear sampling is separable: all rows of all crops in one go, then the columns of one crop at a time.
    region, row, down = _positions(boxes[:, 1], boxes[:, 3], tops, heights, side)
    _, column, right = _positions(boxes[:, 0], boxes[:, 2], lefts, widths, side)
    padded = F.pad(probabilities, (1, 1, 1, 1))
    rows = torch.lerp(padded[region, row], padded[region, row + 1], down[:, None])
    crops = zip(rows.split(heights), column.split(widths), right.split(widths), tops, lefts, strict=True)
    for strip, first, fraction, top, left in crops:
        crop = torch.lerp(strip.index_select(1, first), strip.index_select(1, first + 1), fraction)
        yield crop, (top, left)


def _positions(
    low: Float[Tensor, "R"], high: Float[Tensor, "R"], starts: list[int], counts: list[int], side: int
) -> tuple[Int[Tensor, "N"], Int[Tensor, "N"], Float[Tensor, "N"]]:
    """Region, lower cell and fraction of every pixel row (or column) of all crops, in a map padded by one cell."""
    count = torch.tensor(counts, device=low.device, dtype=torch.long)
    total = sum(counts)
    region = torch.repeat_interleave(count, output_size=total)
    shift = torch.tensor(starts, device=low.device) - (count.cumsum(0) - count)
    center = torch.arange(total, device=low.device) + shift[region] + 0.5
    position = (center - low[region]) / (high - low)[region] * side + 0.5
    cell = position.floor().clamp(0, side)
    return region, cell.long(), position - cell


def paste_canvas(
    probabilities: Float[Tensor, "R S S"], boxes: Float[Tensor, "R 4"], size: tuple[int, int]
) -> Float[Tensor, "R H W"]:
    """Place every map on a full canvas, the paper's way: static shapes, for counting its cost."""
    height, width = size
    x = torch.arange(width, device=boxes.device) + 0.5
    y = torch.arange(height, device=boxes.device) + 0.5
    extent = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)
    columns = (x - boxes[:, :1]) / extent[:, :1] * 2 - 1
    rows = (y - boxes[:, 1:2]) / extent[:, 1:] * 2 - 1
    grid = torch.stack([columns[:, None].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)], -1)
    # In the precision of the boxes: with 16 bits, torch samples beyond the map.
    return F.grid_sample(probabilities[:, None].to(grid.dtype), grid, align_corners=False)[:, 0]


def mask_scores(
    probabilities: Float[Tensor, "R S S"], boxes: Float[Tensor, "R 4"], size: tuple[int, int]
) -> Float[Tensor, "R"]:
    """Mean probability of every mask's foreground in an image of `size`, 0 where it is empty (Eq. 3).

    The factor that Eq. 3 puts on the class score.
    """
    scores = [probabilities.new_zeros(0)]
    for crop, _ in paste_each(probabilities, boxes, size):
        foreground = crop > 0.5
        scores.append(((crop * foreground).sum() / (foreground.sum() + 1e-6))[None])
    return torch.cat(scores)


def assemble(
    stages: Sequence[Stage],
    detections: Detections,
    input_sizes: Sequence[tuple[int, int]],
    original_sizes: Sequence[tuple[int, int]],
    *,
    finishing: Finishing = "exact",
    by_quality: bool = False,
) -> list[ImagePredictions]:
    """Make the predictions of every image: scores at input resolution (Eq. 3), masks at the original one.

    `detections` are those that the head got (per prediction for a class-specific head). Sizes are (height, width):
    of the resized images without padding, and of the files. `finishing` says how masks come from one to the other.
    Predictions whose mask is empty are dropped. Raises ValueError for a mask that is not of numbers, of any head.

    `by_quality` multiplies class scores by the quality that the head predicts, in the place of Eq. 3's factor: then
    scores of heads no longer follow one rule. Raises ValueError for a head that predicts none.
    """
    composed = _numbers(compose(stages), detections)
    factors = _qualities(stages[-1]).split(detections.region_counts) if by_quality else None
    probabilities = _precise(composed).sigmoid().split(detections.region_counts)
    boxes = _precise(detections.boxes).split(detections.region_counts)
    counts = detections.prediction_counts
    parts = zip(
        probabilities,
        boxes,
        detections.region.split(counts),
        detections.labels.split(counts),
        detections.scores.split(counts),
        input_sizes,
        original_sizes,
        strict=True,
    )
    images, first_region = [], 0
    for number, (maps, places, region, labels, scores, input_size, size) in enumerate(parts):
        crops = list(_finished(maps, places, input_size, size, finishing))
        found = torch.stack([crop.mask.any() for crop in crops]) if crops else labels.new_zeros(0, dtype=torch.bool)
        index = region - first_region
        factor = mask_scores(maps, places, input_size) if factors is None else factors[number]
        scores = scores * factor[index]
        wanted = found[index]
        images.append(
            ImagePredictions(
                size=size,
                labels=labels[wanted],
                scores=scores[wanted],
                mask_index=index[wanted],
                crops=tuple(crops),
            )
        )
        first_region += len(maps)
    return images


def _finished(
    probabilities: Float[Tensor, "R S S"],
    boxes: Float[Tensor, "R 4"],
    input_size: tuple[int, int],
    size: tuple[int, int],
    finishing: Finishing,
) -> Iterator[Crop]:
    """The mask of every region in an image of `size`; boxes are in pixels of the input."""
    if finishing == "dilated":
        dilated = Dilation(input_size, size, boxes.device)
        for crop, (top, left) in paste_each(probabilities, boxes, input_size):
            mask, (top, left) = dilated(crop > 0.5, top, left)
            yield Crop(mask=mask, top=top, left=left)
        return
    scale = boxes.new_tensor([size[1] / input_size[1], size[0] / input_size[0]] * 2)
    for crop, (top, left) in paste_each(probabilities, boxes * scale, size):
        yield Crop(mask=crop > 0.5, top=top, left=left)


def _numbers(logits: Float[Tensor, "R S S"], detections: Detections) -> Float[Tensor, "R S S"]:
    """The same logits. Raises ValueError for one that is not a number, whose mask would come out empty or torn."""
    if not bool(logits.sum().isnan()):  # one pass over them, and the rest only where something may be wrong
        return logits
    wrong = logits.isnan().flatten(1).any(1).nonzero()[:, 0].tolist()
    if not wrong:
        return logits
    image = int(detections.image[wrong[0]])
    place = wrong[0] - sum(detections.region_counts[:image])
    raise ValueError(
        f"The mask of region {place} of image {image} of the batch has logits that are not numbers; expected numbers "
        "everywhere; look at the weights: those of a training that diverged predict such masks. In 16 bits numbers "
        "overflow that fit into 32."
    )


def _precise(values: Float[Tensor, "*_"]) -> Float[Tensor, "*_"]:
    """The same in at least 32 bits: positions and thresholds need the digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _qualities(stage: Stage) -> Float[Tensor, "R"]:
    if stage.quality is None:
        raise ValueError(
            "The head predicts no quality of its masks; scores by quality need one. Score by Eq. 3, as for all heads."
        )
    return _precise(stage.quality)


def encode(predictions: ImagePredictions) -> list[RunLengths]:
    """Encode the mask of every prediction; predictions that share a crop share the encoding."""
    index = predictions.mask_index.tolist()
    encoded = {crop: encode_crop(predictions.crops[crop], predictions.size) for crop in set(index)}
    return [encoded[crop] for crop in index]


def encode_crop(crop: Crop, size: tuple[int, int]) -> RunLengths:
    """Encode a crop as the mask of an image of `size`, without ever making that mask.

    COCO counts runs along columns. Runs end at the edges of the crop; where it spans the full height, a run that
    ends at the bottom and one that starts at the next top are one.
    """
    height, width = size
    mask = crop.mask.cpu().numpy()
    columns = np.zeros((mask.shape[1], mask.shape[0] + 2), bool)
    columns[:, 1:-1] = mask.T
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    changes = (crop.left + column) * height + crop.top + row
    changes, times = np.unique(changes, return_counts=True)
    changes = changes[(times == 1) & (changes < height * width)]
    runs = np.diff(changes, prepend=0, append=height * width)
    encoded = coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
    return RunLengths(size=[height, width], counts=encoded["counts"].decode("ascii"))
