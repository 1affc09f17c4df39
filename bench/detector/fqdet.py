"""FQDet v1: the best anchors of a pyramid become queries, a decoder refines them, two heads read them (Sec. 3.1).

`bench.detector.fqdetv2` is the same walk with other parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench.detector.anchors import ANCHORS_PER_CELL, best_anchors, pyramid_anchors
from bench.detector.blocks import prediction_head
from bench.detector.boxes import decode
from bench.detector.contract import Learned
from bench.detector.decoder import AnchorEncoding, DecoderLayer
from bench.detector.detect import detect
from bench.detector.losses import MatchedQueries, detector_losses
from bench.detector.output import FQDetOutput
from bench.detector.selector import Selector, Transition
from heads import Detections


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the detector; the defaults are the paper's. `levels`: of the pyramid, for selection and attention.

    No weight depends on `num_queries`, on `num_detections`, the most detections of an image (Sec. 4.1), and on
    `max_overlap` (IoU), above which the better one of two detections of a class suppresses the other.
    """

    levels: tuple[int, ...] = (2, 3, 4, 5, 6, 7)
    channels: int = 256
    num_queries: int = 300
    num_detections: int = 100
    max_overlap: float = 0.5
    selector_bottleneck: int = 64
    selector_groups: int = 8
    num_layers: int = 6
    num_heads: int = 8
    num_points: int = 1
    hidden: int = 1024


PRESETS = {
    "paper": Config(),
    "small": Config(
        levels=(3, 4, 5, 6, 7), channels=64, num_queries=100, selector_bottleneck=16, num_layers=3, hidden=256
    ),
}


