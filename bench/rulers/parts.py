"""The walk cut into parts with tensors in and tensors out: what both rulers can count (fvcore traces nothing else)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.model.assemble import paste_canvas
from bench.model.segmenter import Segmenter
from heads import Detections, compose

PYRAMID_LEVELS = (2, 3, 4, 5, 6, 7)


class BackbonePart(nn.Module):
    """Images [B 3 H W] -> C2..C5."""

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self.backbone = model.backbone

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Give the maps in the order of their levels."""
        features: dict[int, Tensor] = self.backbone(images)
        return tuple(features[level] for level in sorted(features))


class NeckPart(nn.Module):
    """C2..C5 -> P2..P7."""

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self.neck = model.neck

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Give the maps in the order of their levels."""
        pyramid: dict[int, Tensor] = self.neck(dict(enumerate(features, start=2)))
        return tuple(pyramid[level] for level in sorted(pyramid))


class DetectorPart(nn.Module):
    """P2..P7 -> what the detector says of its queries, before non-maximum suppression, which nobody counts."""

    def __init__(self, model: Segmenter, size: tuple[int, int]) -> None:
        super().__init__()
        self.detector = model.detector
        self.size = size
        self._output: type[Any] | None = None

    def forward(self, *pyramid: Tensor) -> tuple[Tensor, ...]:
        """Give the fields of what the detector says, in their order; `whole` puts them together again."""
        output = self.detector(as_pyramid(pyramid), self.size)
        self._output = type(output)
        return tuple(vars(output).values())

    def whole(self, fields: Sequence[Tensor]) -> Any:
        """What the detector said, from the fields that `forward` gave."""
        assert self._output is not None, "nothing was given yet"
        names = [field.name for field in dataclasses.fields(self._output)]
        return self._output(**dict(zip(names, fields, strict=True)))


class HeadPart(nn.Module):
    """P2..P7 and regions -> masks on canvases of the input's size, pasted as the paper's measurement did."""

    def __init__(self, model: Segmenter, size: tuple[int, int], counts: tuple[int, ...]) -> None:
        super().__init__()
        self.head = model.head
        self.size = size
        self.counts = counts

    def forward(
        self, boxes: Tensor, image: Tensor, queries: Tensor, labels: Tensor, *pyramid: Tensor
    ) -> tuple[Tensor, ...]:
        """Give the probability of every pixel [R H W], and all else the head predicted. One prediction per region."""
        regions = Detections(
            boxes=boxes,
            image=image,
            queries=queries,
            region=torch.arange(sum(self.counts), device=boxes.device),
            labels=labels,
            scores=torch.ones_like(boxes[:, 0]),
            region_counts=self.counts,
            prediction_counts=self.counts,
            image_size=self.size,
        )
        stages = self.head(as_pyramid(pyramid), regions)
        canvas = paste_canvas(compose(stages).sigmoid(), boxes, self.size)
        # A trace leaves out what no output needs; what the head computes must count even if nobody uses it.
        others = [part for stage in stages for part in (stage.refine_logits, stage.quality)]
        return canvas, *(part for part in others if part is not None)


def as_pyramid(maps: Sequence[Tensor]) -> dict[int, Tensor]:
    """The maps of P2, P3 and so on by level."""
    return dict(enumerate(maps, start=PYRAMID_LEVELS[0]))
