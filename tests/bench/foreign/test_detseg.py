"""The authors' code: the key map in both directions for every part, the keys of their own models, and refusals."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.detection import maskrcnn_resnet50_fpn

from bench.foreign import detseg
from bench.foreign.key_map import shape_of
from bench.record import Subject
from tests.bench.foreign.checkpoints import outline, subject, theirs_of

HEADS = ("mask_rcnn", "point_rend", "refine_mask", "effseg")
SHARED = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[3] / ".." / "shared")) / "checkpoints"
GOLDENS = [f"v{version}-{head}" for version in (1, 2) for head in HEADS] + ["v1-effseg-def"]


ROUND = [
    subject("mask_rcnn"),
    subject("point_rend", detector="fqdetv2"),
    subject("refine_mask", neck="r50_defenc"),
    subject("effseg", "sfm", detector="fqdetv2"),
    subject("effseg", "mlp"),
    subject("effseg", "conv", neck="r50_defenc"),
]
"""Every head, module, neck and detector."""


@pytest.mark.parametrize("of", ROUND, ids=lambda of: of.name)
def test_a_round_trip_keeps_every_bit(of: Subject) -> None:
    like = outline(of)
    # Bytes in the place of numbers: a quarter of the memory, and neighbours differ.
    ours = {name: torch.randint(256, tensor.shape, dtype=torch.uint8) for name, tensor in like.items()}
    theirs = detseg.to_theirs(ours)
    assert detseg.recognise(theirs, "The file") == of
    assert sum(tensor.numel() for tensor in theirs.values()) == sum(tensor.numel() for tensor in ours.values())
    back = detseg.KEYS.to_ours(theirs, like)
    assert back.keys() == ours.keys()
    assert all(back[name].equal(ours[name]) for name in ours)


def test_the_same_kernels_computed_in_another_order_have_the_same_keys() -> None:
    """`dense_sfm` is SFM without sparsity: equal weights."""
    assert detseg.to_theirs(outline(subject("effseg", "dense_sfm"))).keys() == theirs_of(
        subject("effseg", "sfm")
    ).keys() - {"backbone.in_norm_mean", "backbone.in_norm_std"}


def test_a_module_that_their_code_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"12 of 571 tensors have no name .*process\.0\.conv\.weight"):
        detseg.to_theirs(outline(subject("effseg", "deform_conv")))


def shared(file: str) -> Path:
    path = SHARED / file
    if not path.is_file():
        pytest.skip(f"no goldens: {path} is not there; set BENCH_TEST_DATA to the folder that holds checkpoints/")
    return path


def golden_keys(golden: str) -> tuple[dict[str, Tensor], Subject]:
    """The keys and shapes of a model of the authors' code, and what it is."""
    meta = json.loads(bytes(np.load(shared(f"{golden}.npz"))["meta"]))
    neck = {"fpn": "r50_fpn", "def": "r50_defenc"}[meta["neck"]]
    detector = None if meta["version"] == 1 else "fqdetv2"
    module = "sfm" if meta["head"] == "effseg" else None
    keys = {name: torch.empty(shape, device="meta") for name, shape in meta["keys"].items()}
    return keys, subject(meta["head"], module, neck=neck, detector=detector)


@pytest.mark.parametrize("golden", GOLDENS)
def test_the_keys_of_the_authors_models_map_completely(golden: str) -> None:
    keys, of = golden_keys(golden)
    found = detseg.convert(keys, golden)
    assert found.subject == of
    used = [name for entry in found.entries for name in entry.theirs]
    assert sorted(used) == sorted(keys.keys() - {"backbone.in_norm_mean", "backbone.in_norm_std"})
    assert (found.published is not None) == golden.startswith("v2")
    # The oracle: a table of which tensor is which that was made by comparing values.
    rows = [line.split("\t") for line in shared("keys.tsv").read_text().splitlines()[1:]]
    known = {(row[0], row[1]): row[2] for row in rows if row[4] in ("same", "reshaped")}
    ours, compared = found.model.state_dict(), 0
    for entry in found.entries:
        theirs = known.get((entry.ours, shape_of(ours[entry.ours])))
        if theirs in keys:  # what both necks call alike has one line there
            assert entry.theirs == (theirs,)
            compared += 1
    assert compared > 0.9 * len(ours)


def without(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}


def changed(**changes: tuple[int, ...]) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    filled = {name.replace("__", "."): torch.empty(shape, device="meta") for name, shape in changes.items()}
    return lambda state: state | filled


LOGITS = "heads__gvd__heads__0__logits__2__weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(**{LOGITS: (134, 256)}), "is a panoptic model, with 133 classes of things and stuff"),
        (changed(**{LOGITS: (21, 256)}), "has 21 class logits, of 20 classes and no object; expected 81"),
        (changed(**{LOGITS: (92, 256)}), "has 92 class logits, of 91 classes and no object; expected 81"),
        (changed(heads__gvd__heads__1__box_score__0__weight=(1,)), "that the authors call FQDetV2 too"),
        (
            changed(heads__gvd__group_init_sel__post__0__module_list__20__lin__bias=(256,)),
            "that the authors call FQDetV2 too",
        ),
        (without("core.body.lateral_convs.3"), "has an FPN without the level P2"),
        (without("core."), "has another neck, of tensors such as none"),
        (changed(backbone__body__layer3__6__conv1__weight=(256, 1024, 1, 1)), "has another backbone, of 266 tensors"),
        (without("backbone.body."), "has another backbone, of 0 tensors such as none; expected ResNet-50"),
        (without("heads.gvd.heads.2."), "has no mask head that is known here"),
        (without("heads.gvd.heads.2.proc.1.4.bias"), "1 missing: heads.gvd.heads.2.proc.1.4.bias; expected the 597"),
        (without("heads.gvd.heads.2.proc"), "a processing module that is not known here"),
        (changed(heads__gvd__heads__2__dcn__weight=(1,)), "1 unknown: heads.gvd.heads.2.dcn.weight"),
        (changed(heads__gvd__heads__2__point_head__fc_logits__bias=(80,)), "1 extra: heads.gvd.heads.2.point_head"),
        (
            changed(backbone__body__conv1__weight=(64, 3, 3, 3)),
            "taken for effseg (mlp) with fqdet on r50_fpn. Tensors do not fit: 1 of another shape: "
            "backbone.body.conv1.weight 64x3x3x3 instead of 64x3x7x7",
        ),
    ],
)
def test_other_models_are_refused_by_name(change: Callable[[dict[str, Tensor]], dict[str, Tensor]], said: str) -> None:
    with pytest.raises(ValueError, match=r"^The file ") as caught:
        detseg.convert(change(theirs_of(subject("effseg", "mlp"))), "The file")
    assert said in str(caught.value)


def test_weights_of_other_code_are_told_what_they_look_like() -> None:
    with torch.device("meta"):
        state = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    with pytest.raises(ValueError, match="The file looks like a Mask R-CNN of torchvision; expected one of the four"):
        detseg.convert(state, "The file")