class FQDet(nn.Module):
    """The detector on top of a pyramid (a `Detector`).

    No shape of what a call gives depends on data, so it can be traced and run on meta tensors. What another version of
    it has of its own are the losses and what the three methods `new_...` make.
    """

    losses = staticmethod(detector_losses)

    def __init__(self, config: Config, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.query_size = channels = config.channels
        self.max_given = config.num_queries
        self.selector = Selector(
            channels=channels, bottleneck=config.selector_bottleneck, num_groups=config.selector_groups
        )
        self.transition = Transition(channels)
        self.anchor_encoding = self.new_anchor_encoding(channels)
        self.decoder = nn.ModuleList(
            DecoderLayer(
                channels=channels,
                num_levels=len(config.levels),
                num_heads=config.num_heads,
                num_points=config.num_points,
                hidden=config.hidden,
            )
            for _ in range(config.num_layers)
        )
        self.class_head = self.new_class_head(channels, num_classes + 1)
        self.box_head = self.new_box_head(channels)

    @staticmethod
    def new_anchor_encoding(channels: int) -> AnchorEncoding | None:
        """What says to the decoder which anchor a query has, if anything does."""
        return AnchorEncoding(channels)

    @staticmethod
    def new_class_head(channels: int, num_outputs: int) -> nn.Module:
        """From queries to logits of all classes, "no object" last."""
        return prediction_head(channels, num_outputs)

    @staticmethod
    def new_box_head(channels: int) -> nn.Module:
        """From queries to the deltas of their boxes."""
        return prediction_head(channels, 4)

    def forward(
        self, pyramid: Mapping[int, Tensor], image_size: tuple[int, int], include: Sequence[Tensor] | None = None
    ) -> FQDetOutput:
        """Detect in a batch; `image_size` is the (height, width) of the padded input.

        `include[b]` [M] are flat anchor indices of image b that become queries in any case, in place of the lowest
        scored ones; repetitions count once. Where there are more of them than queries, there are as many queries.
        """
        maps = [pyramid[level] for level in self.config.levels]
        shapes = [_size(features) for features in maps]
        selection_logits = torch.cat([self.selector(features) for features in maps], dim=1)
        index = self._select(selection_logits.detach(), include)

        features = torch.cat([features.flatten(2).transpose(1, 2) for features in maps], dim=1)
        cells = torch.div(index, ANCHORS_PER_CELL, rounding_mode="floor")
        chosen = features.gather(1, cells[..., None].expand(-1, -1, features.shape[-1]))
        queries = self.transition(chosen, index % ANCHORS_PER_CELL)

        anchors = self.anchors(pyramid)[index]
        height, width = image_size
        placed = anchors / anchors.new_tensor((width, height, width, height))
        encoding = None if self.anchor_encoding is None else self.anchor_encoding(placed.to(features.dtype))
        for layer in self.decoder:
            queries = layer(queries, encoding, placed, features, shapes)
        deltas = self.box_head(queries)
        return FQDetOutput(
            selection_logits=selection_logits,
            anchor_index=index,
            anchor_boxes=anchors,
            queries=queries,
            class_logits=self.class_head(queries),
            deltas=deltas,
            boxes=decode(deltas, anchors),
        )

    def anchors(self, pyramid: Mapping[int, Tensor]) -> Float[Tensor, "N 4"]:
        """All anchors of a pyramid (xyxy, input pixels, at least 32 bits): what `anchor_index` counts in."""
        shapes = {level: _size(pyramid[level]) for level in self.config.levels}
        first = pyramid[self.config.levels[0]]
        return pyramid_anchors(shapes, first.device, torch.promote_types(first.dtype, torch.float32))

    def queries_at(
        self, pyramid: Mapping[int, Tensor], image_size: tuple[int, int], boxes: Sequence[Tensor]
    ) -> list[Tensor]:
        """Queries [G C] of given boxes [G 4] per image: those of their best anchors, decoded among the selected ones.

        Boxes with the same best anchor share a query.
        """
        anchors = self.anchors(pyramid)
        best = [best_anchors(boxes_of_image, anchors)[:, 0] for boxes_of_image in boxes]
        output = self(pyramid, image_size, include=best)
        found = []
        for queries, selected, wanted in zip(output.queries, output.anchor_index, best, strict=True):
            found.append(queries[(wanted[:, None] == selected).int().argmax(dim=1)])
        return found

    def detections(self, output: FQDetOutput) -> Detections:
        """Keep the best (query, class) pairs, as `bench.detector.detect` says."""
        return detect(output, max_overlap=self.config.max_overlap, num_predictions=self.config.num_detections)

    def class_scores(self, queries: Float[Tensor, "R C"]) -> Float[Tensor, "R K"]:
        """The probability of each class that queries show."""
        logits: Tensor = self.class_head(queries)
        return logits[:, :-1].float().sigmoid()

    def learn(
        self,
        pyramid: Mapping[int, Tensor],
        image_size: tuple[int, int],
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
        *,
        true_boxes: bool = False,
        include: Sequence[Tensor] | None = None,
    ) -> tuple[dict[str, Tensor], list[Learned]]:
        """Losses `selection`, `class` and `box`; heads learn on the predicted boxes of matched queries.

        With `true_boxes` they learn on those of the objects, with the queries of their best anchors.
        """
        anchors = self.anchors(pyramid)
        wanted = [best_anchors(of_image, anchors)[:, 0] for of_image in boxes] if true_boxes else None
        output = self(pyramid, image_size, include=wanted or include)
        losses, matches = self.losses(output, boxes, labels, anchors)
        if wanted is not None:
            matches = [_each_object(index, best) for index, best in zip(output.anchor_index, wanted, strict=True)]
        places = boxes if true_boxes else None
        return losses, [
            Learned(
                boxes=output.boxes[image, of.query].detach() if places is None else places[image][of.object],
                queries=output.queries[image, of.query],
                object=of.object,
            )
            for image, of in enumerate(matches)
        ]

    def _select(self, logits: Float[Tensor, "B N"], include: Sequence[Tensor] | None) -> Int[Tensor, "B Q"]:
        num_queries = self.config.num_queries
        if include is not None:
            logits = logits.clone()
            for of_image, wanted in zip(logits, include, strict=True):
                of_image[wanted] = torch.inf
            num_queries = max(num_queries, *(len(wanted.unique()) for wanted in include))
        return logits.topk(min(num_queries, int(logits.shape[1])), dim=1).indices


def _size(features: Float[Tensor, "B C H W"]) -> tuple[int, int]:
    # int(): while tracing, sizes are tensors.
    return int(features.shape[-2]), int(features.shape[-1])


def _each_object(anchor_index: Int[Tensor, "Q"], wanted: Int[Tensor, "G"]) -> MatchedQueries:
    """Match every object to the query of its best anchor, which is there because it was asked for."""
    query = (wanted[:, None] == anchor_index).int().argmax(dim=1)
    return MatchedQueries(query=query, object=torch.arange(len(wanted), device=wanted.device))


def build(config: Config, channels: int, num_classes: int) -> FQDet:
    """Build the detector on a pyramid of `channels` channels, which must be those of the configuration."""
    assert config.channels == channels
    return FQDet(config, num_classes)
