"""EffSeg: its sizes, active counts, independence of the backend and of the batch, its losses."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from heads import Detections, Targets, effseg
from heads._compose import compose
from heads._select import Budget

DETECTOR_PARAMETERS = 34_601_022
CHANNELS = 16


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def make_pyramid(generator: torch.Generator, images: int) -> dict[int, Tensor]:
    return {k: torch.randn(images, CHANNELS, 256 // 2**k, 256 // 2**k, generator=generator) for k in range(2, 8)}


def make_detections(generator: torch.Generator, counts: tuple[int, ...]) -> Detections:
    regions = sum(counts)
    corner = torch.rand(regions, 2, generator=generator) * 120
    return Detections(
        boxes=torch.cat([corner, corner + 8 + torch.rand(regions, 2, generator=generator) * 160], 1),
        image=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        queries=torch.randn(regions, 12, generator=generator),
        region=torch.arange(regions),
        labels=torch.zeros(regions, dtype=torch.long),
        scores=torch.ones(regions),
        region_counts=counts,
        prediction_counts=counts,
    )


def build(**choices: object) -> effseg.EffSeg:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = dataclasses.replace(effseg.PRESETS["small"], features=(16, 8, 8, 4), **choices)  # type: ignore[arg-type]
        return effseg.build(config, CHANNELS, 12, 3)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("module", "millions"),
    [("mlp", 38.359), ("conv", 38.531), ("deform_conv", 38.535), ("sfm", 38.810), ("dense_sfm", 38.810)],
)
def test_sizes_of_table_5(module: str, millions: float) -> None:
    head = effseg.build(dataclasses.replace(effseg.PRESETS["paper"], module=module), 256, 256, 80)
    assert round((count(head) + DETECTOR_PARAMETERS) / 1e6, 3) == millions


def test_composition_of_the_paper() -> None:
    head = effseg.build(effseg.PRESETS["paper"], 256, 256, 80)
    assert isinstance(head, effseg.EffSeg)
    assert count(head) == 4_208_872
    stages = [stage for stage in head.stages if isinstance(stage, effseg.SparseStage)]
    assert sum(count(stage.split) for stage in stages) == 432_320
    assert sum(count(stage.fusion) for stage in stages) == 287_616
    assert sum(count(stage.transition) for stage in stages) == 43_232
    assert sum(count(stage.process) for stage in stages) == 646_464
    mask_branches = [head.branches.mask, *(stage.branches.mask for stage in stages)]
    assert sum(count(branch) for branch in mask_branches) == 88_004


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(None), [196 * 6, 784 * 6, 3136 * 6, 12544 * 6]),
        (Budget(100, "image"), [196 * 6, 800, 800, 800]),
        (Budget(10, "region_pool"), [196 * 6, 240, 240, 240]),
        (Budget(10, "per_region"), [196 * 6, 240, 240, 240]),
        (Budget(600, "image"), [196 * 6, 4 * (600 + 392), 4 * 1200, 4 * 1200]),
    ],
)
def test_active_cells_follow_the_budget(budget: Budget, expected: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    head = build(budget=budget)
    with torch.no_grad():
        stages = head(make_pyramid(generator, 2), make_detections(generator, (4, 2)))
    assert [stage.mask_logits.numel() for stage in stages] == expected
    assert [stage.side for stage in stages] == [14, 28, 56, 112]


def test_dense_sfm_refines_every_cell_once() -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        stages = build(module="dense_sfm")(make_pyramid(generator, 1), make_detections(generator, (2,)))
    last = stages[-1]
    assert last.region is not None
    assert last.point is not None
    cells = {(int(r), float(x), float(y)) for r, (x, y) in zip(last.region, last.point.tolist(), strict=True)}
    assert len(cells) == 2 * 112 * 112


def test_children_lie_in_their_parents() -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        stages = build(budget=Budget(30, "image"))(make_pyramid(generator, 1), make_detections(generator, (3,)))
    for before, after in pairwise(stages[1:]):
        assert before.point is not None
        assert after.point is not None
        assert before.region is not None
        assert after.region is not None
        parents = {
            (r, math.floor(x * before.side), math.floor(y * before.side))
            for r, (x, y) in zip(before.region.tolist(), before.point.tolist(), strict=True)
        }
        children = {
            (r, math.floor(x * before.side), math.floor(y * before.side))
            for r, (x, y) in zip(after.region.tolist(), after.point.tolist(), strict=True)
        }
        assert children <= parents
        assert len(children) == 30


@pytest.mark.parametrize("module", ["sfm", "deform_conv"])
def test_backends_give_the_same_masks_losses_and_gradients(module: str) -> None:
    generator = torch.Generator().manual_seed(2)
    pyramid, detections = make_pyramid(generator, 2), make_detections(generator, (3, 2))
    masks = torch.rand(2, 8, 8, generator=generator).gt(0.5).repeat_interleave(32, 1).repeat_interleave(32, 2)
    targets = Targets(
        masks=masks,
        image=torch.arange(len(masks)),
        index=detections.image,
        boxes=detections.boxes,
        image_sizes=torch.full((5, 2), 256.0),
    )
    composed, losses, gradients = [], [], []
    for name in ("dense", "sps"):
        # Double precision: a rounding difference must not change which cells are selected.
        head = build(module=module, backend=name, budget=Budget(50, "image")).double()
        wide = {k: features.double().requires_grad_() for k, features in pyramid.items()}
        double = dataclasses.replace(detections, boxes=detections.boxes.double(), queries=detections.queries.double())
        stages = head(wide, double)
        composed.append(compose(stages))
        loss = head.loss(stages, dataclasses.replace(targets, boxes=double.boxes))
        losses.append(loss)
        torch.stack(list(loss.values())).sum().backward()
        gradients.append(
            {key: value.grad for key, value in head.named_parameters()} | {str(k): v.grad for k, v in wide.items()}
        )
    torch.testing.assert_close(composed[0], composed[1])
    torch.testing.assert_close(losses[0], losses[1])
    for key, gradient in gradients[0].items():
        if key in {"6", "7"}:
            assert gradient is None or not gradient.any()
        else:
            torch.testing.assert_close(gradient, gradients[1][key], msg=key)


def test_an_image_does_not_depend_on_the_others_in_its_batch() -> None:
    generator = torch.Generator().manual_seed(3)
    pyramid, detections = make_pyramid(generator, 2), make_detections(generator, (3, 2))
    head = build(budget=Budget(40, "image"))
    alone = dataclasses.replace(
        detections,
        boxes=detections.boxes[3:],
        image=detections.image[3:] - 1,
        queries=detections.queries[3:],
        region_counts=(2,),
    )
    with torch.no_grad():
        together = compose(head(pyramid, detections))[3:]
        single = compose(head({k: features[1:] for k, features in pyramid.items()}, alone))
    torch.testing.assert_close(together, single, atol=1e-4, rtol=1e-4)


def test_without_regions_every_parameter_has_a_gradient() -> None:
    generator = torch.Generator().manual_seed(4)
    head, detections = build(), make_detections(generator, (0, 0))
    targets = Targets(
        masks=torch.zeros(0, 256, 256, dtype=torch.bool),
        image=torch.zeros(0, dtype=torch.long),
        index=torch.zeros(0, dtype=torch.long),
        boxes=detections.boxes,
        image_sizes=torch.zeros(0, 2),
    )
    losses = head.loss(head(make_pyramid(generator, 2), detections), targets)
    assert set(losses) == {f"{kind}_{side}" for kind in ("mask", "refine") for side in (14, 28, 56, 112)}
    total = torch.stack(list(losses.values())).sum()
    assert total == 0
    total.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_losses_carry_their_weights_and_the_number_of_regions() -> None:
    generator = torch.Generator().manual_seed(5)
    head, detections = build(), make_detections(generator, (3,))
    stages = head(make_pyramid(generator, 1), detections)
    flat = [
        dataclasses.replace(stage, mask_logits=stage.mask_logits * 0, refine_logits=stage.mask_logits.detach() * 0)
        for stage in stages
    ]
    targets = Targets(
        masks=torch.ones(1, 256, 256, dtype=torch.bool),
        image=torch.zeros(1, dtype=torch.long),
        index=torch.zeros(3, dtype=torch.long),
        boxes=detections.boxes,
        image_sizes=torch.full((3, 2), 256.0),
    )
    losses = head.loss(flat, targets)
    for side, weight in ((14, 0.25), (28, 0.375), (56, 0.375), (112, 0.5)):
        assert losses[f"mask_{side}"].item() == pytest.approx(3 * weight * math.log(2), rel=1e-4)
        assert losses[f"refine_{side}"].item() == pytest.approx(3 * 0.25 * math.log(2), rel=1e-4)


def test_training_on_one_image_learns_a_disc() -> None:
    generator = torch.Generator().manual_seed(6)
    head, detections = build(), make_detections(generator, (2,))
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    centers = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    extents = detections.boxes[:, 2:] - detections.boxes[:, :2]
    masks = torch.stack(
        [
            ((columns - x) / w) ** 2 + ((rows - y) / h) ** 2 < 0.16
            for (x, y), (w, h) in zip(centers.tolist(), extents.tolist(), strict=True)
        ]
    )
    targets = Targets(
        masks=masks,
        image=torch.zeros(2, dtype=torch.long),
        index=torch.arange(2),
        boxes=detections.boxes,
        image_sizes=torch.full((2, 2), 256.0),
    )
    pyramid = make_pyramid(generator, 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    history = []
    for _ in range(12):
        total = torch.stack(list(head.loss(head(pyramid, detections), targets).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
    assert history[-1] < 0.8 * history[0]


def test_position_encoding_is_the_code_of_cell_centres() -> None:
    code = effseg.sine_encoding(14, 256, torch.zeros(1))
    assert code.shape == (256, 14, 14)
    angle = 2 * math.pi * (3 + 0.5) / 14
    for index in (0, 5, 63):
        period = 10_000 ** (4 * index / 256)
        assert code[index, 9, 3].item() == pytest.approx(math.sin(angle / period), abs=1e-5)
        assert code[64 + index, 9, 3].item() == pytest.approx(math.cos(angle / period), abs=1e-5)
        assert code[128 + index, 3, 9].item() == pytest.approx(math.sin(angle / period), abs=1e-5)
        assert code[192 + index, 3, 9].item() == pytest.approx(math.cos(angle / period), abs=1e-5)
    with pytest.raises(ValueError, match="multiple of 4"):
        effseg.sine_encoding(14, 6, torch.zeros(1))


def test_it_does_not_read_stretched_maps_of_an_unknown_image() -> None:
    generator = torch.Generator().manual_seed(0)
    pyramid, detections = make_pyramid(generator, 1), make_detections(generator, (2,))
    head = build(stretch_maps=True).eval()
    with pytest.raises(ValueError, match=r"needs `image_size`"):
        head(pyramid, detections)
    with torch.no_grad():
        stretched = compose(head(pyramid, dataclasses.replace(detections, image_size=(250, 251))))
        by_stride = compose(build(stretch_maps=False).eval()(pyramid, detections))
        whole = compose(head(pyramid, dataclasses.replace(detections, image_size=(256, 256))))
    assert torch.equal(whole, by_stride), "strides divide the size"
    assert not torch.allclose(stretched, by_stride, atol=1e-4)


def test_the_paper_preset_reads_as_the_authors_code_and_the_small_one_by_stride() -> None:
    assert effseg.PRESETS["paper"].stretch_maps
    assert not effseg.PRESETS["small"].stretch_maps
