"""From a mask at input size to one at the size of the file, as the authors' code does it: masks come out dilated.

There, a mask of booleans on a full canvas of the input's size is resized bilinearly, as numbers 0 and 1, and every
pixel that is more than 0 is foreground: one foreground pixel among those that a pixel lies between is enough.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

_NUMBERS_AT_ONCE = 2**22


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """What every pixel of one axis of the resized image lies between: pixels `low` to `high`, where weights are not 0.

    Both ascend. `low` and `high` on the device, `ends` = (low, high) on the host.
    """

    low: Int[Tensor, "N"]
    high: Int[Tensor, "N"]
    ends: tuple[Sequence[int], Sequence[int]]

    def reached(self, start: int, count: int) -> tuple[int, int]:
        """First and last + 1 of the resized pixels that see some of `count` pixels from `start` on."""
        lows, highs = self.ends
        return bisect_left(highs, start), bisect_left(lows, start + count)

    def within(self, start: int, count: int, reached: tuple[int, int]) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"]]:
        """The same of a crop that has one pixel around it: what lies beyond is that pixel."""
        part = slice(*reached)
        low, high = (side[part].sub(start - 1).clamp(0, count + 1) for side in (self.low, self.high))
        return low, high


class Dilation:
    """Resizes masks of one image from the input's size to that of the file; sizes are (height, width)."""

    def __init__(self, input_size: tuple[int, int], size: tuple[int, int], device: torch.device) -> None:
        self._rows, self._columns = (
            _axis(before, after, device) for before, after in zip(input_size, size, strict=True)
        )

    def __call__(self, mask: Bool[Tensor, "h w"], top: int, left: int) -> tuple[Bool[Tensor, "H W"], tuple[int, int]]:
        """Resize a crop whose first pixel is at (`top`, `left`); gives the same of the resized image.

        Equal to resizing the canvas bit for bit, on the extent that the crop can reach; all else is background.
        """
        height, width = mask.shape
        rows, columns = self._rows.reached(top, height), self._columns.reached(left, width)
        padded = F.pad(mask, (1, 1, 1, 1))
        above, below = self._rows.within(top, height, rows)
        before, after = self._columns.within(left, width, columns)
        strips = padded[above] | padded[below]
        return strips[:, before] | strips[:, after], (rows[0], columns[0])


def _axis(before: int, after: int, device: torch.device) -> _Axis:
    """Read the weights off torch's own resizing of single pixels: in 32 bits, some that should be 0 are not."""
    low = torch.full((after,), before, device=device)
    high = torch.full((after,), -1, device=device)
    step = max(1, _NUMBERS_AT_ONCE // max(before, after))
    for start in range(0, before, step):
        pixels = torch.arange(start, min(start + step, before), device=device)
        single = torch.zeros(1, len(pixels), before, 1, device=device)
        single[0, pixels - start, pixels] = 1
        touched = F.interpolate(single, size=(after, 1), mode="bilinear", align_corners=False)[0, :, :, 0] != 0
        low = torch.where(touched, pixels[:, None], before).amin(0).minimum(low)
        high = torch.where(touched, pixels[:, None], -1).amax(0).maximum(high)
    return _Axis(low=low, high=high, ends=(low.tolist(), high.tolist()))
