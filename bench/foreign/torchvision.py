"""torchvision's Mask R-CNN on ResNet-50 with FPN, of both versions: its COCO weights under our names.

Names differ by what they begin with. Numbers differ where ours have fewer kinds of layers: fixed normalisation behind a
convolution becomes a part of it, and so does another epsilon. Classes are COCO's category ids there, with gaps.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights, MaskRCNN_ResNet50_FPN_Weights

from bench.data.coco import COCO_CATEGORY_IDS
from bench.foreign.importing import Converted, Published
from bench.foreign.key_map import Entry, listed, shape_of
from bench.foreign.origins import origin as looks_like
from bench.model.build import build
from bench.record import Subject

PAGE = "https://docs.pytorch.org/vision/stable/models.html"

RELEASES = {
    "torchvision": MaskRCNN_ResNet50_FPN_Weights.COCO_V1,
    "torchvision_v2": MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
}
"""The published weights of each detector, as torchvision itself describes them."""

_PLACES = (
    ("backbone.", "backbone.body."),
    ("neck.", "backbone.fpn."),
    ("detector.rpn.", "rpn."),
    ("detector.roi_heads.", "roi_heads."),
    ("head.", "roi_heads."),
)
"""What names begin with: ours, theirs."""

_FORMER_NAMES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)", lambda found: f"{found[1]}.0.{found[2]}"),
    (r"rpn\.head\.conv\.(weight|bias)", lambda found: f"rpn.head.conv.0.0.{found[1]}"),
    (
        r"roi_heads\.mask_head\.mask_fcn(\d+)\.(\w+)",
        lambda found: f"roi_heads.mask_head.{int(found[1]) - 1}.0.{found[2]}",
    ),
)
"""Names of torchvision before its version 0.13, which its first file has, and what they became."""

_COUNTER = "num_batches_tracked"
"""How many batches a BatchNorm has seen; nothing is computed with it."""

_NUM_IDS = 91
"""Logits for the ids 0 to 90: background is 0, ten ids have no category."""

_UNUSED = tuple(sorted(set(range(1, _NUM_IDS)) - set(COCO_CATEGORY_IDS)))
_EPSILON = 1e-5
"""Of every BatchNorm in torchvision, and of ours; that of the first file's frozen ones is 0, which no file says."""

_EXPECTED = "expected maskrcnn_resnet50_fpn or maskrcnn_resnet50_fpn_v2 with COCO's classes"


@dataclass(frozen=True)
class _Making:
    """How one of our tensors is made of some of theirs."""

    how: str
    theirs: tuple[str, ...]
    make: Callable[..., Tensor]

    def of(self, given: Mapping[str, Tensor]) -> Tensor:
        return self.make(*(given[name] for name in self.theirs)).contiguous()


def convert(theirs: Mapping[str, Tensor], origin: str) -> Converted:
    """Recognise tensors and give them our names, every one of theirs used and every one of ours made.

    Rows of masks without a category are left out, and counters of batches. Raises ValueError, beginning with `origin`,
    for other models, and naming tensors that are missing, unknown or of another shape.
    """
    subject = _recognise(theirs, origin)
    with torch.device("meta"):
        model = build(subject)
    like = model.state_dict()
    names = {_new_name(name): name for name in theirs if not name.endswith(_COUNTER)}
    given = {new: theirs[old] for new, old in names.items()}
    is_frozen = f"backbone.body.bn1.{_COUNTER}" not in theirs
    makings = {name: _making(name, given, is_frozen) for name in like}
    tensors = _made(makings, given, like, origin, subject)
    model.load_state_dict(tensors, assign=True)
    metrics = RELEASES[subject.detector or ""].meta["_metrics"]["COCO-val2017"]
    return Converted(
        subject=subject,
        model=model,
        entries=tuple(
            Entry(ours=name, theirs=tuple(names[each] for each in making.theirs), how=making.how)
            for name, making in makings.items()
        ),
        data="COCO train2017, trained by torchvision",
        published=Published(
            box_ap=metrics["box_map"],
            mask_ap=metrics["mask_map"],
            source=f"torchvision's description of {RELEASES[subject.detector or ''].url.rpartition('/')[2]}, val2017",
        ),
    )


