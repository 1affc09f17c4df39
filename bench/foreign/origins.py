"""What weights look like they are of, by the names of their tensors: for the refusal of those of another code."""

import re
from collections.abc import Iterable

_ORIGINS = (
    (r"detector\.selector\.", "a model of this project"),
    (r"heads\.gvd\.", "a model of the authors' code (DetSeg)"),
    (r"backbone\.bottom_up\.", "a model of detectron2"),
    (r"roi_heads\.mask_predictor\.", "a Mask R-CNN of torchvision"),
    (r"rpn\.head\.|backbone\.fpn\.", "a detector of torchvision"),
    (r"(rpn|roi|bbox|mask)_head\.", "a model of mmdetection"),
    (r"sem_seg_head\.", "a MaskDINO or Mask2Former"),
    (r"(model\.)?(transformer|encoder|decoder)\.", "a transformer such as DETR"),
    (r"layer4\.\d+\.conv1\.", "a ResNet without a detector"),
)
"""The most telling first."""


def origin(names: Iterable[str]) -> str:
    """Say in words what tensors of these names look like they are of."""
    given = list(names)
    return next(
        (words for pattern, words in _ORIGINS if any(re.match(pattern, name) for name in given)),
        f"no known model, with names such as {', '.join(given[:3])}",
    )
