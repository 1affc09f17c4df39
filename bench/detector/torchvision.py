"""torchvision's Mask R-CNN as a detector: region proposals, and a box head on each, both made of torchvision's modules.

It is there for torchvision's COCO weights: it detects as torchvision does and does not learn. A query is what the box
head computes at a box, before the classes: recomputed at the final boxes, so that detected and given boxes are alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou

from bench.detector.contract import Learned
from heads import Detections, align_as_torchvision

_REGION_SIDE = 7
_DIVISOR = 32
"""Of the sides of padded images: the stride of P5."""

# All as in torchvision.models.detection.faster_rcnn.FasterRCNN.
_ANCHOR_SIZES = (32, 64, 128, 256, 512)
_ASPECT_RATIOS = (0.5, 1.0, 2.0)
_PROPOSAL_OVERLAP, _DETECTION_OVERLAP = 0.7, 0.5
_MIN_SCORE = 0.05
_IS_OBJECT = 0.5
_MOST_LEARNED = 128


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the detector; the defaults are those of torchvision's first version.

    `num_proposals` are kept of a level before and of an image after suppression. `num_unused` are classes without a
    category that torchvision has between COCO's: never detected, but their logits are in every softmax.
    """

    levels: tuple[int, ...] = (2, 3, 4, 5, 6)
    channels: int = 256
    representation: int = 1024
    proposal_convs: int = 1
    box_convs: int = 0
    num_proposals: int = 1000
    num_detections: int = 100
    num_unused: int = 10


PRESETS = {"paper": Config(), "small": Config(channels=64, representation=256, num_proposals=100)}


@dataclass(frozen=True, kw_only=True)
class TorchvisionOutput:
    """The detections of a batch, ordered by image and within it by falling score; `counts` are those of every image."""

    boxes: Float[Tensor, "D 4"]
    queries: Float[Tensor, "D C"]
    labels: Int[Tensor, "D"]
    scores: Float[Tensor, "D"]
    counts: Int[Tensor, "B"]


