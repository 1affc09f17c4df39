"""Matching and losses of the detector: hand-made examples, and images or objects with nothing to match."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from bench.detector.anchors import best_anchors, pyramid_anchors
from bench.detector.boxes import decode, encode
from bench.detector.fqdet import PRESETS, FQDet
from bench.detector.losses import detector_losses, match
from bench.detector.output import FQDetOutput

NO_BOXES, NO_LABELS = torch.empty(0, 4), torch.empty(0, dtype=torch.long)


def row_of_anchors(count: int) -> Tensor:
    """Squares of side 100, each 2 pixels right of the one before: the distance decides the overlap."""
    left = torch.arange(count, dtype=torch.float32) * 2
    return torch.stack((left, torch.zeros(count), left + 100, torch.full((count,), 100.0)), dim=1)


def output(anchors: Tensor, index: Tensor, num_classes: int = 3, batch: int = 1) -> FQDetOutput:
    """Make an output with all logits and deltas zero, so that every loss is known."""
    index = index.expand(batch, -1)
    boxes = anchors[index]
    return FQDetOutput(
        selection_logits=torch.zeros(batch, len(anchors), requires_grad=True),
        anchor_index=index,
        anchor_boxes=boxes,
        queries=torch.zeros(batch, index.shape[1], 8),
        class_logits=torch.zeros(batch, index.shape[1], num_classes + 1, requires_grad=True),
        deltas=torch.zeros_like(boxes, requires_grad=True),
        boxes=boxes,
    )


def test_five_anchors_are_selected_and_fifteen_matched() -> None:
    anchors = row_of_anchors(40)
    # A little left of anchor 20, so that no two anchors overlap it equally: 20, 19, 21, 18, ...
    box = anchors[20:21] - torch.tensor([0.5, 0, 0.5, 0])
    positive, matches = match(box, anchors, torch.arange(40))
    assert positive.nonzero().flatten().tolist() == [18, 19, 20, 21, 22]
    assert matches.query.tolist() == list(range(13, 28))
    assert not matches.object.any()
    some = torch.tensor([39, 27, 0, 20])
    assert match(box, anchors, some)[1].query.tolist() == [1, 3]


def test_the_best_rank_wins_and_then_the_first_object() -> None:
    anchors = row_of_anchors(40)
    shift = torch.tensor([0.5, 0, 0.5, 0])
    boxes = torch.stack((anchors[24] - shift, anchors[20] - shift, anchors[20] - shift))
    _, matches = match(boxes, anchors, torch.tensor([20, 24, 21, 23, 22, 13]))
    # Anchor 22 is fifth best of 20 (20, 19, 21, 18, 22) and fourth best of 24 (24, 23, 25, 22).
    assert matches.object.tolist() == [1, 0, 1, 0, 0, 1]
    positive, _ = match(boxes, anchors, torch.tensor([0]))
    assert positive.nonzero().flatten().tolist() == [18, 19, 20, 21, 22, 23, 24, 25, 26]


def test_matching_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    anchors = pyramid_anchors({3: (9, 8), 4: (5, 4)}, torch.device("cpu"))
    corner = torch.rand(12, 2, generator=generator) * 50
    boxes = torch.cat((corner, corner + 3 + torch.rand(12, 2, generator=generator) * 40), dim=1)
    index = torch.randperm(len(anchors), generator=generator)[:200]
    positive, matches = match(boxes, anchors, index)
    found = dict(zip(matches.query.tolist(), matches.object.tolist(), strict=True))
    best = best_anchors(boxes, anchors, 15).tolist()
    for query, anchor in enumerate(index.tolist()):
        ranks = [(row.index(anchor), g) for g, row in enumerate(best) if anchor in row]
        assert found.get(query) == (min(ranks)[1] if ranks else None)
    assert set(positive.nonzero().flatten().tolist()) == {anchor for row in best for anchor in row[:5]}
    assert found


@pytest.mark.parametrize("boxes", [NO_BOXES, torch.tensor([[10.0, 10, 10, 90]]), torch.tensor([[9.0, 9, 8, 20]])])
def test_nothing_to_match(boxes: Tensor) -> None:
    positive, matches = match(boxes, row_of_anchors(20), torch.arange(20))
    assert not positive.any()
    assert len(matches.query) == len(matches.object) == 0


def test_objects_without_area_are_skipped_but_counted() -> None:
    anchors = row_of_anchors(40)
    boxes = torch.stack((torch.zeros(4), anchors[30]))
    _, matches = match(boxes, anchors, torch.arange(40))
    assert set(matches.object.tolist()) == {1}


def test_fewer_anchors_than_ranks() -> None:
    positive, matches = match(row_of_anchors(1), row_of_anchors(3), torch.arange(3))
    assert positive.all()
    assert matches.query.tolist() == [0, 1, 2]


def test_losses_of_a_known_output() -> None:
    """A logit of 0 costs 0.25 * 0.25 * ln 2 as a positive and 0.75 * 0.25 * ln 2 as a negative."""
    anchors = row_of_anchors(40)
    box = anchors[20:21] - torch.tensor([0.5, 0, 0.5, 0])
    losses, matches = detector_losses(output(anchors, torch.tensor([20, 0])), [box], [torch.tensor([2])], anchors)
    hit, miss = 0.0625 * math.log(2), 0.1875 * math.log(2)
    assert losses["selection"].item() == pytest.approx(5 * hit + 35 * miss, rel=1e-5)
    # One matched query and one that should say "no object"; four logits each.
    assert losses["class"].item() == pytest.approx(2 * (hit + 3 * miss), rel=1e-5)
    assert losses["box"].item() == pytest.approx(0.5 / 100, rel=1e-4)
    assert matches[0].query.tolist() == matches[0].object.tolist() == [0]


def test_class_targets() -> None:
    """The gradient of a focal loss is negative at its positives only."""
    anchors = row_of_anchors(40)
    made = output(anchors, torch.tensor([20, 0]))
    losses, _ = detector_losses(made, [anchors[20:21]], [torch.tensor([2])], anchors)
    gradient = torch.autograd.grad(losses["class"], made.class_logits)[0]
    assert (gradient < 0).nonzero().tolist() == [[0, 0, 2], [0, 1, 3]]


def test_losses_are_sums_over_images() -> None:
    anchors = row_of_anchors(40)
    boxes = [anchors[20:22], NO_BOXES, anchors[3:4] + 1]
    labels = [torch.tensor([2, 0]), NO_LABELS, torch.tensor([1])]
    index = torch.tensor([20, 3, 0, 39])
    together, matches = detector_losses(output(anchors, index, batch=3), boxes, labels, anchors)
    alone = [detector_losses(output(anchors, index), [b], [k], anchors) for b, k in zip(boxes, labels, strict=True)]
    for name, value in together.items():
        torch.testing.assert_close(value, sum(losses[name] for losses, _ in alone))
    for image, (_, single) in enumerate(alone):
        assert matches[image].query.tolist() == single[0].query.tolist()
        assert matches[image].object.tolist() == single[0].object.tolist()


def test_without_matches_the_box_loss_is_zero_on_the_graph() -> None:
    anchors = row_of_anchors(40)
    made = output(anchors, torch.tensor([20, 0]))
    losses, _ = detector_losses(made, [NO_BOXES], [NO_LABELS], anchors)
    assert losses["box"].item() == 0
    gradient = torch.autograd.grad(losses["box"], made.deltas)[0]
    assert not gradient.any()
    assert losses["selection"].item() == pytest.approx(40 * 0.1875 * math.log(2), rel=1e-5)


def test_perfect_deltas_cost_nothing() -> None:
    anchors = row_of_anchors(40)
    box = torch.tensor([[33.0, -20, 150, 91]])
    index = best_anchors(box, anchors, 4)[0]
    deltas = encode(box.expand(4, -1), anchors[index])[None]
    made = dataclasses.replace(output(anchors, index), deltas=deltas, boxes=decode(deltas, anchors[index][None]))
    losses, _ = detector_losses(made, [box], [torch.tensor([0])], anchors)
    assert losses["box"].item() == 0
    torch.testing.assert_close(made.boxes[0], box.expand(4, -1), rtol=0, atol=1e-4)


def test_training_step_of_the_small_preset() -> None:
    """With the best anchors of an object among the queries, its losses reach every parameter and fall."""
    torch.manual_seed(0)
    detector = FQDet(dataclasses.replace(PRESETS["small"], num_queries=40), 4)
    pyramid = {k: torch.randn(2, 64, 128 // 2**k, 128 // 2**k) for k in range(3, 8)}
    boxes = [torch.tensor([[20.0, 10, 90, 60], [80.0, 70, 110, 120]]), NO_BOXES]
    labels = [torch.tensor([1, 3]), NO_LABELS]
    anchors = detector.anchors(pyramid)
    own = best_anchors(boxes[0], anchors, 5).flatten()
    # And one anchor of every type, for the nine transitions.
    types = torch.arange(9 * 100, 9 * 101)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-3)
    totals = []
    for _ in range(4):
        result = detector(pyramid, (128, 128), include=[torch.cat((own, types)), types])
        losses, matches = detector_losses(result, boxes, labels, anchors)
        assert {0, 1} <= set(matches[0].object.tolist())
        assert not len(matches[1].query)
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
