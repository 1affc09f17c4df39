"""Losses of FQDetV2 against the formulas in loops, and boxes that do not overlap, are equal or have no area."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from bench.detector.anchors import best_anchors, pyramid_anchors
from bench.detector.fqdetv2 import PRESETS, FQDetV2
from bench.detector.losses import match
from bench.detector.output import FQDetOutput
from bench.detector.quality_losses import extended_distance, quality_focal_loss, quality_losses

NO_BOXES, NO_LABELS = torch.empty(0, 4), torch.empty(0, dtype=torch.long)
ANCHORS = pyramid_anchors({3: (9, 8), 4: (5, 4)}, torch.device("cpu"))


def some_boxes(generator: torch.Generator, count: int, reach: float = 50) -> Tensor:
    corner = torch.rand(count, 2, generator=generator) * reach
    return torch.cat((corner, corner + 3 + torch.rand(count, 2, generator=generator) * 40), dim=1)


def output(batch: int = 1, num_queries: int = 200, num_classes: int = 4, seed: int = 0) -> FQDetOutput:
    """An output with random anchors, logits and boxes; the boxes lie around their anchors."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.stack([torch.randperm(len(ANCHORS), generator=generator)[:num_queries] for _ in range(batch)])
    shift = torch.randn(batch, num_queries, 1, 2, generator=generator) * 20
    boxes = (ANCHORS[index].view(batch, num_queries, 2, 2) + shift).flatten(2)
    logits = torch.randn(batch, num_queries, num_classes + 1, generator=generator, dtype=torch.float64) * 3
    return FQDetOutput(
        selection_logits=torch.randn(batch, len(ANCHORS), generator=generator, dtype=torch.float64).requires_grad_(),
        anchor_index=index,
        anchor_boxes=ANCHORS[index],
        queries=torch.zeros(batch, num_queries, 8),
        class_logits=logits.requires_grad_(),
        deltas=torch.zeros_like(boxes),
        boxes=boxes.double().requires_grad_(),
    )


def overlap(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return width * height / (area(a) + area(b) - width * height)


def area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def box_cost(a: list[float], b: list[float]) -> float:
    """Smooth extended IoU of one pair, number by number."""
    first, second, low, high = [], [], [], []
    for axis in (0, 1):
        origin = min(a[axis], b[axis])
        first.append(max(a[axis], b[axis]) - origin)
        second.append(min(a[axis + 2], b[axis + 2]) - origin)
        low.append(min(first[axis], second[axis]))
        high.append(max(first[axis], second[axis]))
    shared = second[0] * second[1] + low[0] * low[1] - first[0] * high[1] - high[0] * first[1]
    distance = 1 - shared / (area(a) + area(b) - shared + 1e-6)
    return distance**2 / 0.2 if distance < 0.1 else distance - 0.05


def class_cost(logit: float, wanted: float) -> float:
    """Quality focal loss of one logit."""
    probability = 1 / (1 + math.exp(-logit))
    entropy = -wanted * math.log(probability) - (1 - wanted) * math.log(1 - probability)
    return entropy * abs(wanted - probability) ** 2


def focal(logit: float, positive: bool) -> float:
    probability = 1 / (1 + math.exp(-logit))
    right, weight = (probability, 0.25) if positive else (1 - probability, 0.75)
    return -weight * (1 - right) ** 2 * math.log(right)


def test_losses_equal_loops() -> None:
    generator = torch.Generator().manual_seed(1)
    boxes = [some_boxes(generator, 5), NO_BOXES, some_boxes(generator, 3)]
    labels = [torch.tensor([0, 3, 1, 1, 2]), NO_LABELS, torch.tensor([2, 2, 0])]
    made = output(batch=3)
    # Some predictions are almost right, where the loss is a square.
    close = match(boxes[0], ANCHORS, made.anchor_index[0])[1]
    with torch.no_grad():
        made.boxes[0, close.query[:4]] = boxes[0][close.object[:4]].double() + 0.3
    losses, matches = quality_losses(made, boxes, labels, ANCHORS)
    selection, classes, box = 0.0, 0.0, 0.0
    overlaps = []
    for image in range(3):
        positive, expected = match(boxes[image], ANCHORS, made.anchor_index[image])
        assert matches[image].query.tolist() == expected.query.tolist()
        assert matches[image].object.tolist() == expected.object.tolist()
        for logit, is_positive in zip(made.selection_logits[image].tolist(), positive.tolist(), strict=True):
            selection += focal(logit, is_positive)
        object_of = dict(zip(expected.query.tolist(), expected.object.tolist(), strict=True))
        for query in range(made.boxes.shape[1]):
            wanted = [0.0, 0, 0, 0, 1]
            if query in object_of:
                predicted, true = made.boxes[image, query].tolist(), boxes[image][object_of[query]].tolist()
                box += 1.85 * box_cost(predicted, true)
                wanted = [0.0] * 5
                wanted[int(labels[image][object_of[query]])] = overlap(predicted, true)
                overlaps.append(overlap(predicted, true))
            logits = made.class_logits[image, query].tolist()
            classes += sum(0.5 * class_cost(logit, t) for logit, t in zip(logits, wanted, strict=True))
    assert min(sum(of > 0.9 for of in overlaps), sum(0 < of < 0.9 for of in overlaps), overlaps.count(0)) > 2
    assert losses["selection"].item() == pytest.approx(selection, rel=1e-6)
    assert losses["class"].item() == pytest.approx(classes, rel=1e-6)
    assert losses["box"].item() == pytest.approx(box, rel=1e-6)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0.0, 0, 10, 10], 0),  # equal
        ([0.0, 0, 10, 5], 0.5),
        ([0.0, 0, 10, 9.5], 0.05),
        ([10.0, 0, 20, 10], 1),  # touching: nothing shared
        ([20.0, 0, 30, 10], 1 + 100 / 300),  # a gap as wide as a box: -100 shared
        ([20.0, 20, 30, 30], 1 + 600 / 800),  # apart both ways: -600
        ([2.0, 2, 4, 4], 1 - 4 / 100),  # inside
    ],
)
def test_distance_of_known_pairs(box: list[float], expected: float) -> None:
    first, second = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([box])
    for a, b in ((first, second), (second, first), (first - 40, second - 40)):
        assert extended_distance(a, b).item() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_distance_is_one_minus_the_overlap_where_there_is_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = (some_boxes(generator, 60, reach=90).double() for _ in range(2))
    distance, overlaps = extended_distance(first, second), box_iou(first, second).diagonal()
    torch.testing.assert_close((1 - distance).clamp(min=0), overlaps, rtol=0, atol=1e-6)
    assert (distance[overlaps == 0] >= 1).all()


