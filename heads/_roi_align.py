"""RoIAlign as weighted sums over bags of rows: what `torchvision.ops.roi_align` computes, from maps channels last.

torchvision's operation first copies a map that is channels last, all of it, and then reads one channel at a time. Here
every bin is one sum of rows of C numbers, which `embedding_bag` reads and weighs in one pass. It has no gradient that
would be as good, and how many rows a bin has depends on values, so it is for inference on a CPU.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def check_finite(boxes: Float[Tensor, "R 4"]) -> None:
    """Raise ValueError for a box that is not finite.

    Where such a one lies, torchvision's operation on a CPU would read beyond the map.
    """
    if boxes.device.type != "cpu":
        return
    finite = boxes.isfinite().all(1)
    if not bool(finite.all()):
        region = int(finite.logical_not().nonzero()[0, 0])
        raise ValueError(
            f"Box {region} is {boxes[region].tolist()}; expected four finite numbers (x and y of the upper left "
            "corner, then of the lower right one); correct it, or look at what computed it."
        )


def align_by_rows(
    features: Float[Tensor, "B C H W"],
    regions: Float[Tensor, "R 5"],
    side: int,
    scale: float,
    sampling_ratio: int,
    fading: bool = False,
) -> Float[Tensor, "R C side side"]:
    """`roi_align(features, regions, side, scale, sampling_ratio, aligned=True)`, the result channels last.

    A bin is the mean of `sampling_ratio` samples per axis, or as many as it has cells where that is 0. With `fading`,
    unlike torchvision's, everything outside the map is zero.
    """
    _, channels, height, width = features.shape
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    low, high = (regions[:, 1:] * scale - 0.5).split(2, 1)
    extent = high - low
    aligned = features.new_zeros(len(regions), side * side, channels)
    samples = torch.full_like(extent, sampling_ratio) if sampling_ratio else (extent / side).ceil().clamp(min=0)
    for per_axis in samples.unique(dim=0):
        num_x, num_y = (int(number) for number in per_axis)
        if not num_x or not num_y:
            continue  # a box without extent has no samples, and their mean is zero
        chosen = (samples == per_axis).all(1).nonzero()[:, 0]
        column, along_x = _corners(low[chosen, 0], extent[chosen, 0], side, num_x, width, fading)
        row, along_y = _corners(low[chosen, 1], extent[chosen, 1], side, num_y, height, fading)
        first = (regions[chosen, 0].long() * height * width).to(torch.int32)[:, None, None, None, None]
        index = first + row[:, :, None, :, None] * width + column[:, None, :, None, :]
        weight = along_y[:, :, None, :, None] * along_x[:, None, :, None, :]
        bags = F.embedding_bag(
            index.reshape(-1, 4 * num_x * num_y),
            rows,
            per_sample_weights=weight.reshape(-1, 4 * num_x * num_y).to(rows.dtype),
            mode="sum",
        )
        aligned[chosen] = bags.view(-1, side * side, channels)
    return aligned.view(-1, side, side, channels).permute(0, 3, 1, 2)


def _corners(
    low: Float[Tensor, "R"], extent: Float[Tensor, "R"], side: int, num_samples: int, size: int, fading: bool
) -> tuple[Int[Tensor, "R S N"], Float[Tensor, "R S N"]]:
    """Along one axis, the cells that the samples of every bin lie between, and their weights in the mean of the bin.

    Samples up to one cell outside the map repeat its edge; those further out count as zero. With `fading`, a sample
    outside is a mean of the edge and of zeros already from half a cell inside the border.
    """
    places = (torch.arange(side * num_samples, device=low.device, dtype=low.dtype) + 0.5) / (side * num_samples)
    position = low[:, None] + places * extent[:, None]
    is_near = (position >= -1) & (position <= size)
    position = position.clamp(-1, size) if fading else position.clamp(0, size - 1)
    cell = position.floor()
    beyond = position - cell
    weight = torch.stack((1 - beyond, beyond), -1) * (is_near.to(low.dtype) / num_samples)[..., None]
    corner = torch.stack((cell, cell + 1), -1)
    if fading:
        weight = weight * ((corner >= 0) & (corner < size))
    corner = corner.clamp(0, size - 1).to(torch.int32)
    shape = (len(low), side, 2 * num_samples)
    return corner.view(shape), weight.view(shape)
