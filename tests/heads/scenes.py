"""Regions, pyramids and targets for tests of single heads."""

import torch
from torch import Tensor

from heads import Detections, Targets

CHANNELS, QUERY_SIZE, NUM_CLASSES = 16, 12, 4
SIZE = (96, 128)
BOXES = ((8.0, 10.0, 60.0, 70.0), (20.0, 5.0, 31.0, 17.0), (-20.0, 30.0, 118.0, 120.0))
"""The last reaches beyond the image."""


def pyramid(images: int = 1, dtype: torch.dtype = torch.float32, size: tuple[int, int] = SIZE) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = {level: (images, CHANNELS, -(-size[0] // 2**level), -(-size[1] // 2**level)) for level in range(2, 8)}
    return {level: torch.randn(size, generator=generator, dtype=dtype) for level, size in sizes.items()}


def detections(
    counts: tuple[int, ...] = (3,), boxes: tuple[tuple[float, ...], ...] = BOXES, dtype: torch.dtype = torch.float32
) -> Detections:
    regions = len(boxes)
    return Detections(
        boxes=torch.tensor(boxes, dtype=dtype).view(-1, 4),
        image=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        queries=torch.randn(regions, QUERY_SIZE, generator=torch.Generator().manual_seed(2), dtype=dtype),
        region=torch.arange(regions),
        labels=torch.arange(regions) % NUM_CLASSES,
        scores=torch.ones(regions, dtype=dtype),
        region_counts=counts,
        prediction_counts=counts,
    )


def left_half(regions: int, side: int = 112) -> Targets:
    """In boxes that are the image, an object that is its left half."""
    masks = torch.zeros(1, side, side, dtype=torch.bool)
    masks[0, :, : side // 2] = True
    return Targets(
        masks=masks,
        image=torch.zeros(1, dtype=torch.long),
        index=torch.zeros(regions, dtype=torch.long),
        boxes=torch.tensor([[0.0, 0.0, side, side]]).expand(regions, 4),
        image_sizes=torch.full((regions, 2), float(side)),
    )


def num_parameters(head: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in head.parameters())
