"""From an image as annotated to an image as the model sees it: resizing, and the training augmentation (Sec. 4.1).

Parameters are drawn from the generator passed in, because torchvision's random transforms read torch's global one;
torchvision applies them to image, boxes and masks together. Images stay Pillow images to the end, so "bilinear" is
Pillow's, which averages when it shrinks. Masks take torch's "nearest", as the paper's
code does; it moves their edges right and down by half a pixel of the target on average.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tv

from bench.data.input_size import resized


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image with its objects: `boxes` xyxy pixels (tv_tensors.BoundingBoxes), `masks` 0 or 1 (tv_tensors.Mask)."""

    image: Image.Image
    boxes: Float[Tensor, "G 4"]
    masks: UInt8[Tensor, "G H W"]
    labels: Int[Tensor, "G"]

    @classmethod
    def of(
        cls,
        image: Image.Image,
        boxes: Float[Tensor, "G 4"],
        masks: UInt8[Tensor, "G H W"],
        labels: Int[Tensor, "G"],
    ) -> "Picture":
        """Make a picture from plain tensors; the boxes are xyxy in the image's pixels."""
        canvas_size = (image.height, image.width)
        return cls(
            image=image,
            boxes=tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=canvas_size),
            masks=tv_tensors.Mask(masks),
            labels=labels,
        )

    def each(self, operation: Callable[[Any], Any]) -> "Picture":
        """Apply a geometric operation of torchvision, which dispatches by type, to image, boxes and masks."""
        return replace(self, image=operation(self.image), boxes=operation(self.boxes), masks=operation(self.masks))

    def resize(self, short: int, long: int) -> "Picture":
        """Resize by the rule of `bench.data.input_size.resized`."""
        height, width = resized(self.image.height, self.image.width, short, long)
        return self.each(lambda part: tv.resize(part, [height, width]))


Transform = Callable[[Picture, torch.Generator], Picture]


@dataclass(frozen=True, kw_only=True)
class Resize:
    """The test transform: a fixed size rule, nothing random."""

    short: int
    long: int

    def __call__(self, picture: Picture, generator: torch.Generator) -> Picture:
        """Resize the picture; the generator is not used."""
        return picture.resize(self.short, self.long)


@dataclass(frozen=True, kw_only=True)
class MultiScale:
    """The training augmentation of DETR and of the paper.

    A horizontal flip for every second picture. Every second picture is also cropped before its final resize: resized
    to a short side of `crop_from`, then cut to sides drawn from `crop_sides` (least, most). The final short side is
    drawn from `shorts`, with the long side at most `long`.
    """

    shorts: Sequence[int]
    long: int
    crop_from: Sequence[int]
    crop_sides: tuple[int, int]

    def __call__(self, picture: Picture, generator: torch.Generator) -> Picture:
        """Draw and apply one augmentation."""
        if _coin(generator):
            picture = picture.each(tv.horizontal_flip)
        if _coin(generator):
            picture = self._crop(picture, generator)
        return picture.resize(_choice(self.shorts, generator), self.long)

    def _crop(self, picture: Picture, generator: torch.Generator) -> Picture:
        short = _choice(self.crop_from, generator)
        # No limit on the long side: a panorama must stay high enough to be cut.
        picture = picture.resize(short, short * max(picture.image.size))
        least, most = self.crop_sides
        width = _integer(min(least, picture.image.width), min(most, picture.image.width), generator)
        height = _integer(min(least, picture.image.height), min(most, picture.image.height), generator)
        top = _integer(0, picture.image.height - height, generator)
        left = _integer(0, picture.image.width - width, generator)
        return picture.each(lambda part: tv.crop(part, top, left, height, width))


PAPER_TEST = Resize(short=800, long=1333)
PAPER_TRAINING = MultiScale(shorts=range(480, 801, 32), long=1333, crop_from=(400, 500, 600), crop_sides=(384, 600))
SMALL_TEST = Resize(short=320, long=320)
"""Fits the image into 320 x 320: the long side becomes 320."""
SMALL_TRAINING = MultiScale(shorts=range(192, 321, 16), long=320, crop_from=(160, 200, 240), crop_sides=(154, 240))
"""The paper's augmentation at 0.4 of its size, in inputs that fit into 320 x 320."""


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """Draw an integer from `low` to `high`, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _choice(options: Sequence[int], generator: torch.Generator) -> int:
    return options[_integer(0, len(options) - 1, generator)]


def _coin(generator: torch.Generator) -> bool:
    return _integer(0, 1, generator) == 1
