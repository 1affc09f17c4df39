"""Mask R-CNN++: its size, its class channels, its loss."""

import torch

from heads import Detections, Stage, Targets, mask_rcnn


def make_detections(labels: list[int]) -> Detections:
    regions = len(labels)
    return Detections(
        boxes=torch.tensor([[4.0, 4.0, 60.0, 40.0]]).expand(regions, 4),
        image=torch.zeros(regions, dtype=torch.long),
        queries=torch.zeros(regions, 16),
        region=torch.arange(regions),
        labels=torch.tensor(labels),
        scores=torch.ones(regions),
        region_counts=(regions,),
        prediction_counts=(regions,),
    )


def test_size_of_the_paper() -> None:
    head = mask_rcnn.build(mask_rcnn.PRESETS["paper"], 256, 256, 80)
    assert sum(parameter.numel() for parameter in head.parameters()) == 2_906_192


def test_a_region_gets_the_mask_of_its_class() -> None:
    head = mask_rcnn.build(mask_rcnn.PRESETS["small"], 16, 16, 3)
    generator = torch.Generator().manual_seed(0)
    pyramid = {k: torch.randn(1, 16, 64 // 2**k + 1, 64 // 2**k + 1, generator=generator) for k in range(2, 8)}
    (stage,) = head(pyramid, make_detections([0, 2, 2]))
    assert stage.mask_logits.shape == (3, 28, 28)
    torch.testing.assert_close(stage.mask_logits[1], stage.mask_logits[2])
    assert not torch.allclose(stage.mask_logits[0], stage.mask_logits[1])


def test_loss_is_small_only_for_the_right_mask() -> None:
    head = mask_rcnn.build(mask_rcnn.PRESETS["small"], 16, 16, 3)
    assert isinstance(head, mask_rcnn.MaskRCNN)
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[0, :, :32] = True
    targets = Targets(
        masks=masks,
        image=torch.zeros(1, dtype=torch.long),
        index=torch.zeros(2, dtype=torch.long),
        boxes=torch.tensor([[0.0, 0.0, 64.0, 64.0]] * 2),
        image_sizes=torch.tensor([[64.0, 64.0]] * 2),
    )
    logits = torch.full((2, 28, 28), -20.0)
    logits[:, :, :14] = 20.0
    stage = Stage(side=28, mask_logits=logits)
    assert head.loss([stage], targets)["mask_28"] < 1e-3
    wrong = Stage(side=28, mask_logits=-logits)
    assert abs(head.loss([wrong], targets)["mask_28"].item() - 2 * 20) < 1e-3  # a mean per region, summed over two
