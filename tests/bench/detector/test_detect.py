"""The inference rule on hand-made outputs: top pairs, class-wise suppression, distinct queries, nothing at all."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import nms

from bench.detector.detect import class_wise_nms, detect
from bench.detector.output import FQDetOutput

FAR = -20.0  # a logit of no consequence


def output(class_logits: Tensor, boxes: Tensor) -> FQDetOutput:
    """Make an output of which only classes and boxes matter; `queries` numbers the queries."""
    batch, queries, _ = class_logits.shape
    return FQDetOutput(
        selection_logits=torch.zeros(batch, 99),
        anchor_index=torch.arange(queries).expand(batch, -1),
        anchor_boxes=boxes,
        queries=torch.arange(batch * queries, dtype=torch.float32).view(batch, queries, 1),
        class_logits=class_logits,
        deltas=torch.zeros_like(boxes),
        boxes=boxes,
    )


def apart(batch: int, queries: int) -> Tensor:
    """Boxes that do not overlap."""
    left = torch.arange(queries, dtype=torch.float32) * 20 - 50
    corner = torch.stack((left, left), dim=-1)
    return torch.cat((corner, corner + 10), dim=-1).expand(batch, -1, -1).clone()


def test_regions_are_distinct_queries_and_predictions_are_sorted() -> None:
    logits = torch.full((2, 4, 4), FAR)
    logits[0, 2, 0], logits[0, 2, 1], logits[0, 1, 2] = 1.0, 3.0, 2.0
    logits[1, 3, 0] = 0.5
    logits[1, :, 3] = 9.0  # no object: never a prediction
    detections = detect(output(logits, apart(2, 4)), num_candidates=3, num_predictions=2)
    assert detections.region_counts == (2, 2)
    assert detections.prediction_counts == (2, 2)
    assert detections.image.tolist() == [0, 0, 1, 1]
    assert detections.queries.flatten()[detections.region].tolist()[:3] == [2, 1, 7]
    assert detections.labels.tolist()[:3] == [1, 2, 0]
    torch.testing.assert_close(detections.scores[:3], torch.tensor([3.0, 2.0, 0.5]).sigmoid())
    torch.testing.assert_close(detections.boxes[detections.region[0]], apart(1, 4)[0, 2])


def test_one_region_with_two_predictions() -> None:
    logits = torch.full((1, 3, 4), FAR)
    logits[0, 1, :2] = torch.tensor([2.0, 1.0])
    detections = detect(output(logits, apart(1, 3)), num_predictions=2)
    assert detections.region_counts == (1,)
    assert detections.prediction_counts == (2,)
    assert detections.region.tolist() == [0, 0]
    assert detections.queries.tolist() == [[1.0]]


def test_suppression_is_within_a_class() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [0.0, 0.0, 10.0, 10.5], [0.0, 0.0, 10.0, 5.0]])
    logits = torch.full((1, 4, 3), FAR)
    logits[0, 0, 0], logits[0, 1, 0], logits[0, 2, 1], logits[0, 3, 0] = 3.0, 2.0, 1.0, 0.0
    detections = detect(output(logits, boxes[None]), num_candidates=4)
    # Query 1 falls to query 0; query 2 has another class; query 3 overlaps query 0 by exactly 0.5.
    assert detections.queries.flatten()[detections.region].tolist() == [0.0, 2.0, 3.0]
    assert detections.labels.tolist() == [0, 1, 0]


def test_number_of_predictions_and_candidates() -> None:
    logits = torch.randn(1, 300, 81, generator=torch.Generator().manual_seed(0))
    detections = detect(output(logits, apart(1, 300)))
    assert detections.prediction_counts == (100,)
    best = logits[0, :, :80].flatten().sort(descending=True).values[:100].sigmoid()
    torch.testing.assert_close(detections.scores, best)
    same_box = apart(1, 300)[:, :1].expand(-1, 300, -1)
    assert len(detect(output(logits, same_box)).labels) == 80
    few = detect(output(logits, same_box), num_candidates=30)
    top = logits[0, :, :80].flatten().topk(30).indices % 80
    assert set(few.labels.tolist()) == set(top.tolist())


def test_nothing_to_detect() -> None:
    detections = detect(output(torch.empty(2, 0, 4), torch.empty(2, 0, 4)))
    assert detections.region_counts == detections.prediction_counts == (0, 0)
    assert detections.boxes.shape == (0, 4)
    assert detections.queries.shape == (0, 1)
    assert detections.per_prediction().region_counts == (0, 0)


def test_classes_stay_apart_where_boxes_have_negative_coordinates() -> None:
    """Moving classes apart by the largest coordinate alone would put these two boxes on top of each other."""
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [-11.0, -11.0, -1.0, -1.0]])
    kept = class_wise_nms(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), 0.5)
    assert kept.tolist() == [0, 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_class_wise_suppression_equals_one_class_at_a_time(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(60, 2, generator=generator) * 100 - 200
    boxes = torch.cat((corner, corner + 1 + torch.rand(60, 2, generator=generator) * 80), dim=1)
    scores = torch.rand(60, generator=generator)
    labels = torch.randint(80, 84, (60,), generator=generator)
    kept = class_wise_nms(boxes, scores, labels, 0.5)
    one_by_one = [
        own[nms(boxes[own], scores[own], 0.5)] for own in ((labels == k).nonzero()[:, 0] for k in range(80, 84))
    ]
    assert sorted(kept.tolist()) == sorted(torch.cat(one_by_one).tolist())
    assert (scores[kept].diff() <= 0).all()