class TorchvisionDetector(nn.Module):
    """The detector on top of a padded pyramid P2..P6 (a `Detector`), its parts named as in torchvision's state dicts.

    Logits are ordered: the classes, background, the unused ones. Boxes are cut at the border of the image. It computes
    in the number type of its weights, of 32 bits at least, also where others around it use fewer.
    """

    def __init__(self, config: Config, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.query_size = config.representation
        self.max_given = config.num_proposals
        kept = {"training": config.num_proposals, "testing": config.num_proposals}
        sizes = tuple((size,) for size in _ANCHOR_SIZES)
        self.rpn = RegionProposalNetwork(
            AnchorGenerator(sizes, (_ASPECT_RATIOS,) * len(sizes)),
            RPNHead(config.channels, len(_ASPECT_RATIOS), config.proposal_convs),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n=kept,
            post_nms_top_n=kept,
            nms_thresh=_PROPOSAL_OVERLAP,
        )
        self.roi_heads = RoIHeads(
            None,  # regions are aligned by `_features`
            _box_head(config),
            FastRCNNPredictor(config.representation, num_classes + 1 + config.num_unused),
            fg_iou_thresh=_IS_OBJECT,
            bg_iou_thresh=_IS_OBJECT,
            batch_size_per_image=512,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=_MIN_SCORE,
            nms_thresh=_DETECTION_OVERLAP,
            detections_per_img=config.num_detections,
        )

    def train(self, mode: bool = True) -> "TorchvisionDetector":
        """Stay as in inference: it does not learn, and torchvision's parts ask for objects when they do."""
        return super().train(False)

    def forward(self, pyramid: Mapping[int, Tensor], image_size: tuple[int, int]) -> TorchvisionOutput:
        """Detect in a batch; `image_size` is the (height, width) of the input, without the padding of the pyramid.

        Raises ValueError where there are no values, on which the number of proposals depends, and for weights of fewer
        than 32 bits, in which places in an image cannot be told.
        """
        with self._exactly(pyramid) as maps:
            proposals = self._proposals(maps, image_size)
            logits, deltas = self.roi_heads.box_predictor(self._features(maps, proposals))
            # What torchvision counts as background here is all that is no class: every other probability stays.
            nothing = logits[:, self.num_classes :].logsumexp(1, keepdim=True)
            moves = deltas.unflatten(1, (-1, 4))[:, : self.num_classes]
            boxes, scores, labels = self.roi_heads.postprocess_detections(
                torch.cat([nothing, logits[:, : self.num_classes]], 1),
                torch.cat([torch.zeros_like(moves[:, :1]), moves], 1).flatten(1),
                proposals,
                [image_size] * len(proposals),
            )
            return TorchvisionOutput(
                boxes=torch.cat(boxes),
                queries=self._features(maps, boxes),
                labels=torch.cat(labels) - 1,
                scores=torch.cat(scores),
                counts=torch.tensor([len(of_image) for of_image in boxes]),
            )

    def detections(self, output: TorchvisionOutput) -> Detections:
        """Give what was found, one region for every detection."""
        counts = tuple(output.counts.tolist())
        device = output.boxes.device
        return Detections(
            boxes=output.boxes,
            image=torch.arange(len(counts), device=device).repeat_interleave(
                output.counts.to(device), output_size=sum(counts)
            ),
            queries=output.queries,
            region=torch.arange(len(output.boxes), device=device),
            labels=output.labels,
            scores=output.scores,
            region_counts=counts,
            prediction_counts=counts,
        )

    def queries_at(
        self, pyramid: Mapping[int, Tensor], image_size: tuple[int, int], boxes: Sequence[Tensor]
    ) -> list[Tensor]:
        """Queries [G C] of given boxes [G 4] per image: the features of the box head at exactly these."""
        with self._exactly(pyramid) as maps:
            return list(self._features(maps, boxes).split([len(of_image) for of_image in boxes]))

    def class_scores(self, queries: Float[Tensor, "R C"]) -> Float[Tensor, "R K"]:
        """The probability of each class that queries show."""
        logits: Tensor = self.roi_heads.box_predictor.cls_score(queries)
        return logits.float().softmax(1)[:, : self.num_classes]

    @torch.no_grad()
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
        """No losses; heads learn, as Mask R-CNN does, on proposals that show an object by an IoU of 0.5 at least.

        The boxes of the objects are the first proposals, the others follow by their score; an image gives up to 128.
        torchvision draws among its 2,000 proposals in training; here they are those of inference. There are no anchors
        to `include`.
        """
        regions = [of_image.to(self._dtype) for of_image in boxes]
        objects = [torch.arange(len(of_image), device=of_image.device) for of_image in boxes]
        if not true_boxes:
            with self._exactly(pyramid) as maps:
                proposals = self._proposals(maps, image_size)
            shown = [_shown(*pair) for pair in zip(regions, proposals, strict=True)]
            regions, objects = [places for places, _ in shown], [index for _, index in shown]
        queries = self.queries_at(pyramid, image_size, regions)
        parts = zip(regions, queries, objects, strict=True)
        return {}, [Learned(boxes=places, queries=found, object=index) for places, found, index in parts]

    @property
    def _dtype(self) -> torch.dtype:
        return self.roi_heads.box_predictor.cls_score.weight.dtype

    def _proposals(self, maps: Mapping[int, Tensor], image_size: tuple[int, int]) -> list[Tensor]:
        """Where an object may be, whatever it is: boxes [P 4] per image, the best first."""
        coarsest = maps[self.config.levels[-2]]
        padded = [_DIVISOR * int(side) for side in coarsest.shape[-2:]]
        images = ImageList(coarsest.new_empty(0, 3, *padded), [image_size] * len(coarsest))
        proposals, _ = self.rpn(images, {str(level): maps[level] for level in self.config.levels})
        return list(proposals)

    def _features(self, maps: Mapping[int, Tensor], boxes: Sequence[Tensor]) -> Float[Tensor, "R C"]:
        aligned = align_as_torchvision(maps, [of_image.to(self._dtype) for of_image in boxes], _REGION_SIDE)
        return self.roi_heads.box_head(aligned)

    @contextmanager
    def _exactly(self, pyramid: Mapping[int, Tensor]) -> Iterator[dict[int, Tensor]]:
        """Give the maps in the number type of the weights, in which all is computed inside."""
        device = pyramid[self.config.levels[0]].device
        if device.type == "meta":
            raise ValueError(
                "torchvision's detector was asked for its cost without images; what it computes depends on how many "
                "regions they propose; measure with images."
            )
        if self._dtype.itemsize < 4:
            raise ValueError(
                f"torchvision's detector has weights in {self._dtype}; expected 32 bits at least, because fewer cannot "
                "tell places in an image apart; use float32."
            )
        with torch.autocast(device.type, enabled=False):
            yield {level: pyramid[level].to(self._dtype) for level in self.config.levels}


def _box_head(config: Config) -> nn.Module:
    if not config.box_convs:
        return TwoMLPHead(config.channels * _REGION_SIDE**2, config.representation)
    size = (config.channels, _REGION_SIDE, _REGION_SIDE)
    return FastRCNNConvFCHead(size, [config.channels] * config.box_convs, [config.representation])


def _shown(
    boxes: Float[Tensor, "G 4"], proposals: Float[Tensor, "P 4"]
) -> tuple[Float[Tensor, "M 4"], Int[Tensor, "M"]]:
    """The first of objects and proposals that show an object, and which."""
    candidates = torch.cat([boxes, proposals])
    if not len(boxes):
        return candidates[:0], torch.zeros(0, dtype=torch.long, device=boxes.device)
    overlap, best = box_iou(boxes, candidates).max(0)
    chosen = (overlap >= _IS_OBJECT).nonzero()[:_MOST_LEARNED, 0]
    return candidates[chosen], best[chosen]


def build(config: Config, channels: int, num_classes: int) -> TorchvisionDetector:
    """Build the detector on a pyramid of `channels` channels, which must be those of the configuration."""
    assert config.channels == channels
    return TorchvisionDetector(config, num_classes)
