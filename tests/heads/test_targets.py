"""Covered fractions, targets and the shared loss, by hand."""

import pytest
import torch

from heads import Stage, Targets
from heads import _targets as module
from heads._targets import at_cells, coverage, mask_loss, mask_values, refinement_target, segmentation_target


def make_targets(boxes: list[list[float]], index: list[int]) -> Targets:
    """Two objects in a 40 x 60 image: the left half of columns 8..24, and everything."""
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    masks[0, 8:24, 8:18] = True
    masks[1] = True
    size = torch.tensor([[40.0, 60.0]]).expand(len(boxes), 2)
    return Targets(
        masks=masks,
        image=torch.zeros(2, dtype=torch.long),
        index=torch.tensor(index),
        boxes=torch.tensor(boxes),
        image_sizes=size,
    )


def test_a_cell_is_covered_by_the_fraction_its_pixels_say() -> None:
    # Cells of 4 x 4 pixels; the object ends 2 pixels into the third column of cells.
    covered = coverage(make_targets([[8.0, 8.0, 24.0, 24.0]], [0]), 4)
    assert covered.shape == (1, 4, 4)
    torch.testing.assert_close(covered[0, 1], torch.tensor([1.0, 1.0, 0.5, 0.0]), atol=0.13, rtol=0)
    assert covered[0, 1, 2] == pytest.approx(0.5)
    assert segmentation_target(covered)[0, 1].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_exactly_a_half_counts_where_it_is_asked_for() -> None:
    covered = torch.tensor([0.0, 0.5 - 2**-20, 0.5, 0.5 + 2**-20, 1.0])
    assert segmentation_target(covered).tolist() == [0, 0, 0, 1, 1]
    assert segmentation_target(covered, with_half=True).tolist() == [0, 0, 1, 1, 1]


def test_only_cells_with_both_kinds_of_pixels_are_mixed() -> None:
    covered = torch.tensor([0.0, 1e-7, 0.01, 0.5, 0.99, 1 - 1e-7, 1.0])
    assert refinement_target(covered).tolist() == [0, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("side", [14, 28, 56, 112])
def test_full_and_empty_cells_are_never_mixed_by_rounding(side: int) -> None:
    covered = coverage(make_targets([[1.3, 2.7, 55.1, 38.9]], [1]), side)
    assert refinement_target(covered).sum() == 0
    assert segmentation_target(covered).all()


def test_boxes_beyond_the_image_are_empty_there_unless_clipped() -> None:
    targets = make_targets([[-20.0, 0.0, 20.0, 40.0]], [1])
    first, second, *inside = coverage(targets, 4)[0, 0].tolist()
    # RoIAlign stretches the border pixel by one more pixel.
    assert first == 0
    assert second <= 0.1 + 1e-6
    assert inside == [1.0, 1.0]
    assert coverage(targets, 4, clip=True)[0, 0].tolist() == [1.0, 1.0, 1.0, 1.0]


def test_groups_of_objects_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [[8.0, 8.0, 24.0, 24.0], [0.0, 0.0, 60.0, 40.0], [10.0, 3.0, 30.0, 20.0]]
    targets = make_targets(boxes, [1, 0, 0])
    together = coverage(targets, 14)
    monkeypatch.setattr(module, "PIXELS_AT_A_TIME", 1)
    torch.testing.assert_close(coverage(targets, 14), together, rtol=0, atol=0)


def test_values_at_points_are_bilinear_between_pixel_centres() -> None:
    targets = make_targets([[8.0, 8.0, 28.0, 28.0]], [0])
    # x = 17.5 is the last foreground pixel's centre, 18 the edge, 18.5 the first background pixel's centre.
    points = torch.tensor([[9.5, 10.0], [10.0, 10.0], [10.5, 10.0]]) / 20
    values = mask_values(targets, torch.zeros(3, dtype=torch.long), points)
    torch.testing.assert_close(values, torch.tensor([1.0, 0.5, 0.0]), atol=1e-5, rtol=0)


def test_maps_are_read_at_the_cells_of_sparse_stages() -> None:
    maps = torch.arange(32.0).view(2, 4, 4)
    point = (torch.tensor([[1.0, 2.0], [3.0, 0.0]]) + 0.5) / 4
    stage = Stage(side=4, mask_logits=torch.zeros(2), region=torch.tensor([0, 1]), point=point)
    assert at_cells(maps, stage).tolist() == [9.0, 19.0]
    assert at_cells(maps, Stage(side=4, mask_logits=torch.zeros(2, 4, 4))) is maps


def test_loss_grows_with_the_number_of_regions() -> None:
    logits = torch.zeros(10)
    assert mask_loss(logits, torch.ones(10), 3, 0.5).item() == pytest.approx(1.5 * 0.6931, rel=1e-3)


def test_loss_without_locations_is_zero_and_attached() -> None:
    logits = torch.zeros(0, requires_grad=True)
    loss = mask_loss(logits, torch.zeros(0), 0)
    assert loss.item() == 0
    loss.backward()
    assert logits.grad is not None


def test_no_regions_have_no_targets() -> None:
    targets = Targets(
        masks=torch.zeros(0, 40, 60, dtype=torch.bool),
        image=torch.zeros(0, dtype=torch.long),
        index=torch.zeros(0, dtype=torch.long),
        boxes=torch.zeros(0, 4),
        image_sizes=torch.zeros(0, 2),
    )
    assert coverage(targets, 14, clip=True).shape == (0, 14, 14)