def test_boxes_that_do_not_overlap_come_closer() -> None:
    """Every step downhill makes the gap smaller, in both directions."""
    true = torch.tensor([[60.0, 70, 90, 100]])
    box = torch.tensor([[0.0, 0, 20, 20]], requires_grad=True)
    gradient = torch.autograd.grad(extended_distance(box, true).sum(), box)[0]
    assert (gradient[0, 2:] < 0).all()
    gaps = []
    for _ in range(4):
        gaps.append((true[0, :2] - box[0, 2:]).tolist())
        step = torch.autograd.grad(extended_distance(box, true).sum(), box)[0]
        box = (box - 200 * step).detach().requires_grad_()
    for axis in (0, 1):
        of_axis = [gap[axis] for gap in gaps]
        assert of_axis == sorted(of_axis, reverse=True)
        assert of_axis[0] > of_axis[-1]


def one_match(box: Tensor) -> tuple[FQDetOutput, list[Tensor], list[Tensor]]:
    """One query, on an anchor whose box is that of the only object, which predicts `box`."""
    index = torch.tensor([[300]])
    made = FQDetOutput(
        selection_logits=torch.zeros(1, len(ANCHORS)),
        anchor_index=index,
        anchor_boxes=ANCHORS[index],
        queries=torch.zeros(1, 1, 8),
        class_logits=torch.zeros(1, 1, 5, requires_grad=True),
        deltas=torch.zeros(1, 1, 4),
        boxes=box[None, None].clone().requires_grad_(),
    )
    return made, [ANCHORS[300:301]], [torch.tensor([2])]


def test_equal_boxes_cost_nothing_and_want_certainty() -> None:
    made, boxes, labels = one_match(ANCHORS[300])
    losses, _ = quality_losses(made, boxes, labels, ANCHORS)
    assert losses["box"].item() == 0
    assert not torch.autograd.grad(losses["box"], made.boxes, retain_graph=True)[0].any()
    # Five logits of probability 1/2: each is half off, whether it should be 0 or 1.
    assert losses["class"].item() == pytest.approx(0.5 * 5 * 0.25 * math.log(2), rel=1e-5)
    pulled_up = torch.autograd.grad(losses["class"], made.class_logits)[0] < 0
    assert pulled_up.tolist() == [[[False, False, True, False, False]]]


