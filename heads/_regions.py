"""Regions and the pyramid: the level of a box (Eq. 1), RoIAlign over levels, bilinear samples at cell centres."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import roi_align

from heads._contract import Pyramid
from heads._pointwise import is_cpu_inference
from heads._roi_align import align_by_rows, check_finite

COARSEST_LEVEL = 5
FINEST_LEVEL = 2


def region_levels(boxes: Float[Tensor, "R 4"]) -> Int[Tensor, "R"]:
    """Assign each box to a pyramid level 2..5 by its size in input pixels (Eq. 1): 112 pixels is the first of P3."""
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1).sqrt()
    level = torch.log2(size / 56 + 1e-6).floor() + FINEST_LEVEL
    return level.clamp(FINEST_LEVEL, COARSEST_LEVEL).long()


def align_regions(
    pyramid: Pyramid,
    boxes: Float[Tensor, "R 4"],
    image: Int[Tensor, "R"],
    side: int,
    sampling_ratio: int = 0,
    level: int | None = None,
    fading: bool = False,
) -> Float[Tensor, "R C side side"]:
    """RoIAlign (half-pixel aligned, average) of every region, each from its own level or all from `level`.

    `sampling_ratio` samples per bin and axis; 0 takes as many as the bin has cells. Samples up to one cell outside the
    map repeat its edge; `fading` takes zeros for everything outside, as `FlatPyramid.sample` does. The result stays
    attached to the graph where there are no regions. Raises ValueError for a box that is not finite.
    """
    check_finite(boxes)
    regions = torch.cat([image[:, None].to(boxes.dtype), boxes], 1)
    if level is not None:
        return _align(pyramid, level, regions, side, sampling_ratio, fading)
    levels = range(FINEST_LEVEL, COARSEST_LEVEL + 1)
    if boxes.is_meta:
        # Boxes without values have no size. The level changes neither the shape nor the cost of what comes out.
        return _align(pyramid, FINEST_LEVEL, regions, side, sampling_ratio, fading)
    assigned = region_levels(boxes)
    order = assigned.argsort(stable=True)
    counts = (assigned[:, None] == torch.tensor(levels, device=boxes.device)).sum(0).tolist()
    parts = regions[order].split(counts)
    aligned = [
        _align(pyramid, part_level, part, side, sampling_ratio, fading)
        for part_level, part in zip(levels, parts, strict=True)
    ]
    return torch.cat(aligned)[order.argsort()]


def _align(
    pyramid: Pyramid, level: int, regions: Float[Tensor, "R 5"], side: int, sampling_ratio: int, fading: bool
) -> Float[Tensor, "R C side side"]:
    """RoIAlign from one level. Coordinates need more digits than half precision has, so they decide the precision."""
    features = pyramid[level]
    if is_cpu_inference(features):
        return align_by_rows(features, regions, side, 1 / 2**level, sampling_ratio, fading)
    if fading:
        # In a ring of zeros, RoIAlign itself fades: what it repeats is the ring.
        features = F.pad(features, (1, 1, 1, 1))
        regions = torch.cat([regions[:, :1], regions[:, 1:] + 2**level], 1)
    precision = torch.promote_types(features.dtype, regions.dtype)
    aligned: Tensor = roi_align(
        features.to(precision),
        regions.to(precision),
        (side, side),
        spatial_scale=1 / 2**level,
        sampling_ratio=sampling_ratio,
        aligned=True,
    )
    return aligned.to(features.dtype)


def cell_points(
    boxes: Float[Tensor, "R 4"], region: Int[Tensor, "A"], point: Float[Tensor, "A 2"]
) -> Float[Tensor, "A 2"]:
    """Input-pixel positions (x, y) of points given in [0, 1]^2 of their regions' boxes."""
    corner = boxes[:, :2]
    return corner[region] + point * (boxes[:, 2:] - corner)[region]


def bilinear_corners(
    position: Float[Tensor, "A 2"], width: Int[Tensor, "A"] | int, height: Int[Tensor, "A"] | int
) -> tuple[Int[Tensor, "A 4"], Int[Tensor, "A 4"], Float[Tensor, "A 4"]]:
    """Columns, rows and weights of the four cells around each (x, y) position, measured in cells from the corner.

    Cell centres lie at half-integers (`align_corners=False`). Corners outside the map have weight 0 and an index
    inside, so that reading them is safe.
    """
    low = (position - 0.5).floor()
    fraction = position - 0.5 - low
    x, y = low.long().unbind(1)
    columns = torch.stack((x, x + 1, x, x + 1), 1)
    rows = torch.stack((y, y, y + 1, y + 1), 1)
    right, down = fraction.unbind(1)
    weights = torch.stack(((1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down), 1)
    last_column = torch.as_tensor(width, device=position.device).unsqueeze(-1) - 1
    last_row = torch.as_tensor(height, device=position.device).unsqueeze(-1) - 1
    inside = (columns >= 0) & (columns <= last_column) & (rows >= 0) & (rows <= last_row)
    columns = columns.clamp(min=0).minimum(last_column)
    rows = rows.clamp(min=0).minimum(last_row)
    return columns, rows, weights * inside


class FlatPyramid:
    """All cells of a pyramid as rows of one matrix, so that one gather samples every level of every image.

    Worth building once where a pyramid is sampled several times: the copy costs about as much as sampling
    50,000 points. The levels must be consecutive.

    A pixel at x lies x / 2^k cells from the left edge of level k. With `image_size`, the (height, width) of the padded
    input, it lies x / width x (cells of the map) there: maps of ceil(width / 2^k) cells are stretched over the image.
    Both are the same where 2^k divides the size.
    """

    def __init__(self, pyramid: Pyramid, image_size: tuple[int, int] | None = None) -> None:
        maps = [pyramid[level] for level in sorted(pyramid)]
        assert sorted(pyramid) == list(range(min(pyramid), min(pyramid) + len(maps)))
        self.rows: Float[Tensor, "N C"] = torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2) for level in maps])
        extents, start = [], 0
        for level, features in zip(sorted(pyramid), maps, strict=True):
            images, _, height, width = map(int, features.shape)  # while tracing, sizes are tensors
            extents.append((2**level, width, height, start))
            start += images * height * width
        self._finest = min(pyramid)
        self._extents = torch.tensor(extents, device=self.rows.device)
        self._size = None if image_size is None else torch.tensor(image_size[::-1], device=self.rows.device)

    def sample(
        self, levels: Int[Tensor, "A"], image: Int[Tensor, "A"], points: Float[Tensor, "A 2"]
    ) -> Float[Tensor, "A C"]:
        """Bilinear samples at (x, y) input pixels, zero outside the map; differentiable in features and points."""
        extents = self._extents[levels - self._finest]
        stride, width, height, start = extents.unbind(1)
        places = points / stride[:, None] if self._size is None else points * extents[:, 1:3] / self._size
        columns, rows, weights = bilinear_corners(places, width, height)
        index = (start + image * height * width)[:, None] + rows * width[:, None] + columns
        # Reads and weighs the four corners in one pass, without a buffer of [A 4 C].
        return F.embedding_bag(index, self.rows, per_sample_weights=weights.to(self.rows.dtype), mode="sum")
