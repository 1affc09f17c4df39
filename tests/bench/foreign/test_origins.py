"""What weights look like, by names that the frameworks give."""

import pytest

from bench.foreign.origins import origin


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("detector.selector.logits.weight", "this project"),
        ("heads.gvd.dec_layers.0.1.norm.weight", "DetSeg"),
        ("backbone.bottom_up.res2.0.conv1.weight", "detectron2"),
        ("roi_heads.mask_predictor.conv5_mask.weight", "a Mask R-CNN of torchvision"),
        ("rpn.head.cls_logits.weight", "a detector of torchvision"),
        ("roi_head.mask_head.conv_logits.weight", "mmdetection"),
        ("sem_seg_head.pixel_decoder.mask_features.weight", "MaskDINO"),
        ("transformer.decoder.layers.0.norm1.weight", "DETR"),
        ("layer4.2.conv1.weight", "a ResNet without a detector"),
        ("blocks.0.attn.qkv.weight", "no known model, with names such as blocks.0.attn.qkv.weight"),
    ],
)
def test_the_framework_is_named(name: str, said: str) -> None:
    assert said in origin(["a.weight", name] if "no known" not in said else [name])