def _recognise(theirs: Mapping[str, Tensor], origin: str) -> Subject:
    given = {_new_name(name) for name in theirs}
    if any(name.startswith("roi_heads.keypoint_") for name in given):
        raise ValueError(f"{origin} is a Keypoint R-CNN of torchvision; {_EXPECTED}; give one of these.")
    if not any(name.startswith("roi_heads.mask_predictor.") for name in given):
        what = "a Faster R-CNN of torchvision, without masks" if "rpn.head.cls_logits.weight" in given else None
        raise ValueError(f"{origin} looks like {what or looks_like(theirs)}; {_EXPECTED}; give one of these.")
    if "backbone.body.layer4.2.conv3.weight" not in given or "backbone.body.layer3.6.conv1.weight" in given:
        raise ValueError(
            f"{origin} is a Mask R-CNN of torchvision on another backbone; {_EXPECTED}; give one of these."
        )
    logits = theirs.get("roi_heads.box_predictor.cls_score.weight")
    if logits is not None and len(logits) != _NUM_IDS:
        raise ValueError(
            f"{origin} has {len(logits)} class logits; expected {_NUM_IDS}, of background and COCO's ids 1 to 90; give "
            "weights that were trained on COCO."
        )
    is_second = "roi_heads.box_head.0.0.weight" in given
    return Subject(
        head="torchvision_mask",
        backbone="r50_tvfpn",
        detector="torchvision_v2" if is_second else "torchvision",
        preset="paper",
        schedule="published",
    )


def _new_name(name: str) -> str:
    for pattern, renamed in _FORMER_NAMES:
        found = re.fullmatch(pattern, name)
        if found is not None:
            return renamed(found)
    return name


def _making(ours: str, given: Mapping[str, Tensor], is_frozen: bool) -> _Making:
    """How one of our tensors is made, by its name and by which of theirs there are."""
    begin, theirs = next(pair for pair in _PLACES if ours.startswith(pair[0]))
    name = theirs + ours.removeprefix(begin)
    layer, _, kind = name.rpartition(".")
    norm = f"{layer.removesuffix('.0')}.1"
    if f"{norm}.running_var" in given and not name.startswith("backbone.body."):
        parts = {"weight": ("weight", "running_var"), "bias": ("weight", "bias", "running_mean", "running_var")}[kind]
        places = tuple(f"{norm}.{part}" for part in parts)
        if kind == "weight":
            return _Making("normalisation taken in", (name, *places), _scaled)
        return _Making("normalisation taken in", places, _shift)
    if is_frozen and kind == "weight" and f"{layer}.running_var" in given:
        return _Making("epsilon 0 taken in", (name, f"{layer}.running_var"), _without_epsilon)
    if "box_predictor" in name:
        return _Making("classes, background, unused", (name,), _in_our_order)
    if "mask_fcn_logits" in name:
        return _Making("classes alone", (name,), lambda tensor: tensor[list(COCO_CATEGORY_IDS)])
    return _Making("same", (name,), lambda tensor: tensor)


def _scaled(weight: Tensor, scale: Tensor, variance: Tensor) -> Tensor:
    factor = scale.double() / (variance.double() + _EPSILON).sqrt()
    return (weight.double() * factor[:, None, None, None]).to(weight.dtype)


def _shift(scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    shift = bias.double() - mean.double() * scale.double() / (variance.double() + _EPSILON).sqrt()
    return shift.to(bias.dtype)


def _without_epsilon(scale: Tensor, variance: Tensor) -> Tensor:
    """The scale with which a normalisation with our epsilon does what one with none did."""
    return (scale.double() * ((variance.double() + _EPSILON) / variance.double()).sqrt()).to(scale.dtype)


def _in_our_order(tensor: Tensor) -> Tensor:
    """Rows of classes: one for each, or four for each box."""
    rows = tensor.unflatten(0, (_NUM_IDS, -1))
    return rows[[*COCO_CATEGORY_IDS, 0, *_UNUSED]].flatten(0, 1)


def _made(
    makings: Mapping[str, _Making],
    given: Mapping[str, Tensor],
    like: Mapping[str, Tensor],
    origin: str,
    subject: Subject,
) -> dict[str, Tensor]:
    """Our tensors. Raises ValueError that names what is missing, unknown or of another shape."""
    wanted = dict.fromkeys(name for making in makings.values() for name in making.theirs)
    missing = [name for name in wanted if name not in given]
    tensors: dict[str, Tensor] = {}
    misshapen: list[str] = []
    for ours, making in makings.items():
        if set(making.theirs) & set(missing):
            continue
        try:
            tensors[ours] = making.of(given)
        except (RuntimeError, IndexError):
            misshapen.append(making.theirs[0])
        else:
            if tensors[ours].shape != like[ours].shape:
                found, expected = shape_of(tensors[ours]), shape_of(like[ours])
                misshapen.append(f"{making.theirs[0]}, which becomes {found} instead of {expected}")
    faults: dict[str, Sequence[str]] = {
        "missing": missing,
        "unknown": [name for name in given if name not in wanted],
        "of another shape": misshapen,
    }
    said = "; ".join(f"{len(names)} {fault}: {listed(names)}" for fault, names in faults.items() if names)
    if said:
        raise ValueError(
            f"{origin} was taken for {subject.detector}. Tensors do not fit: {said}; {_EXPECTED}, each tensor once; "
            "give the complete weights of one of these."
        )
    return tensors
