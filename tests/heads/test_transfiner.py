"""Mask Transfiner++: sizes, which nodes it takes, its layers and targets against slow ones, its losses."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from heads import Detections, Stage, Targets, transfiner
from heads._transfiner import boundary_target, incoherence_target, union_target
from heads.transfiner import CoarseStage, Layer, Nodes, Transfiner, drawn_nodes, most_incoherent

TINY = replace(transfiner.PRESETS["small"], features=8, feedforward=16, num_layers=1, num_convs=1, num_heads=2)


@pytest.mark.parametrize(
    ("preset", "width", "classes", "count"),
    [("paper", 256, 80, 11_737_812), ("small", 64, 20, 638_136), ("small_agnostic", 64, 20, 636_901)],
)
def test_sizes(preset: str, width: int, classes: int, count: int) -> None:
    with torch.device("meta"):
        head = transfiner.build(transfiner.PRESETS[preset], width, width, classes)
    assert sum(parameter.numel() for parameter in head.parameters()) == count


def test_a_layer_without_positions_is_the_usual_one() -> None:
    torch.manual_seed(0)
    layer, usual = Layer(8, 2, 16), nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    usual.self_attn.load_state_dict(layer.attention.state_dict())
    usual.linear1.load_state_dict(layer.feedforward[0].state_dict())
    usual.linear2.load_state_dict(layer.feedforward[2].state_dict())
    tokens, position = torch.randn(3, 5, 8), torch.randn(3, 5, 8)
    torch.testing.assert_close(layer(tokens, torch.zeros_like(tokens)), usual(tokens))
    # Positions that are equal everywhere move queries and keys, but values stay as they are.
    layer.attention.in_proj_bias.data.zero_()
    layer.attention.in_proj_weight.data[:16].zero_()
    torch.testing.assert_close(layer(tokens, position), layer(tokens, torch.zeros_like(tokens)))


def test_the_most_incoherent_cells_of_each_lattice() -> None:
    incoherence = torch.randn(3, 28, 28, generator=torch.Generator().manual_seed(0))
    for nodes, side, number in zip(most_incoherent(incoherence, (5, 10, 37)), (28, 56, 112), (5, 10, 37), strict=True):
        assert nodes.side == side
        assert nodes.cell.shape == (3, number)
        enlarged = nn.functional.interpolate(incoherence[:, None], size=(side, side), mode="nearest").flatten(1)
        best = enlarged.sort(dim=1, descending=True).values[:, :number]
        assert torch.equal(enlarged.gather(1, nodes.cell), best)
        assert all(len(set(cells)) == number for cells in nodes.cell.tolist())
    assert [nodes.cell.shape[1] for nodes in most_incoherent(incoherence, (9999, 9999, 1))] == [784, 3136, 1]


def test_incoherent_cells_are_drawn_first() -> None:
    incoherence = torch.zeros(2, 28, 28)
    incoherence[0, 4, 6] = 0.3  # above the threshold of the first lattice only
    incoherence[1, :, :20] = 0.9
    first, second, third = drawn_nodes(incoherence, torch.Generator().manual_seed(0))
    assert {nodes.cell.shape for nodes in (first, second, third)} == {(2, 150)}
    assert 4 * 28 + 6 in first.cell[0].tolist()
    for nodes in (first, second, third):
        assert (nodes.cell[1] % nodes.side < nodes.side * 20 / 28).all()
        assert len(set(nodes.cell[1].tolist())) == 150
    again = drawn_nodes(incoherence, torch.Generator().manual_seed(1))
    assert not torch.equal(first.cell[1], again[0].cell[1])


def test_a_node_stands_at_its_centre() -> None:
    nodes = Nodes(side=28, cell=torch.tensor([[28 * 3 + 5, 783]]))
    stage = nodes.stage(torch.zeros(1, 2), torch.zeros(1))
    assert stage.point is not None
    torch.testing.assert_close(stage.point, torch.tensor([[5.5, 3.5], [27.5, 27.5]]) / 28)


def scene(size: tuple[int, int] = (64, 64)) -> tuple[dict[int, Tensor], Detections, Targets]:
    generator = torch.Generator().manual_seed(0)
    pyramid = {k: torch.randn(2, 8, size[0] >> k, size[1] >> k, generator=generator) for k in range(2, 6)}
    boxes = torch.tensor([[4.0, 4.0, 60.0, 52.0], [10.0, 0.0, 50.0, 64.0]])
    masks = torch.zeros(3, *size, dtype=torch.bool)
    masks[0, 10:40, 20:50] = True
    masks[1, 5:60:2, 12:48] = True
    masks[2, 0:8, 0:8] = True  # an object that no region has
    image = torch.tensor([0, 1])
    detections = Detections(
        boxes=boxes,
        image=image,
        queries=torch.randn(2, 8, generator=generator),
        region=torch.arange(2),
        labels=torch.tensor([2, 0]),
        scores=torch.ones(2),
        region_counts=(1, 1),
        prediction_counts=(1, 1),
    )
    sizes = torch.tensor([list(map(float, size))]).expand(2, 2)
    targets = Targets(masks=masks, image=torch.tensor([0, 1, 0]), index=torch.arange(2), boxes=boxes, image_sizes=sizes)
    return pyramid, detections, targets


def test_incoherence_lies_where_halving_loses_something() -> None:
    _, _, targets = scene()
    found = incoherence_target(targets, 28)
    # The first object's edges are even: half the resolution keeps them but for the ramp of the enlargement, one pixel
    # to either side. Cells are 2 pixels wide, 1.7 high.
    x = 4 + 2 * (torch.arange(28) + 0.5)
    y = 4 + 48 / 28 * (torch.arange(28) + 0.5)
    near = ((x - 20).abs() < 2) | ((x - 50).abs() < 2)
    deep = (x > 24) & (x < 46)
    inside = (y > 14) & (y < 36)
    assert found[0][inside][:, near].all()
    assert not found[0][inside][:, deep].any()
    assert not found[0][:, x > 54].any()
    # Stripes of one pixel are lost everywhere.
    x = 10 + 40 / 28 * (torch.arange(28) + 0.5)
    assert found[1][4:24][:, (x > 13) & (x < 47)].all()
    # Nothing is lost of what is everywhere, whatever the size; no objects, no regions.
    full = replace(targets, masks=torch.ones(3, 63, 61, dtype=torch.bool), boxes=targets.boxes.clamp(max=60))
    assert not incoherence_target(full, 28).any()
    none = replace(
        targets,
        masks=targets.masks[:0],
        image=targets.image[:0],
        index=targets.index[:0],
        boxes=targets.boxes[:0],
        image_sizes=torch.zeros(0, 2),
    )
    assert incoherence_target(none, 28).shape == (0, 28, 28)


def test_boundary_is_two_cells_wide() -> None:
    target = (torch.rand(2, 9, 7, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    target = nn.functional.pad(target, (0, 2))
    found = boundary_target(target)
    for r in range(2):
        for i in range(9):
            for j in range(9):
                cross = [(i, j), (i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
                seen = {target[r, a, b].item() for a, b in cross if 0 <= a < 9 and 0 <= b < 9}
                assert found[r, i, j].item() == (len(seen) > 1)


def test_the_union_has_all_objects_of_an_image() -> None:
    _, _, targets = scene()
    union = union_target(targets, torch.zeros(2, 16, 16))
    expected = torch.stack([targets.masks[0] | targets.masks[2], targets.masks[1]])[:, None].float()
    torch.testing.assert_close(union, nn.functional.interpolate(expected, size=(16, 16), mode="nearest")[:, 0])


def test_losses_of_perfect_predictions_are_small() -> None:
    torch.manual_seed(0)
    head = transfiner.build(TINY, 8, 8, 3).train()
    assert isinstance(head, Transfiner)
    pyramid, detections, targets = scene()
    coarse, *nodes = head(pyramid, detections, torch.Generator().manual_seed(0))
    assert isinstance(coarse, CoarseStage)

    def sure(target: Tensor) -> Tensor:
        return (2 * target - 1) * 20

    def masks(side: int) -> Tensor:
        return transfiner.segmentation_target(transfiner.coverage(targets, side))

    def right(stage: Stage) -> Stage:
        return replace(stage, mask_logits=sure(transfiner.at_cells(masks(stage.side), stage)))

    perfect = replace(
        coarse,
        mask_logits=sure(masks(28)),
        refine_logits=sure(incoherence_target(targets, 28)),
        boundary=sure(boundary_target(masks(28))),
        context=sure(masks(14)),
        semantic=sure(union_target(targets, coarse.semantic)),
    )
    losses = head.loss([perfect, *map(right, nodes)], targets)
    assert max(loss.item() for loss in losses.values()) < 1e-3
    # The mean over 196 context tokens and 3 * 150 nodes: all tokens wrong cost 1 a region, context alone its share.
    wrong = replace(perfect, context=-perfect.context)
    assert head.loss([wrong, *map(right, nodes)], targets)["nodes"].item() == pytest.approx(2 * 196 / 646, rel=1e-4)


def test_what_the_first_stage_holds_at_inference() -> None:
    torch.manual_seed(0)
    head = transfiner.build(TINY, 8, 8, 3).eval()
    assert isinstance(head, Transfiner)
    pyramid, detections, _ = scene()
    head.nodes = (7, 8, 9)
    first, *others = head(pyramid, detections)
    assert [len(stage.mask_logits) for stage in others] == [16, 18]
    head.nodes = (0, 0, 0)
    before, *_ = head(pyramid, detections)
    changed = (first.mask_logits != before.mask_logits).flatten(1)
    assert changed.sum(1).tolist() == [7, 7]
    best = most_incoherent(before.refine_logits, (7, 0, 0))[0].cell
    assert changed.gather(1, best).all()
