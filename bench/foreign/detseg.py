"""The authors' own code (github.com/CedricPicron/DetSeg): which model a checkpoint is of, and the same under our names.

What is public of it are four models with FQDetV2 on ResNet-50 with FPN, one for each head. Models of the paper itself
have the same keys but for the detector, and are recognised too.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bench.foreign.importing import Converted, Published
from bench.foreign.key_map import KeyMap, listed
from bench.foreign.origins import origin as looks_like
from bench.model.build import build
from bench.record import Subject

PAGE = "https://github.com/CedricPicron/DetSeg"

KEYS = KeyMap.read(Path(__file__).with_name("detseg_keys.tsv"))

_DATA = "COCO train2017, trained by the authors' code"


def _published(config: str, box_ap: float, mask_ap: float) -> Published:
    return Published(box_ap=box_ap, mask_ap=mask_ap, source=f"log of the last epoch of {config} in {PAGE}, val2017")


PUBLISHED = {
    "mask_rcnn": _published("sel_v381", 46.99, 41.28),
    "point_rend": _published("sel_v382", 46.68, 41.95),
    "refine_mask": _published("sel_v383", 46.80, 42.65),
    "effseg": _published("sel_v384", 46.99, 42.39),
}
"""What the authors state for FQDetV2 on R50-FPN, 12 epochs, by head."""

_IGNORED = ("backbone.in_norm_mean", "backbone.in_norm_std")
"""Mean and deviation of ImageNet, by which both normalise."""

_NECKS = {"fpn": "r50_fpn", "defenc": "r50_defenc"}
_HEADS = ("effseg", "refine_mask", "point_rend", "mask_rcnn")
"""A model with a point head has the parts of a Mask R-CNN too."""

_BACKBONE = "backbone.body."
_DETECTOR = "heads.gvd."
_CLASS_LOGITS = ("heads.gvd.heads.0.logits.weight", "heads.gvd.heads.0.logits.2.weight")
"""Of FQDetV2 and FQDet."""
_PROCESS = "heads.gvd.heads.2.proc.0.0.weight"
_OTHER_V2 = ("heads.gvd.heads.1.box_score.", "heads.gvd.group_init_sel.post.0.module_list.20.")

_NUM_CLASSES = 80
_NUM_PANOPTIC = 133

_PUBLIC = "expected one of the four instance models (Mask R-CNN++, PointRend++, RefineMask++, EffSeg)"


def to_theirs(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a whole model the names and shapes that the authors' code has, without its normalisation.

    Raises ValueError for a model with parts that their code does not have.
    """
    return KEYS.to_theirs(ours)


