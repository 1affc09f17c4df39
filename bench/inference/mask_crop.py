"""A mask on the part of a picture that it can cover, as an array."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool

from bench.model.assemble import Crop, RunLengths, encode_crop


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskCrop:
    """A mask on the extent of its box: `mask` [h w] bool, its first pixel at (`top`, `left`) of the picture."""

    mask: Bool[np.ndarray, "h w"]
    top: int
    left: int

    @classmethod
    def of(cls, crop: Crop) -> "MaskCrop":
        """Copy a crop to the host."""
        return cls(mask=crop.mask.cpu().numpy(), top=crop.top, left=crop.left)

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.mask.sum())

    def on(self, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
        """The mask on a picture of `size` (height, width)."""
        canvas = np.zeros(size, bool)
        height, width = self.mask.shape
        canvas[self.top : self.top + height, self.left : self.left + width] = self.mask
        return canvas

    def encode(self, size: tuple[int, int]) -> RunLengths:
        """The mask on a picture of `size` (height, width), in COCO's run-length encoding."""
        return encode_crop(Crop(mask=torch.from_numpy(self.mask), top=self.top, left=self.left), size)