@pytest.mark.parametrize("sides", [(0.0, 0.0), (0.0, 7.0), (7.0, 0.0), (1e-30, 1e-30)])
@pytest.mark.parametrize("inside", [True, False])
def test_predicted_boxes_without_area(sides: tuple[float, float], inside: bool) -> None:
    left, top, right, bottom = ANCHORS[300].tolist()
    x, y = ((left + right) / 2, (top + bottom) / 2) if inside else (left - 90, top - 90)
    made, boxes, labels = one_match(torch.tensor([x, y, x + sides[0], y + sides[1]]))
    losses, matches = quality_losses(made, boxes, labels, ANCHORS)
    assert len(matches[0].query) == 1
    assert losses["box"].item() >= 1.85 * 0.949
    gradients = torch.autograd.grad(losses["box"] + losses["class"], (made.boxes, made.class_logits))
    assert all(gradient.isfinite().all() for gradient in gradients)
    # No overlap: nothing should be likely, its own class neither.
    assert (gradients[1] > 0).all()


def test_classes_do_not_move_boxes_and_only_matched_boxes_move() -> None:
    generator = torch.Generator().manual_seed(2)
    made = output(batch=2, seed=3)
    boxes, labels = [some_boxes(generator, 4), NO_BOXES], [torch.tensor([0, 1, 2, 3]), NO_LABELS]
    losses, matches = quality_losses(made, boxes, labels, ANCHORS)
    leaves = (made.selection_logits, made.class_logits, made.boxes)
    found = {
        name: torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True) for name, loss in losses.items()
    }
    reached = {name: [gradient is not None for gradient in gradients] for name, gradients in found.items()}
    assert reached == {"selection": [True, False, False], "class": [False, True, False], "box": [False, False, True]}
    assert found["class"][1].all()
    moved = found["box"][2].any(dim=-1)
    assert moved[0].nonzero()[:, 0].tolist() == matches[0].query.tolist()
    assert not moved[1].any()


def test_without_matches_the_box_loss_is_zero_on_the_graph() -> None:
    made = output()
    losses, _ = quality_losses(made, [NO_BOXES], [NO_LABELS], ANCHORS)
    assert losses["box"].item() == 0
    assert not torch.autograd.grad(losses["box"], made.boxes, retain_graph=True)[0].any()
    pulled_up = (torch.autograd.grad(losses["class"], made.class_logits)[0] < 0).nonzero()
    assert pulled_up[:, 2].eq(4).all()
    assert len(pulled_up) == 200


def test_losses_are_sums_over_images() -> None:
    generator = torch.Generator().manual_seed(4)
    boxes, labels = (
        [some_boxes(generator, 3), NO_BOXES, some_boxes(generator, 2)],
        [
            torch.tensor([2, 0, 1]),
            NO_LABELS,
            torch.tensor([1, 1]),
        ],
    )
    made = output(batch=3, seed=5)
    together, _ = quality_losses(made, boxes, labels, ANCHORS)
    alone = []
    for image in range(3):
        fields = {name: value[image : image + 1] for name, value in vars(made).items()}
        alone.append(
            quality_losses(FQDetOutput(**fields), boxes[image : image + 1], labels[image : image + 1], ANCHORS)[0]
        )
    for name, value in together.items():
        torch.testing.assert_close(value, sum(losses[name] for losses in alone))


def test_a_probability_that_is_right_costs_nothing() -> None:
    quality = torch.tensor([0.0, 0.3, 0.8, 1.0], dtype=torch.float64)
    logits = quality.logit(eps=1e-12).requires_grad_()
    cost = quality_focal_loss(logits, quality)
    assert cost.item() == pytest.approx(0, abs=1e-12)
    assert torch.autograd.grad(cost, logits)[0].abs().max() < 1e-10
    assert quality_focal_loss(logits + 1, quality).item() > 0.01


def test_training_step_of_the_small_preset() -> None:
    """With the best anchors of an object among the queries, its losses reach every parameter and fall."""
    torch.manual_seed(0)
    detector = FQDetV2(dataclasses.replace(PRESETS["small"], num_queries=40), 4)
    pyramid = {k: torch.randn(2, 64, 128 // 2**k, 128 // 2**k) for k in range(3, 8)}
    boxes = [torch.tensor([[20.0, 10, 90, 60], [80.0, 70, 110, 120]]), NO_BOXES]
    labels = [torch.tensor([1, 3]), NO_LABELS]
    own = best_anchors(boxes[0], detector.anchors(pyramid), 5).flatten()
    # And one anchor of every type, for the nine transitions.
    types = torch.arange(9 * 100, 9 * 101)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-3)
    totals = []
    for _ in range(4):
        include = [torch.cat((own, types)), types]
        losses, learned = detector.learn(pyramid, (128, 128), boxes, labels, include=include)
        assert {0, 1} <= set(learned[0].object.tolist())
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        # After one step: at the start, sampling offsets and attention weights are constants.
        if len(totals) == 1:
            for name, parameter in detector.named_parameters():
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
                assert parameter.grad.any(), name
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.7 * totals[0]
