"""The walk: images -> backbone -> pyramid -> detections -> stages -> masks -> COCO results.

One `Segmenter` holds the detector, which is the same for every head, and a head. `predict` walks at inference;
`forward` is one training step, losses included, so that DistributedDataParallel sees a single forward.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench.contract import Finishing
from bench.data.image_ids import Id, original
from bench.data.samples import Batch, Objects
from bench.detector.contract import Detector, Learned
from bench.model.assemble import ImagePredictions, RunLengths, assemble, encode
from heads import Detections, MaskHead, Pyramid, Targets


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Detections of one image that do not come from the detector: ground truth, or a file.

    `boxes` [D 4] xyxy in input pixels, `labels` [D] 0-based, `scores` [D]. Each is a region of its own.
    """

    boxes: Float[Tensor, "D 4"]
    labels: Int[Tensor, "D"]
    scores: Float[Tensor, "D"]

    def to(self, device: torch.device | str) -> "Boxes":
        """Copy to a device."""
        return Boxes(boxes=self.boxes.to(device), labels=self.labels.to(device), scores=self.scores.to(device))


@dataclass(frozen=True, kw_only=True)
class DetectorOutput:
    """The output of a detector for a batch: all that a head needs of it. Sizes are (height, width) of every image."""

    pyramid: Pyramid
    detections: Detections
    input_sizes: tuple[tuple[int, int], ...]
    original_sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a head learns on in one step, the same for all heads on one detector, with the losses of the detector."""

    pyramid: Pyramid
    detections: Detections
    targets: Targets
    losses: dict[str, Float[Tensor, ""]]


class CocoResult(TypedDict):
    """One prediction in COCO's result format. There is no `bbox`: with one, evaluators take its area for the mask's."""

    image_id: Id
    category_id: int
    score: float
    segmentation: RunLengths


def _no_lap(phase: str) -> None:
    """Nobody is timing."""


class Segmenter(nn.Module):
    """A common detector (backbone, neck, detector) with one head."""

    def __init__(self, *, backbone: nn.Module, neck: nn.Module, detector: Detector, head: MaskHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.detector = detector
        self.head = head
        self.finishing: Finishing = "exact"

    @torch.inference_mode()
    def predict(
        self, batch: Batch, given: Sequence[Boxes] | None = None, lap: Callable[[str], None] = _no_lap
    ) -> list[ImagePredictions]:
        """Predict the masks of a batch, in boxes of the detector or in `given` ones.

        `lap` is called with the name of every phase when it ends: backbone, neck, detector, head, assemble. Images of
        one size give the same in a batch as alone; others do not, because anchors are relative to the padded input.
        """
        return self.masks(self.detect(batch, given, lap), lap)

    @torch.inference_mode()
    def detect(
        self, batch: Batch, given: Sequence[Boxes] | None = None, lap: Callable[[str], None] = _no_lap
    ) -> DetectorOutput:
        """The part of `predict` that is the same for all heads on one detector."""
        features = self.backbone(batch.images)
        lap("backbone")
        pyramid: Pyramid = self.neck(features)
        lap("neck")
        detections = self.detections(pyramid, image_size(batch.images), given)
        lap("detector")
        return DetectorOutput(
            pyramid=pyramid,
            detections=detections,
            input_sizes=batch.input_sizes,
            original_sizes=batch.original_sizes,
        )

    @torch.inference_mode()
    def masks(self, output: DetectorOutput, lap: Callable[[str], None] = _no_lap) -> list[ImagePredictions]:
        """The part of `predict` that is the head's."""
        regions = self.regions(output.detections)
        stages = self.head(output.pyramid, regions)
        lap("head")
        predictions = assemble(stages, regions, output.input_sizes, output.original_sizes, finishing=self.finishing)
        lap("assemble")
        return predictions

    def detections(self, pyramid: Pyramid, size: tuple[int, int], given: Sequence[Boxes] | None = None) -> Detections:
        """Detect, or put `given` boxes in the place of detections, with the queries of their best anchors."""
        if given is None:
            found = self.detector.detections(self.detector(pyramid, size))
        else:
            queries = self.detector.queries_at(pyramid, size, [image.boxes for image in given])
            found = _own_regions(given, queries)
        return replace(found, image_size=size)

    def regions(self, detections: Detections) -> Detections:
        """The regions that the head computes masks for: one per prediction if its masks depend on the class.

        Raises ValueError for a box that is not finite.
        """
        found = _finite(detections)
        return found.per_prediction() if self.head.class_specific else found

    def forward(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        *,
        true_boxes: bool = False,
        include: Sequence[Tensor] | None = None,
        max_regions: int | None = None,
    ) -> dict[str, Tensor]:
        """Losses of one training step by name, to be summed: those of the detector and of the head, per image.

        Explained and raises as `lesson`.
        """
        given = self.lesson(batch, generator, true_boxes=true_boxes, include=include, max_regions=max_regions)
        losses = given.losses | self.head.loss(self.head(given.pyramid, given.detections, generator), given.targets)
        # The losses of the paper are sums over one image; more images a step must not change the learning rate.
        return {name: loss / len(batch.input_sizes) for name, loss in losses.items()}

    def lesson(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        *,
        true_boxes: bool = False,
        include: Sequence[Tensor] | None = None,
        max_regions: int | None = None,
    ) -> Lesson:
        """The part of `forward` that is the same for all heads on one detector.

        The head learns on the regions that `Detector.learn` gives, which explains `true_boxes` and `include`. Of an
        image's it learns on `max_regions` at most, drawn at random; the detector learns from all. Raises ValueError for
        a batch without annotations.
        """
        objects = batch.objects
        if objects is None:
            raise ValueError(
                "An image of the batch has no known annotations; training needs those of every image; "
                "leave out images that only an LVIS file lists."
            )
        pyramid: Pyramid = self.neck(self.backbone(batch.images))
        losses, learned = self.detector.learn(
            pyramid,
            image_size(batch.images),
            [of_image.boxes for of_image in objects],
            [of_image.labels for of_image in objects],
            true_boxes=true_boxes,
            include=include,
        )
        if max_regions is not None:
            learned = [_drawn(of_image, max_regions, generator) for of_image in learned]
        detections, targets = _learned_regions(learned, batch, objects)
        return Lesson(pyramid=pyramid, detections=detections, targets=targets, losses=losses)


