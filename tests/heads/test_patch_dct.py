"""PatchDCT++ and DCT-Mask++: sizes, patches, the rule that fills them, and losses."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from heads import Detections, Targets, compose, patch_dct
from heads.patch_dct import CosineStage, PatchDCT, PatchPredictions, join_patches, patch_classes, split_patches

SMALL = replace(patch_dct.PRESETS["small"], features=8, hidden=8)


@pytest.mark.parametrize(
    ("preset", "width", "classes", "count"),
    [
        ("paper", 256, 80, 69_080_828),
        ("paper_dct_mask", 256, 80, 55_361_580),
        ("small", 64, 20, 2_144_416),
        ("small_wide", 64, 20, 4_377_248),
        ("small_dct_mask", 64, 20, 3_518_700),
    ],
)
def test_sizes(preset: str, width: int, classes: int, count: int) -> None:
    with torch.device("meta"):
        head = patch_dct.build(patch_dct.PRESETS[preset], width, width, classes)
    assert sum(parameter.numel() for parameter in head.parameters()) == count


def build(**choices: bool) -> PatchDCT:
    torch.manual_seed(0)
    head = patch_dct.build(replace(SMALL, **choices), 8, 8, 3)
    assert isinstance(head, PatchDCT)
    return head


def scene(regions: int = 2) -> tuple[dict[int, Tensor], Detections, Targets]:
    generator = torch.Generator().manual_seed(0)
    pyramid = {k: torch.randn(1, 8, 64 >> k, 64 >> k, generator=generator) for k in range(2, 6)}
    boxes = torch.tensor([[4.0, 4.0, 60.0, 52.0]]).expand(regions, 4)
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 10:40, 20:50] = True
    detections = Detections(
        boxes=boxes,
        image=torch.zeros(regions, dtype=torch.long),
        queries=torch.randn(regions, 8, generator=generator),
        region=torch.arange(regions),
        labels=torch.arange(regions) % 3,
        scores=torch.ones(regions),
        region_counts=(regions,),
        prediction_counts=(regions,),
    )
    sizes = torch.tensor([[64.0, 64.0]]).expand(regions, 2)
    image = torch.zeros(2, dtype=torch.long)
    return (
        pyramid,
        detections,
        Targets(masks=masks, image=image, index=torch.arange(regions) % 2, boxes=boxes, image_sizes=sizes),
    )


def test_patches_are_tiles_in_order() -> None:
    mask = torch.arange(112 * 112.0).view(1, 112, 112)
    patches = split_patches(mask)
    assert torch.equal(patches[0, 3, 5], mask[0, 24:32, 40:48])
    assert torch.equal(join_patches(patches), mask)


def test_classes_count_foreground() -> None:
    mask = torch.zeros(1, 112, 112)
    mask[0, :8, :8] = 1  # full
    mask[0, 0, 8] = 1  # one pixel
    mask[0, :8, 16:24] = 1
    mask[0, 7, 23] = 0  # all but one
    classes = patch_classes(split_patches(mask))
    assert classes[0, 0, :4].tolist() == [2, 1, 1, 0]
    assert classes.sum() == 4


def test_a_third_of_an_extreme_is_enough() -> None:
    head = build()
    chances = torch.tensor([0.8, 0.1, 0.1])[:, None, None].repeat(1, 1, 14, 14).view(1, 3, 14, 14)
    chances[0, :, 0, 0] = torch.tensor([0.31, 0.60, 0.09])  # background, although mixed is likelier
    chances[0, :, 0, 1] = torch.tensor([0.29, 0.61, 0.10])  # mixed
    chances[0, :, 0, 2] = torch.tensor([0.05, 0.60, 0.35])  # foreground
    chances[0, :, 0, 3] = torch.tensor([0.31, 0.34, 0.35])  # both extremes: the likelier
    coefficients = torch.zeros(1, 6, 14, 14)
    coefficients[0, 0] = 2.0  # a constant of a quarter
    mask, quality = head.assemble(PatchPredictions(classes=chances.log(), coefficients=coefficients))
    found = split_patches(mask)
    for column, value in enumerate([0.0, 0.25, 1.0, 1.0]):
        torch.testing.assert_close(found[0, 0, column], torch.full((8, 8), value))
    assert mask.mean(dim=(1, 2)) == pytest.approx(2.25 / 196)
    torch.testing.assert_close(quality, torch.tensor([0.35]))  # two foreground patches, both 0.35 sure
    none, of_none = head.assemble(PatchPredictions(classes=chances[:0], coefficients=coefficients[:0]))
    assert none.shape == (0, 112, 112)
    assert of_none.shape == (0,)


def perfect(head: PatchDCT, target: Tensor) -> list[CosineStage]:
    """Stages that predict a mask as well as its coefficients can."""
    patches = split_patches(target)
    classes = torch.nn.functional.one_hot(patch_classes(patches), 3).permute(0, 3, 1, 2) * 100.0
    coefficients = head.patch_code.encode(patches).permute(0, 3, 1, 2)
    empty = torch.zeros(len(target), 112, 112)
    return [
        CosineStage(side=112, mask_logits=empty, coefficients=head.mask_code.encode(target)),
        CosineStage(side=112, mask_logits=empty, patches=PatchPredictions(classes=classes, coefficients=coefficients)),
    ]


def test_losses_of_known_errors() -> None:
    head, (_, _, targets) = build(), scene()
    target = patch_dct.segmentation_target(patch_dct.coverage(targets, 112))
    stages = perfect(head, target)
    assert max(loss.item() for loss in head.loss(stages, targets).values()) < 1e-4
    first, last = stages
    assert first.coefficients is not None
    assert last.patches is not None
    off = replace(first, coefficients=first.coefficients + 0.5)
    coefficients = last.patches.coefficients + 0.25
    wrong = replace(last, patches=PatchPredictions(classes=torch.zeros(2, 3, 14, 14), coefficients=coefficients))
    losses = {name: loss.item() for name, loss in head.loss([off, wrong], targets).items()}
    # Means times two regions; the second object is empty and has no mixed patch.
    assert losses == pytest.approx({"mask": 1.0, "patch_classes": 2 * torch.tensor(3.0).log().item(), "patches": 0.5})
    alone = build(refine=False).loss([off], targets)
    assert alone["mask"].item() == pytest.approx(0.007 * 300 * 0.5 * 2)


def test_what_coefficients_keep_of_a_mask() -> None:
    head = build()
    rows = torch.arange(112)
    disc = (rows[:, None] - 50) ** 2 + (rows - 60) ** 2 < 40**2
    stripes = disc & (rows % 6 < 3)  # too fine for 24 waves of a region, not for 3 of a patch
    target = torch.stack([disc, stripes])
    whole = head.mask_code.decode(head.mask_code.encode(target.float())) > 0.5
    stage = perfect(head, target.float())[1]
    assert stage.patches is not None
    refined = head.assemble(stage.patches)[0] > 0.5
    (whole_disc, whole_stripes), (refined_disc, refined_stripes) = (
        ((found & target).sum((1, 2)) / (found | target).sum((1, 2))).tolist() for found in (whole, refined)
    )
    assert min(whole_disc, refined_disc) > 0.98
    assert whole_stripes < 0.6 < 0.7 < refined_stripes


@pytest.mark.parametrize("training", [True, False])
def test_dct_mask_has_one_stage_and_no_classes(training: bool) -> None:
    head, (pyramid, detections, targets) = build(refine=False).train(training), scene()
    (stage,) = head(pyramid, detections)
    assert not head.class_specific
    assert stage.mask_logits.shape == (2, 112, 112)
    if training:
        sum(head.loss([stage], targets).values()).backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())
    (none,) = head(pyramid, scene(0)[1])
    assert compose([none]).shape == (0, 112, 112)
