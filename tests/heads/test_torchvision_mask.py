"""torchvision's mask branch: its size, and that it looks at no query."""

import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from heads import Detections, Stage, Targets, torchvision_mask


def make_detections(queries: torch.Tensor) -> Detections:
    regions = len(queries)
    return Detections(
        boxes=torch.tensor([[4.0, 4.0, 60.0, 40.0]]).expand(regions, 4),
        image=torch.zeros(regions, dtype=torch.long),
        queries=queries,
        region=torch.arange(regions),
        labels=torch.arange(regions) % 3,
        scores=torch.ones(regions),
        region_counts=(regions,),
        prediction_counts=(regions,),
    )


def test_size_of_torchvision() -> None:
    with torch.device("meta"):
        head = torchvision_mask.build(torchvision_mask.PRESETS["paper"], 256, 1024, 91)
        original = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).roi_heads
    found = {name: tensor.shape for name, tensor in head.state_dict().items()}
    parts = ("mask_head.", "mask_predictor.")
    assert found == {name: tensor.shape for name, tensor in original.state_dict().items() if name.startswith(parts)}


def test_masks_do_not_depend_on_queries() -> None:
    head = torchvision_mask.build(torchvision_mask.PRESETS["small"], 16, 8, 3)
    generator = torch.Generator().manual_seed(0)
    pyramid = {k: torch.randn(1, 16, 64 // 2**k, 64 // 2**k, generator=generator) for k in range(2, 7)}
    one, other = (head(pyramid, make_detections(queries))[0] for queries in (torch.zeros(3, 8), torch.ones(3, 8)))
    assert one.mask_logits.shape == (3, 28, 28)
    assert one.mask_logits.equal(other.mask_logits)
    assert not torch.allclose(one.mask_logits[0], one.mask_logits[1])


def test_the_loss_is_that_of_mask_rcnn() -> None:
    head = torchvision_mask.build(torchvision_mask.PRESETS["small"], 16, 8, 3)
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[0, :, :32] = True
    targets = Targets(
        masks=masks,
        image=torch.zeros(1, dtype=torch.long),
        index=torch.zeros(2, dtype=torch.long),
        boxes=torch.tensor([[-64.0, 0.0, 64.0, 64.0]] * 2),  # cut at the border of the image
        image_sizes=torch.tensor([[64.0, 64.0]] * 2),
    )
    logits = torch.full((2, 28, 28), -20.0)
    logits[:, :, :14] = 20.0
    assert isinstance(head, torchvision_mask.TorchvisionMask)
    assert head.loss([Stage(side=28, mask_logits=logits)], targets)["mask_28"] < 1e-3
    assert head.loss([Stage(side=28, mask_logits=-logits)], targets)["mask_28"] > 39
