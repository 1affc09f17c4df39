"""torchvision's detector on a small pyramid: given boxes and detected ones, what heads learn on, what it refuses."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from bench.detector.contract import Detector
from bench.detector.torchvision import Config, TorchvisionDetector, build

SIZE = (120, 150)
CLASSES = 5
TINY = Config(channels=16, representation=24, num_proposals=40, num_detections=20, num_unused=2)


def pyramid(batch: int = 2) -> dict[int, Tensor]:
    """Random P2..P6 of images that are padded to 128 x 160."""
    generator = torch.Generator().manual_seed(3)
    maps = {k: torch.randn(batch, 16, 128 // 2**k, 160 // 2**k, generator=generator) for k in range(2, 6)}
    return maps | {6: maps[5][:, :, ::2, ::2]}


@pytest.fixture(scope="module", params=[TINY, replace(TINY, proposal_convs=2, box_convs=1)])
def detector(request: pytest.FixtureRequest) -> TorchvisionDetector:
    torch.manual_seed(0)
    model = build(request.param, 16, CLASSES)
    with torch.no_grad():  # classes and boxes of a new one hardly depend on the region
        model.roi_heads.box_predictor.cls_score.weight *= 8
    return model.eval()


def test_it_finds_boxes_in_the_image_best_first(detector: TorchvisionDetector) -> None:
    assert isinstance(detector, Detector)
    found = detector.detections(detector(pyramid(), SIZE))
    assert found.region_counts == found.prediction_counts
    assert sum(found.region_counts) == len(found.boxes) > 10
    assert found.image.tolist() == [0] * found.region_counts[0] + [1] * found.region_counts[1]
    assert found.queries.shape == (len(found.boxes), 24)
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, 2:] <= torch.tensor([150, 120])).all()
    assert found.labels.min() >= 0
    assert len(found.labels.unique()) > 1
    assert found.labels.max() < CLASSES
    for scores in found.scores.split(found.prediction_counts):
        assert (scores.diff() <= 0).all()
        assert (scores > 0.05).all()


def test_an_image_does_not_depend_on_its_batch(detector: TorchvisionDetector) -> None:
    both, maps = detector(pyramid(), SIZE), pyramid()
    alone = [detector({k: level[image : image + 1] for k, level in maps.items()}, SIZE) for image in (0, 1)]
    for name in ("boxes", "queries", "labels", "scores", "counts"):
        parts = torch.cat([getattr(each, name) for each in alone])
        torch.testing.assert_close(getattr(both, name), parts, rtol=1e-4, atol=1e-4)


def test_a_found_box_has_the_query_of_a_given_one(detector: TorchvisionDetector) -> None:
    found = detector.detections(detector(pyramid(), SIZE))
    given = list(found.boxes.split(found.region_counts))
    queries = detector.queries_at(pyramid(), SIZE, given)
    torch.testing.assert_close(torch.cat(queries), found.queries)
    first, none = detector.queries_at(pyramid(), SIZE, [given[0][:1], given[1][:0]])
    torch.testing.assert_close(first, queries[0][:1])
    assert none.shape == (0, 24)


def test_every_class_that_is_no_category_counts_as_background(detector: TorchvisionDetector) -> None:
    queries = torch.randn(7, 24, generator=torch.Generator().manual_seed(4)).abs()
    logits = detector.roi_heads.box_predictor.cls_score(queries)
    assert logits.shape == (7, CLASSES + 1 + 2)
    torch.testing.assert_close(detector.class_scores(queries), logits.softmax(1)[:, :CLASSES])
    found = detector(pyramid(), SIZE)
    with torch.no_grad():
        bias = detector.roi_heads.box_predictor.cls_score.bias
        bias[-1] += 20
        hidden = detector(pyramid(), SIZE)
        bias[-1] -= 20
    assert len(found.boxes) > 0
    assert len(hidden.boxes) == 0
    assert detector.detections(hidden).region_counts == (0, 0)


def objects() -> tuple[list[Tensor], list[Tensor]]:
    boxes = [torch.tensor([[10.0, 10, 90, 100], [60, 20, 140, 110], [0, 0, 30, 30]]), torch.zeros(0, 4)]
    return boxes, [torch.tensor([1, 0, 4]), torch.zeros(0, dtype=torch.long)]


def test_heads_learn_on_proposals_that_show_an_object(detector: TorchvisionDetector) -> None:
    boxes, labels = objects()
    proposals = detector._proposals(pyramid(), SIZE)
    boxes[0] = torch.cat([boxes[0], proposals[0][4:6] + 1])  # so that there is one that shows an object
    losses, (first, empty) = detector.learn(pyramid(), SIZE, boxes, labels)
    assert losses == {}
    assert first.boxes[:5].equal(boxes[0])
    assert first.object[:5].tolist() == [0, 1, 2, 3, 4]
    overlaps = box_iou(boxes[0], proposals[0])
    shown = proposals[0][(overlaps >= 0.5).any(0)]
    assert len(shown) >= 2
    assert first.boxes[5:].equal(shown)
    assert first.object[5:].equal(overlaps.argmax(0)[(overlaps >= 0.5).any(0)])
    torch.testing.assert_close(first.queries, detector.queries_at(pyramid(), SIZE, [first.boxes, empty.boxes])[0])
    assert not first.queries.requires_grad
    assert empty.boxes.shape == (0, 4)
    assert empty.queries.shape == (0, 24)


def test_an_image_gives_128_regions_at_most(detector: TorchvisionDetector) -> None:
    many = torch.tensor([[10.0, 10, 90, 100]]).repeat(200, 1)
    _, (first, _) = detector.learn(pyramid(), SIZE, [many, many[:0]], [torch.zeros(200).long(), torch.zeros(0).long()])
    assert first.boxes.equal(many[:128])


def test_true_boxes_are_those_of_the_objects(detector: TorchvisionDetector) -> None:
    boxes, labels = objects()
    _, learned = detector.learn(pyramid(), SIZE, boxes, labels, true_boxes=True)
    for of_image, expected in zip(learned, boxes, strict=True):
        assert of_image.boxes.equal(expected)
        assert of_image.object.tolist() == list(range(len(expected)))


def test_it_stays_as_it_is_in_training(detector: TorchvisionDetector) -> None:
    before = detector(pyramid(), SIZE)
    assert detector.train() is detector
    assert detector(pyramid(), SIZE).boxes.equal(before.boxes)


def test_it_computes_in_32_bits_whatever_surrounds_it(detector: TorchvisionDetector) -> None:
    short = {level: features.bfloat16() for level, features in pyramid().items()}
    expected = detector({level: features.float() for level, features in short.items()}, SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        found = detector(short, SIZE)
    assert found.boxes.dtype == found.queries.dtype == torch.float32
    assert found.boxes.equal(expected.boxes)
    with pytest.raises(ValueError, match=r"torch.bfloat16; expected 32 bits at least.*; use float32"):
        build(TINY, 16, CLASSES).bfloat16()(short, SIZE)


def test_without_images_it_has_no_cost(detector: TorchvisionDetector) -> None:
    with pytest.raises(ValueError, match=r"cost without images; .*; measure with images"):
        detector({level: features.to("meta") for level, features in pyramid().items()}, SIZE)
