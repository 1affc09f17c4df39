"""BoundaryFormer++: sizes, its rasteriser against a slow one and a known polygon, where it looks, its loss."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from heads import Detections, Stage, Targets, boundary_former
from heads._boundary_former import polygon_logits
from heads.boundary_former import LEVELS, BoundaryFormer

TINY = replace(boundary_former.PRESETS["small"], feedforward=8, num_heads=2, num_points=1)


@pytest.mark.parametrize(("preset", "width", "count"), [("paper", 256, 4_677_384), ("small", 64, 371_784)])
def test_sizes(preset: str, width: int, count: int) -> None:
    with torch.device("meta"):
        head = boundary_former.build(boundary_former.PRESETS[preset], width, width, 80)
    assert sum(parameter.numel() for parameter in head.parameters()) == count


def test_width_must_suit_codes_and_heads() -> None:
    with pytest.raises(ValueError, match="12 channels; expected a multiple of 4 and of the 8 attention heads"):
        boundary_former.build(boundary_former.PRESETS["small"], 12, 8, 3)


def slow_logit(polygon: list[list[float]], x: float, y: float) -> float:
    """The logit of one cell centre, in the plane of cells."""
    nearest, inside = math.inf, False
    for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        squared = (bx - ax) ** 2 + (by - ay) ** 2
        share = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / squared if squared else 0.0
        share = min(1.0, max(0.0, share))
        nearest = min(nearest, (x - ax - share * (bx - ax)) ** 2 + (y - ay - share * (by - ay)) ** 2)
        if (ay <= y) != (by <= y) and x > ax + (y - ay) * (bx - ax) / (by - ay):
            inside = not inside
    return (nearest if inside else -nearest) / 0.1


@pytest.mark.parametrize("block", [1, 2**22])
def test_rasterises_as_a_loop_does(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heads._boundary_former.CELLS_AT_A_TIME", block)
    # Polygons that cross themselves, one that collapsed to a point, one to a line, and a square on cell centres.
    generator = torch.Generator().manual_seed(0)
    polygons = torch.rand(6, 8, 2, generator=generator, dtype=torch.float64)
    polygons[3] = 0.4
    polygons[4, :, 1] = 0.35
    polygons[5] = torch.tensor([[1, 1], [3, 1], [5, 1], [5, 3], [5, 5], [3, 5], [1, 5], [1, 3]]) / 12 + 1 / 24
    found = polygon_logits(polygons, 12)
    for polygon, logits in zip((polygons * 12 - 0.5).tolist(), found, strict=True):
        for y in range(12):
            for x in range(12):
                # On an edge both signs are right.
                expected = slow_logit(polygon, x, y)
                assert logits[y, x].item() == pytest.approx(expected, abs=1e-9), (x, y)
    assert (found[3] <= 0).all()
    assert polygon_logits(polygons[:0], 12).shape == (0, 12, 12)


def test_area_of_an_ellipse() -> None:
    angle = torch.arange(64) * (2 * math.pi / 64)
    polygon = 0.5 + torch.stack([0.4 * angle.cos(), 0.2 * angle.sin()], 1)[None]
    area = (polygon_logits(polygon, 112) > 0).float().mean()
    assert area.item() == pytest.approx(math.pi * 0.4 * 0.2, rel=0.01)


def test_the_gradient_of_the_distance() -> None:
    polygon = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda corners: polygon_logits(corners, 6) / 100, polygon)
    collapsed = torch.full((1, 4, 2), 0.5, requires_grad=True)
    polygon_logits(collapsed, 8).sum().backward()
    assert collapsed.grad is not None
    assert collapsed.grad.isfinite().all()
    assert not polygon_logits(torch.full((1, 4, 2), float("nan")), 8).isfinite().any()  # and no index out of range


def build() -> BoundaryFormer:
    torch.manual_seed(0)
    head = boundary_former.build(TINY, 8, 8, 3)
    assert isinstance(head, BoundaryFormer)
    return head


def scene(size: tuple[int, int] = (72, 100)) -> tuple[dict[int, Tensor], Detections]:
    """Three regions in two images, whose maps do not divide evenly."""
    generator = torch.Generator().manual_seed(0)
    pyramid = {k: torch.randn(2, 8, -(-size[0] >> k), -(-size[1] >> k), generator=generator) for k in LEVELS}
    return pyramid, Detections(
        boxes=torch.tensor([[4.0, 4.0, 60.0, 52.0], [10.0, 0.0, 50.0, 64.0], [30.0, 20.0, 99.0, 70.0]]),
        image=torch.tensor([0, 0, 1]),
        queries=torch.randn(3, 8, generator=generator),
        region=torch.arange(3),
        labels=torch.zeros(3, dtype=torch.long),
        scores=torch.ones(3),
        region_counts=(2, 1),
        prediction_counts=(2, 1),
    )


def test_polygons_start_as_an_ellipse_and_double() -> None:
    head, (pyramid, detections) = build(), scene()
    for layer in head.layers:
        for parameter in layer.move[-1].parameters():
            torch.nn.init.zeros_(parameter)
    polygons = head.polygons(pyramid, detections)
    assert [polygon.shape for polygon in polygons] == [(3, corners, 2) for corners in (8, 16, 32, 64)]
    first, *_, last = polygons
    torch.testing.assert_close((first - 0.5).norm(dim=2), torch.full((3, 8), 0.49))
    torch.testing.assert_close(first[0, :3], torch.tensor([[0.99, 0.5], [0.84648, 0.84648], [0.5, 0.99]]))
    # Nothing moves: the old corners stay, the new ones lie evenly on the chords.
    torch.testing.assert_close(last[:, ::8], first)
    torch.testing.assert_close(last[:, 2], 0.75 * first[:, 0] + 0.25 * first[:, 1])
    torch.testing.assert_close(last[:, -4], (first[:, 0] + first[:, -1]) / 2)


def test_corners_look_where_they_are() -> None:
    head, (pyramid, detections) = build(), scene()
    memory = head._memory(pyramid)
    polygon = torch.rand(3, 8, 2, generator=torch.Generator().manual_seed(2)) * 0.5 + 0.25
    centres, unit = memory.places(polygon, detections.boxes)
    corner, box = detections.boxes[:, None, :2], (detections.boxes[:, 2:] - detections.boxes[:, :2])[:, None]
    pixels = corner + polygon * box
    for number, (level, (height, width)) in enumerate(zip(LEVELS, memory.shapes, strict=True)):
        assert (height, width) == pyramid[level].shape[2:]
        # In cells of the map, of which one is 2^level pixels.
        cells = torch.tensor([width, height])
        torch.testing.assert_close(centres[:, :, number] * cells * 2**level, pixels)
        torch.testing.assert_close(unit[:, :, number] * cells * 2**level, (box / cells).expand(-1, 8, -1))


def test_regions_see_their_own_image() -> None:
    head, (pyramid, detections) = build().eval(), scene()
    (before,) = head(pyramid, detections)
    changed = {level: torch.cat([features[:1], -features[1:]]) for level, features in pyramid.items()}
    (after,) = head(changed, detections)
    assert torch.equal(before.mask_logits[:2], after.mask_logits[:2])
    assert not torch.equal(before.mask_logits[2], after.mask_logits[2])


def test_loss_is_the_dice_of_the_batch() -> None:
    head = build()
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, :, :32] = True
    boxes = torch.tensor([[0.0, 0.0, 64.0, 64.0]] * 2)
    targets = Targets(
        masks=masks,
        image=torch.zeros(2, dtype=torch.long),
        index=torch.arange(2),
        boxes=boxes,
        image_sizes=torch.full((2, 2), 64.0),
    )
    right = torch.full((2, 64, 64), -20.0)
    right[0, :, :32] = 20.0
    stages = [Stage(side=64, mask_logits=right)] * 3 + [Stage(side=64, mask_logits=torch.full((2, 64, 64), 20.0))]
    losses = {name: loss.item() for name, loss in head.loss(stages, targets).items()}
    # Everything is foreground after the last layer: twice the overlap of 2048 by 8192 + 2048; 2 regions, 4 layers.
    wrong = 2 / 4 * (1 - (2 * 2048 + 1) / (8192 + 2048 + 1))
    assert losses == pytest.approx({"mask_of_8": 0, "mask_of_16": 0, "mask_of_32": 0, "mask_of_64": wrong}, abs=1e-4)
