"""Masked dense: what every backend must equal, written with nothing but torch's dense operations.

The oracle of the certificates. It is a grid like any other, so that one description of an operation runs on it and on
the backend that is examined, but it shares no arithmetic with `sparsity`: convolutions are `conv2d` on an explicit
full map, sampling is `grid_sample` region by region, cells are found by `unravel_index`. Slow, and it may wait for the
device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedDense:
    """A full map beside the list of its active cells (a `Grid`): all cells are computed, active ones written."""

    full: Float[Tensor, "R F H W"]
    cells: Int[Tensor, "A"]

    @classmethod
    def dense(cls, features: Float[Tensor, "R F H W"]) -> "MaskedDense":
        """Make a grid in which every cell is active."""
        regions, _, height, width = features.shape
        cells = torch.arange(regions * height * width, dtype=torch.int32, device=features.device)
        return cls(full=features, cells=cells)

    @property
    def size(self) -> tuple[int, int, int]:
        """`(R, H, W)`."""
        regions, _, height, width = self.full.shape
        return regions, height, width

    @property
    def positions(self) -> tuple[Int[Tensor, "A"], ...]:
        """Region, row and column of every active cell, int64."""
        return torch.unravel_index(self.cells.long(), self.size)

    @property
    def active(self) -> Float[Tensor, "A F"]:
        """Features of the active cells, read from the map."""
        return self._read(self.full)

    def with_active(self, active: Float[Tensor, "A G"]) -> "MaskedDense":
        """Write the active features into a copy of the map; their size may only change where every cell is active."""
        rows = _channels_last(self.full)
        if active.shape[1] != rows.shape[3]:
            assert len(self.cells) == rows.shape[:3].numel(), "passive cells have features of another size"
            rows = rows.new_empty(*rows.shape[:3], active.shape[1])
        return MaskedDense(full=_channels_first(rows.index_put(self.positions, active)), cells=self.cells)

    def map(self, function: Callable[[Tensor], Tensor]) -> "MaskedDense":
        """Apply a row-wise function to every cell of the map."""
        rows = _channels_last(self.full)
        mapped = function(rows.flatten(0, 2)).unflatten(0, rows.shape[:3])
        return MaskedDense(full=_channels_first(mapped), cells=self.cells)

    def subdivide(self, keep: Int[Tensor, "K"], children: Float[Tensor, "4*K F"]) -> "MaskedDense":
        """Upsample the map to twice the side by repetition, then write the children of the kept cells."""
        region, row, column = (position[keep.long(), None] for position in self.positions)
        below, right = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]], device=keep.device)
        places = tuple(position.flatten() for position in (region.expand(-1, 4), 2 * row + below, 2 * column + right))
        repeated = _channels_last(self.full.repeat_interleave(2, 2).repeat_interleave(2, 3))
        regions, height, width = repeated.shape[:3]
        numbered = torch.arange(regions * height * width, dtype=torch.int32, device=keep.device)
        return MaskedDense(
            full=_channels_first(repeated.index_put(places, children)),
            cells=numbered.view(regions, height, width)[places],
        )

    def gather(self, offsets: Int[Tensor, "T 2"]) -> Float[Tensor, "A T F"]:
        """Read the map with a rim of zeros around it, as wide as the farthest offset."""
        rim = int(offsets.abs().max())
        padded = _channels_last(F.pad(self.full, (rim, rim, rim, rim)))
        region, row, column = self.positions
        return torch.stack([padded[region, row + rim + dy, column + rim + dx] for dy, dx in offsets.tolist()], 1)

    def sample(self, points: Float[Tensor, "A T 2"]) -> Float[Tensor, "A T F"]:
        """Bilinear `grid_sample` of each region's own map at its own points, zeros outside."""
        regions, height, width = self.size
        region = self.positions[0]
        normalised = (points.flip(-1) + 0.5) / points.new_tensor([width, height]) * 2 - 1
        sampled = points.new_zeros(*points.shape[:2], self.full.shape[1], dtype=self.full.dtype)
        for number in range(regions):
            rows = (region == number).nonzero()[:, 0]
            if not len(rows):
                continue
            of_region = F.grid_sample(self.full[number, None], normalised[rows][None], align_corners=False)
            sampled = sampled.index_put((rows,), of_region[0].permute(1, 2, 0))
        return sampled

    def conv2d(
        self, weight: Float[Tensor, "O F k k"], bias: Float[Tensor, "O"] | None, dilation: int
    ) -> Float[Tensor, "A O"]:
        """Convolve the whole map, zeros outside, and read the active cells."""
        padding = dilation * (weight.shape[-1] // 2)
        return self._read(F.conv2d(self.full, weight, bias, padding=padding, dilation=dilation))

    def sfm(
        self, weight: Float[Tensor, "D O F 3 3"], bias: Float[Tensor, "D O"], dilations: Sequence[int]
    ) -> Float[Tensor, "A O"]:
        """Sum the rectified convolutions of all branches."""
        branches = zip(weight.unbind(), bias.unbind(), dilations, strict=True)
        return torch.stack([self.conv2d(*branch).relu() for branch in branches]).sum(0)

    def depthwise(
        self, weight: Float[Tensor, "D k k F"], bias: Float[Tensor, "F"] | None, dilations: Sequence[int]
    ) -> Float[Tensor, "A F"]:
        """Sum full convolutions whose weights from one feature to another are zero."""
        kernels = weight.diag_embed().permute(0, 3, 4, 1, 2)
        branches = [self.conv2d(kernel, None, dilation) for kernel, dilation in zip(kernels, dilations, strict=True)]
        summed = torch.stack(branches).sum(0)
        return summed if bias is None else summed + bias

    def deform_conv2d(
        self,
        weight: Float[Tensor, "O F k k"],
        bias: Float[Tensor, "O"] | None,
        displacement: Float[Tensor, "A k*k 2"],
    ) -> Float[Tensor, "A O"]:
        """Weigh and sum one sample of the map per tap."""
        _, row, column = self.positions
        taps = self.sample(torch.stack((row, column), -1)[:, None] + displacement)
        summed = torch.einsum("atf,oft->ao", taps, weight.flatten(2))
        return summed if bias is None else summed + bias

    def to_dense(self) -> Float[Tensor, "R F H W"]:
        """Give the map."""
        return self.full

    def storage(self) -> dict[str, int]:
        """Bytes of map and list; nobody stores features like this."""
        return {"features": self.full.nbytes, "index": self.cells.nbytes}

    def _read(self, maps: Float[Tensor, "R O H W"]) -> Float[Tensor, "A O"]:
        return _channels_last(maps)[self.positions]


def _channels_last(maps: Float[Tensor, "R F H W"]) -> Float[Tensor, "R H W F"]:
    return maps.permute(0, 2, 3, 1)


def _channels_first(rows: Float[Tensor, "R H W F"]) -> Float[Tensor, "R F H W"]:
    return rows.permute(0, 3, 1, 2)
