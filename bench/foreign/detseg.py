"""The authors' own code (github.com/CedricPicron/DetSeg): whose tensors they are, and the same under our names."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bench.foreign.key_map import KeyMap
from bench.model.build import build
from bench.record import Subject

KEYS = KeyMap.read(Path(__file__).with_name("detseg_keys.tsv"))

_IGNORED = ("backbone.in_norm_mean", "backbone.in_norm_std")
"""Mean and deviation of ImageNet, by which both normalise."""

_NECKS = {"fpn": "r50_fpn", "defenc": "r50_defenc"}
_HEADS = ("effseg", "refine_mask", "point_rend", "mask_rcnn")
"""A model with a point head has the parts of a Mask R-CNN too."""


def to_theirs(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a whole model the names and shapes that the authors' code has, without its normalisation.

    Raises ValueError for a model with parts that their code does not have.
    """
    return KEYS.to_theirs(ours)


def to_ours(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of the authors' code the names and shapes of our model, every one used once and none missing.

    Raises ValueError as `recognise`, and naming what is missing, unknown, extra or of another shape.
    """
    with torch.device("meta"):
        model = build(recognise(theirs))
    named = {name: tensor for name, tensor in theirs.items() if name not in _IGNORED}
    return KEYS.to_ours(named, model.state_dict())


def recognise(theirs: Mapping[str, Tensor]) -> Subject:
    """Say by names and shapes whose weights they are."""
    parts = KEYS.parts_of_theirs(theirs)
    head = next(head for head in _HEADS if head in parts)
    return Subject(
        head=head,
        backend="sps" if head == "effseg" else None,
        module=_module(theirs, parts) if head == "effseg" else None,
        backbone=next(neck for part, neck in _NECKS.items() if part in parts),
        preset="paper",
        schedule="published",
    )


def _module(theirs: Mapping[str, Tensor], parts: tuple[str, ...]) -> str:
    """MLP and Conv have tensors of the same names; a convolution sees nine times as many numbers as it makes."""
    if "sfm" in parts:
        return "sfm"
    made, seen = theirs["heads.gvd.heads.2.proc.0.0.weight"].shape
    return "mlp" if made == seen else "conv"
