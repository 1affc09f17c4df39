"""BMask R-CNN++: its sizes, who reads whom, what a boundary is, its losses."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from heads import Stage, align_regions, bmask
from tests.heads.scenes import CHANNELS, NUM_CLASSES, QUERY_SIZE, detections, left_half, num_parameters, pyramid


def small_head() -> bmask.BMask:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = bmask.build(bmask.Config(features=8), CHANNELS, QUERY_SIZE, NUM_CLASSES)
    assert isinstance(head, bmask.BMask)
    return head


@pytest.mark.parametrize(
    ("preset", "size", "classes", "expected"),
    [
        ("paper", 256, 80, 5_681_056),
        ("small", 64, 20, 355_816),
        ("small_agnostic", 64, 20, 353_346),
    ],
)
def test_sizes(preset: str, size: int, classes: int, expected: int) -> None:
    with torch.device("meta"):
        assert num_parameters(bmask.build(bmask.PRESETS[preset], size, size, classes)) == expected


def test_the_branches_read_each_other_in_the_published_order() -> None:
    """The paper's steps once more, from the weights by name."""
    head, maps, regions = small_head().train(), pyramid(), detections()
    (stage,) = head(maps, regions)
    weights = head.state_dict()

    def conv(name: str, features: Tensor, *, stride: int = 1) -> Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.conv2d(features, weight, bias, stride, padding=weight.shape[2] // 2).relu()

    def predicted(name: str, features: Tensor) -> Tensor:
        up = F.conv_transpose2d(features, weights[f"{name}.0.weight"], weights[f"{name}.0.bias"], stride=2).relu()
        of_classes = F.conv2d(up, weights[f"{name}.2.weight"], weights[f"{name}.2.bias"])
        return of_classes[torch.arange(len(up)), regions.labels]

    mask = head.fusion(align_regions(maps, regions.boxes, regions.image, 14), regions.queries)
    for layer in (0, 2, 4, 6):
        mask = conv(f"mask.{layer}", mask)
    edge = conv("shrink.0", align_regions({2: maps[2]}, regions.boxes, regions.image, 28, level=2), stride=2)
    edge = edge + conv("mask_to_boundary.0", mask)
    for layer in (0, 2):
        edge = conv(f"boundary.{layer}", edge)
    mask = conv("last.0", mask + conv("boundary_to_mask.0", edge))
    torch.testing.assert_close(stage.mask_logits, predicted("mask_logits", mask))
    torch.testing.assert_close(stage.refine_logits, predicted("boundary_logits", edge))


def test_the_boundary_is_predicted_in_training_only() -> None:
    head = small_head()
    (learned,), (used,) = head.train()(pyramid(), detections()), head.eval()(pyramid(), detections())
    assert learned.refine_logits.shape == learned.mask_logits.shape == (3, 28, 28)
    assert used.refine_logits is None
    torch.testing.assert_close(used.mask_logits, learned.mask_logits)


def test_the_boundary_is_the_inner_outline_and_ends_at_the_box() -> None:
    target = (torch.rand(5, 9, 9, generator=torch.Generator().manual_seed(0)) > 0.3).float()
    expected = torch.zeros_like(target)
    for region, row, column in target.nonzero().tolist():
        window = F.pad(target[region], (1, 1, 1, 1))[row : row + 3, column : column + 3]
        expected[region, row, column] = float((window == 0).any())
    assert torch.equal(bmask.boundary_target(target), expected)
    full = bmask.boundary_target(torch.ones(1, 28, 28))
    assert full.sum() == 4 * 27
    assert bmask.boundary_target(torch.zeros(1, 28, 28)).sum() == 0


def test_losses_know_mask_from_boundary() -> None:
    head, targets = small_head(), left_half(2)
    mask = torch.full((2, 28, 28), -20.0)
    mask[:, :, :14] = 20.0
    edge = torch.full((2, 28, 28), -20.0)
    edge[:, :, [0, 13]] = 20.0
    edge[:, [0, 27], :14] = 20.0
    right = head.loss([Stage(side=28, mask_logits=mask, refine_logits=edge)], targets)
    assert list(right) == ["mask_28", "boundary_28", "boundary_dice_28"]
    assert all(loss < 1e-3 for loss in right.values()), right
    wrong = head.loss([Stage(side=28, mask_logits=mask, refine_logits=mask)], targets)
    assert wrong["mask_28"] < 1e-3
    # Foreground that is no boundary: 26 rows of 12 cells are taken for one, in each of two regions.
    inside, outline = 26 * 12, 14 * 28 - 26 * 12
    assert wrong["boundary_28"].item() == pytest.approx(2 * 20 * inside / 28**2, rel=1e-4)
    dice = 1 - (2 * outline + 1) / (14 * 28 + outline + 1)
    assert wrong["boundary_dice_28"].item() == pytest.approx(2 * dice, rel=1e-4)