def coco_results(
    image_ids: Sequence[int], predictions: Sequence[ImagePredictions], category_ids: Sequence[int]
) -> Iterator[CocoResult]:
    """Encode predictions as COCO results; `category_ids[label]` is the id of a class in the annotation file."""
    for image_id, image in zip(image_ids, predictions, strict=True):
        rows = zip(image.labels.tolist(), image.scores.tolist(), encode(image), strict=True)
        for label, score, mask in rows:
            yield CocoResult(
                image_id=original(image_id), category_id=category_ids[label], score=score, segmentation=mask
            )


def image_size(images: Float[Tensor, "B 3 H W"]) -> tuple[int, int]:
    """(height, width) of a padded batch."""
    return int(images.shape[2]), int(images.shape[3])


def _own_regions(given: Sequence[Boxes], queries: Sequence[Tensor]) -> Detections:
    counts = tuple(len(image.boxes) for image in given)
    boxes = torch.cat([image.boxes for image in given])
    return Detections(
        boxes=boxes,
        image=_image_index(counts, boxes.device),
        queries=torch.cat(list(queries)),
        region=torch.arange(len(boxes), device=boxes.device),
        labels=torch.cat([image.labels for image in given]),
        scores=torch.cat([image.scores for image in given]),
        region_counts=counts,
        prediction_counts=counts,
    )


def _finite(detections: Detections) -> Detections:
    """The same detections. Raises ValueError for a box that is not finite: native code would read beyond the maps."""
    boxes = detections.boxes
    if boxes.is_meta or bool(boxes.isfinite().all()):
        return detections
    region = int(boxes.isfinite().all(1).logical_not().nonzero()[0, 0])
    image = int(detections.image[region])
    place = region - sum(detections.region_counts[:image])
    raise ValueError(
        f"Box {place} of image {image} of the batch is {boxes[region].tolist()}; expected four finite numbers (x and y "
        "of the upper left corner, then of the lower right one); correct the given boxes, or look at the weights: "
        "those of a training that diverged predict such boxes."
    )


def _image_index(counts: Sequence[int], device: torch.device) -> Int[Tensor, "R"]:
    return torch.repeat_interleave(torch.tensor(counts, device=device), output_size=sum(counts))


def _drawn(learned: Learned, count: int, generator: torch.Generator | None) -> Learned:
    """Keep at most `count` regions of an image, in their order."""
    if len(learned.boxes) <= count:
        return learned
    order = torch.randperm(len(learned.boxes), generator=generator, device=learned.boxes.device)
    kept = order[:count].sort().values
    return Learned(boxes=learned.boxes[kept], queries=learned.queries[kept], object=learned.object[kept])


def _learned_regions(
    learned: Sequence[Learned], batch: Batch, objects: Sequence[Objects]
) -> tuple[Detections, Targets]:
    """The regions of a batch that the head learns on, with the classes and masks of their objects."""
    given, index, first_object = [], [], 0
    for of_image, truth in zip(learned, objects, strict=True):
        labels, boxes = truth.labels[of_image.object], of_image.boxes
        given.append(Boxes(boxes=boxes, labels=labels, scores=boxes.new_ones(len(boxes))))
        index.append(of_image.object + first_object)
        first_object += len(truth.labels)
    height, width = image_size(batch.images)
    detections = _own_regions(given, [of_image.queries for of_image in learned])
    detections = replace(_finite(detections), image_size=(height, width))
    masks = [
        F.pad(truth.masks, (0, width - truth.masks.shape[2], 0, height - truth.masks.shape[1])) for truth in objects
    ]
    targets = Targets(
        masks=torch.cat(masks),
        image=_image_index([len(truth.masks) for truth in objects], detections.boxes.device),
        index=torch.cat(index),
        boxes=detections.boxes,
        image_sizes=detections.boxes.new_tensor(batch.input_sizes)[detections.image],
    )
    return detections, targets
