"""The dice loss: a formula on numbers that can be added by hand, and without regions."""

import pytest
import torch

from heads import dice_loss


def test_by_hand() -> None:
    # Two regions of 2 x 2 cells: probabilities of 1/2 everywhere, and a mask that is right.
    logits = torch.stack([torch.zeros(2, 2), torch.tensor([[50.0, 50.0], [-50.0, -50.0]])])
    target = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).expand(2, 2, 2)
    assert dice_loss(logits, target).item() == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))
    assert dice_loss(logits, target, weight=5.0).item() == pytest.approx(5 * 0.4)
    # Squares: 4 * 1/4 below instead of 4 * 1/2.
    assert dice_loss(logits, target, squared=True, smooth=0.0).item() == pytest.approx(1 - 2 * 1 / (1 + 2))


def test_an_empty_object_wants_an_empty_mask() -> None:
    target = torch.zeros(1, 4, 4)
    assert dice_loss(torch.full((1, 4, 4), -50.0), target) < 1e-6
    assert dice_loss(torch.full((1, 4, 4), 50.0), target).item() == pytest.approx(16 / 17)


@pytest.mark.parametrize("squared", [False, True])
def test_without_regions_it_is_zero_and_attached(squared: bool) -> None:
    logits = torch.zeros(0, 4, 4, requires_grad=True)
    loss = dice_loss(logits, torch.zeros(0, 4, 4), squared=squared)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
