"""The inference rule of the detector: from scored queries to, usually, at most 100 detections an image (Sec. 4.1)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import nms

from bench.detector.output import FQDetOutput
from heads import Detections


def detect(
    output: FQDetOutput, *, num_candidates: int = 1000, max_overlap: float = 0.5, num_predictions: int = 100
) -> Detections:
    """Keep the best (query, class) pairs of every image after class-wise non-maximum suppression.

    There is no score threshold. Regions are the distinct queries among the kept pairs, in the order of the queries;
    predictions are sorted by descending score within an image. Waits for the device: the counts are on the host.
    """
    regions: list[Tensor] = []
    images, queries, region_of, labels, scores = [], [], [], [], []
    for image, logits in enumerate(output.class_logits):
        probabilities = logits[:, :-1].sigmoid()
        num_pairs = min(num_candidates, probabilities.numel())
        score, pair = probabilities.flatten().topk(num_pairs)
        num_classes = probabilities.shape[1]
        query, label = torch.div(pair, num_classes, rounding_mode="floor"), pair % num_classes
        kept = class_wise_nms(output.boxes[image, query], score, label, max_overlap)[:num_predictions]
        distinct, place = query[kept].unique(return_inverse=True)
        region_of.append(place + sum(len(boxes) for boxes in regions))
        regions.append(output.boxes[image, distinct])
        images.append(torch.full_like(distinct, image))
        queries.append(output.queries[image, distinct])
        labels.append(label[kept])
        scores.append(score[kept])
    return Detections(
        boxes=torch.cat(regions),
        image=torch.cat(images),
        queries=torch.cat(queries),
        region=torch.cat(region_of),
        labels=torch.cat(labels),
        scores=torch.cat(scores),
        region_counts=tuple(len(boxes) for boxes in regions),
        prediction_counts=tuple(len(kept) for kept in labels),
    )


def class_wise_nms(
    boxes: Float[Tensor, "N 4"], scores: Float[Tensor, "N"], labels: Int[Tensor, "N"], max_overlap: float
) -> Int[Tensor, "D"]:
    """Indices of the boxes that overlap no better one of their class by more than `max_overlap` (IoU), best first.

    Classes are kept apart by moving each into a window of its own. torchvision's batched_nms does the same but assumes
    no negative coordinates, which unclipped boxes have; double precision keeps the overlaps exact in far windows.
    """
    if not len(boxes):
        return torch.empty_like(labels)
    window = boxes.max() - boxes.min() + 1
    return nms((boxes - boxes.min()).double() + (labels * window.double())[:, None], scores.double(), max_overlap)