def to_ours(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of the authors' code the names and shapes of our model, every one used once and none missing.

    Raises ValueError as `recognise`, and naming what is missing, unknown, extra or of another shape.
    """
    return convert(theirs, "The checkpoint").model.state_dict()


def convert(theirs: Mapping[str, Tensor], origin: str) -> Converted:
    """As `to_ours`, with what was recognised. Raises ValueError as that, beginning with `origin`."""
    subject = recognise(theirs, origin)
    with torch.device("meta"):
        model = build(subject)
    like = model.state_dict()
    named = {name: tensor for name, tensor in theirs.items() if name not in _IGNORED}
    try:
        tensors = KEYS.to_ours(named, like)
    except ValueError as error:
        raise ValueError(f"{origin} was taken for {described(subject)}. {error}") from error
    model.load_state_dict(tensors, assign=True)
    return Converted(
        subject=subject,
        model=model,
        entries=KEYS.entries(like),
        data=_DATA,
        published=PUBLISHED.get(subject.head or "") if _is_public_kind(subject) else None,
    )


def recognise(theirs: Mapping[str, Tensor], origin: str) -> Subject:
    """Say by names and shapes whose weights they are. Raises ValueError, beginning with `origin`, for other models."""
    if not any(name.startswith(_DETECTOR) for name in theirs):
        raise ValueError(
            f"{origin} looks like {looks_like(theirs)}; {_PUBLIC} of the authors' code; download one from {PAGE}."
        )
    if any(name.startswith(_OTHER_V2) for name in theirs):
        raise ValueError(
            f"{origin} has the detector that the authors call FQDetV2 too, with 21 anchors a cell and a score of "
            f"boxes: it is of their detection models and has no mask head; {_PUBLIC}; download one from {PAGE}."
        )
    parts = KEYS.parts_of_theirs(theirs)
    _check_classes(theirs, origin)
    _check_backbone(theirs, origin)
    neck = next((neck for part, neck in _NECKS.items() if part in parts), None)
    if neck is None:
        raise ValueError(
            f"{origin} has {_other_neck(theirs)}; expected FPN or DefEnc with the levels P2 to P7; give a checkpoint "
            "with one of these."
        )
    head = next((head for head in _HEADS if head in parts), None)
    if head is None:
        raise ValueError(f"{origin} has no mask head that is known here; {_PUBLIC}; download one from {PAGE}.")
    return Subject(
        head=head,
        backend="sps" if head == "effseg" else None,
        module=_module(theirs, parts, origin) if head == "effseg" else None,
        backbone=neck,
        preset="paper",
        schedule="published",
        detector="fqdetv2" if "fqdetv2" in parts else None,
    )


def described(subject: Subject) -> str:
    """A subject in words, such as "effseg (sfm) with fqdetv2 on r50_fpn"."""
    module = f" ({subject.module})" if subject.module else ""
    return f"{subject.head}{module} with {subject.detector or 'fqdet'} on {subject.backbone}"


def _is_public_kind(subject: Subject) -> bool:
    return subject.detector == "fqdetv2" and subject.backbone == "r50_fpn" and subject.module in (None, "sfm")


def _check_classes(theirs: Mapping[str, Tensor], origin: str) -> None:
    logits = next((theirs[name] for name in _CLASS_LOGITS if name in theirs), None)
    if logits is None or logits.shape[0] == _NUM_CLASSES + 1:
        return
    found = logits.shape[0] - 1
    if found == _NUM_PANOPTIC:
        raise ValueError(
            f"{origin} is a panoptic model, with {found} classes of things and stuff; {_PUBLIC}, with {_NUM_CLASSES} "
            f"classes; download one from {PAGE}."
        )
    raise ValueError(
        f"{origin} has {logits.shape[0]} class logits, of {found} classes and no object; expected "
        f"{_NUM_CLASSES + 1}, of COCO's {_NUM_CLASSES} and no object; give a checkpoint that was trained on COCO."
    )


def _check_backbone(theirs: Mapping[str, Tensor], origin: str) -> None:
    """ResNet-50 has bottlenecks, unlike ResNet-34, and six of them in its third part, unlike ResNet-101."""
    own, deeper = ("layer1.0.conv3.weight", "layer3.5.conv1.weight"), "layer3.6.conv1.weight"
    if not all(f"{_BACKBONE}{name}" in theirs for name in own) or f"{_BACKBONE}{deeper}" in theirs:
        found = [name for name in theirs if name.startswith(_BACKBONE)]
        raise ValueError(
            f"{origin} has another backbone, of {len(found)} tensors such as {listed(found[-2:]) or 'none'}; expected "
            "ResNet-50; give a checkpoint with that."
        )


def _other_neck(theirs: Mapping[str, Tensor]) -> str:
    found = [name for name in theirs if name.startswith("core.")]
    if any(name.startswith("core.body.lateral_convs.") for name in found):
        return "an FPN without the level P2, as the authors' models that detect boxes alone"
    return f"another neck, of tensors such as {listed(found[:2]) or 'none'}"


def _module(theirs: Mapping[str, Tensor], parts: tuple[str, ...], origin: str) -> str:
    """MLP and Conv have tensors of the same names; a convolution sees nine times as many numbers as it makes."""
    if "sfm" in parts:
        return "sfm"
    if "mlp" not in parts or _PROCESS not in theirs or theirs[_PROCESS].ndim != 2:
        raise ValueError(
            f"{origin} has an EffSeg head with a processing module that is not known here; expected SFM, Conv or MLP; "
            "give a checkpoint with one of these."
        )
    made, seen = theirs[_PROCESS].shape
    return "mlp" if made == seen else "conv"
