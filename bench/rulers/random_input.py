"""What a head gets for one image, and such an input without any image: random features, random regions."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from bench.contract import Context
from bench.model.assemble import assemble
from bench.model.build import CHANNELS
from bench.rulers.parts import PYRAMID_LEVELS
from heads import Detections, MaskHead, Pyramid

SIZES = {"paper": (800, 1112), "small": (320, 448)}
"""(height, width) that the images of a preset mostly have."""

ORIGINAL_SIZE = (480, 640)
SIDES = (0.03, 0.4)
"""Shortest and longest side of a random region, as shares of the shorter side of the image."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """Input of a head for one image, and the sizes (height, width) that its masks are scored and pasted at."""

    pyramid: Pyramid
    regions: Detections
    input_size: tuple[int, int]
    original_size: tuple[int, int]

    def walk(self, head: MaskHead) -> None:
        """Predict the masks and paste them."""
        assemble(head(self.pyramid, self.regions), self.regions, [self.input_size], [self.original_size])

    def first(self, num_regions: int) -> "Input":
        """The same image with its first regions only, which have one prediction each."""
        found = self.regions
        counts = (min(num_regions, len(found.boxes)),)
        return replace(
            self,
            regions=replace(
                found,
                boxes=found.boxes[:num_regions],
                image=found.image[:num_regions],
                queries=found.queries[:num_regions],
                region=found.region[:num_regions],
                labels=found.labels[:num_regions],
                scores=found.scores[:num_regions],
                region_counts=counts,
                prediction_counts=counts,
            ),
        )


def random_input(num_regions: int, preset: str, context: Context, *, size: tuple[int, int] | None = None) -> Input:
    """Regions of one prediction each, of sides that are uniform in their logarithm, inside an image.

    They are drawn from the seed of the context alone: the same for all heads of a preset. `size` (height, width) is
    that of the input, the preset's without.
    """
    channels, size = CHANNELS[preset], size or SIZES[preset]
    generator = torch.Generator().manual_seed(context.seed)
    dtype: torch.dtype = getattr(torch, context.dtype)

    def draw(*shape: int) -> Float[Tensor, "*shape"]:
        return torch.randn(shape, generator=generator).to(context.device, dtype)

    pyramid = {
        level: draw(1, channels, -(-size[0] // 2**level), -(-size[1] // 2**level)).contiguous(
            memory_format=torch.channels_last
        )
        for level in PYRAMID_LEVELS
    }
    low, high = (math.log(share * min(size)) for share in SIDES)
    sides = (low + (high - low) * torch.rand(num_regions, 2, generator=generator)).exp()
    corners = torch.rand(num_regions, 2, generator=generator) * (torch.tensor([size[1], size[0]]) - sides)
    zeros = torch.zeros(num_regions, dtype=torch.long, device=context.device)
    regions = Detections(
        boxes=torch.cat([corners, corners + sides], 1).to(context.device),
        image=zeros,
        queries=draw(num_regions, channels),
        region=torch.arange(num_regions, device=context.device),
        labels=zeros,
        scores=torch.ones(num_regions, device=context.device),
        region_counts=(num_regions,),
        prediction_counts=(num_regions,),
        image_size=size,
    )
    return Input(pyramid=pyramid, regions=regions, input_size=size, original_size=ORIGINAL_SIZE)
