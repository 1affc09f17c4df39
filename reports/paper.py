"""Tables 2 to 5 of the paper as data, one row with an id for each published row; what is published of public weights.

Names of values are those of our records, where these have them; parameters are trainable ones in millions, `gmacs`
what the paper calls GFLOPs, `fps` taken on an A100. Table 4 is for the heads alone, by subtraction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

HEADS = {
    "mask_rcnn": "Mask R-CNN++",
    "point_rend": "PointRend++",
    "refine_mask": "RefineMask++",
    "effseg": "EffSeg",
    "bmask": "BMask R-CNN++",
    "query_dot": "Query-dot",
    "two_way": "Two-way",
    "patch_dct": "PatchDCT++",
    "transfiner": "Mask Transfiner++",
    "boundary_former": "BoundaryFormer++",
    "torchvision_mask": "Mask R-CNN",
}
"""How tables call heads, the paper's four first."""
MODULES = {"mlp": "MLP", "conv": "Conv", "deform_conv": "DeformConv", "sfm": "SFM", "dense_sfm": "Dense SFM"}
MODULES |= {"convnext": "ConvNeXt", "gated": "Gated", "neighborhood_attention": "Neighborhood attention"}
BACKENDS = {
    "dense": "Dense",
    "pointwise": "Pointwise",
    "neighbors": "Neighbors",
    "sparse_on_dense": "SparseOnDense",
    "sps": "SPS",
}
BACKBONES = {
    "r50_fpn": "R50+FPN",
    "r50_defenc": "R50+DefEnc",
    "r50_tvfpn": "R50+TvFPN",
}
DETECTORS = {
    "fqdet": "FQDet",
    "fqdetv2": "FQDetV2",
    "torchvision": "torchvision v1",
    "torchvision_v2": "torchvision v2",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A published row: what was measured, and its values as printed. Accuracy is on a 0-100 scale, `ap` on val2017.

    `detector` is None for the paper's, FQDet v1. `source` says who published a row that is not of the paper, and where,
    `finishing` by which of our ways its masks were finished.
    """

    id: str
    head: str
    module: str | None
    backbone: str
    schedule: str
    values: dict[str, float]
    detector: str | None = None
    source: str | None = None
    finishing: str | None = None


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """A row of Table 2: what a way of storing refined regions can do."""

    id: str
    backend: str
    example: str | None
    computationally_efficient: bool
    access_to_neighbors: bool
    supports_any_2d_operation: bool
    storage_efficient: bool


def _abilities(backend: str, example: str | None, *abilities: bool) -> Abilities:
    efficient, neighbors, any_operation, storage = abilities
    return Abilities(
        id=f"table2/{backend}",
        backend=backend,
        example=example,
        computationally_efficient=efficient,
        access_to_neighbors=neighbors,
        supports_any_2d_operation=any_operation,
        storage_efficient=storage,
    )


TABLE2 = (
    _abilities("dense", "RefineMask", False, True, True, False),
    _abilities("pointwise", "PointRend", True, False, False, True),
    _abilities("neighbors", None, True, True, False, True),
    _abilities("sparse_on_dense", None, True, True, True, False),
    _abilities("sps", "EffSeg", True, True, True, True),
)

_COSTS = ("params_m", "gmacs", "fps")
_ACCURACY = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l")


def _module(head: str) -> str | None:
    return "sfm" if head == "effseg" else None


def _table3(backbone: str, schedule: str, rows: Mapping[str, tuple[float, ...]]) -> tuple[Row, ...]:
    names = (*_ACCURACY, "ap_test", "ap_star", "apb_star", *_COSTS)
    return tuple(
        Row(
            id=f"table3/{head}-{backbone}-{schedule}",
            head=head,
            module=_module(head),
            backbone=backbone,
            schedule=schedule,
            values=dict(zip(names, values, strict=True)),
        )
        for head, values in rows.items()
    )


_FPN_12 = {
    "mask_rcnn": (38.8, 59.1, 42.2, 19.4, 41.2, 57.4, 39.3, 40.9, 28.6, 37.5, 235.4, 14.4),
    "point_rend": (39.5, 59.3, 42.9, 19.5, 42.2, 58.9, 40.1, 42.4, 31.9, 37.8, 302.9, 10.2),
    "refine_mask": (40.0, 59.4, 43.7, 20.0, 42.2, 60.0, 40.5, 43.1, 32.5, 41.2, 446.3, 10.3),
    "effseg": (40.1, 59.7, 43.5, 20.1, 42.8, 59.4, 40.5, 42.9, 32.4, 38.8, 245.4, 11.3),
}
_FPN_24 = {
    "mask_rcnn": (39.5, 60.2, 43.0, 19.6, 42.0, 57.5, 40.4, 41.7, 29.4, 37.5, 234.7, 14.4),
    "point_rend": (40.6, 60.7, 44.2, 21.0, 43.1, 60.0, 41.2, 43.2, 32.4, 37.8, 302.2, 10.3),
    "refine_mask": (40.8, 60.7, 44.2, 20.5, 43.2, 60.6, 41.7, 44.0, 33.3, 41.2, 445.7, 10.3),
    "effseg": (41.1, 61.1, 44.7, 20.7, 43.6, 60.9, 41.6, 43.8, 33.0, 38.8, 244.5, 11.3),
}
_DEFENC_12 = {
    "mask_rcnn": (40.7, 61.7, 44.2, 21.8, 43.4, 59.3, 41.7, 43.4, 30.9, 45.0, 321.8, 11.3),
    "point_rend": (41.5, 62.0, 45.0, 22.3, 44.2, 60.9, 42.5, 44.3, 33.7, 45.3, 387.4, 8.7),
    "refine_mask": (42.0, 62.3, 45.8, 23.0, 44.6, 61.5, 42.7, 45.1, 34.6, 48.7, 529.1, 8.7),
    "effseg": (42.1, 62.3, 45.8, 22.1, 44.8, 61.5, 42.6, 45.0, 34.4, 46.3, 332.6, 9.4),
}
TABLE3 = tuple(
    chain(
        _table3("r50_fpn", "12ep", _FPN_12),
        _table3("r50_fpn", "24ep", _FPN_24),
        _table3("r50_defenc", "12ep", _DEFENC_12),
    )
)

_HEAD_COSTS = {
    "mask_rcnn": (2.9, 70.3, 98.7),
    "point_rend": (3.2, 137.8, 26.5),
    "refine_mask": (6.6, 281.2, 26.5),
    "effseg": (4.2, 80.3, 34.3),
}
TABLE4 = tuple(
    Row(
        id=f"table4/{head}",
        head=head,
        module=_module(head),
        backbone="r50_fpn",
        schedule="12ep",
        values=dict(zip(_COSTS, values, strict=True)),
    )
    for head, values in _HEAD_COSTS.items()
)

_PROCESSING = {
    "mlp": (39.5, 59.0, 43.0, 18.9, 42.2, 58.2, 42.6, 32.1, 38.4, 227.3, 12.2),
    "conv": (39.8, 59.4, 43.1, 19.4, 42.0, 59.3, 42.6, 32.0, 38.5, 234.0, 12.0),
    "deform_conv": (39.8, 59.2, 43.5, 19.9, 42.4, 58.9, 42.5, 31.7, 38.5, 235.0, 11.5),
    "sfm": (40.1, 59.7, 43.5, 20.1, 42.8, 59.4, 42.9, 32.4, 38.8, 245.4, 11.3),
    "dense_sfm": (39.8, 59.1, 43.5, 19.5, 42.5, 59.0, 42.8, 32.3, 38.9, 337.3, 9.2),
}
TABLE5 = tuple(
    Row(
        id=f"table5/{module}",
        head="effseg",
        module=module,
        backbone="r50_fpn",
        schedule="12ep",
        values=dict(zip((*_ACCURACY, "ap_star", "apb_star", *_COSTS), values, strict=True)),
    )
    for module, values in _PROCESSING.items()
)

_AUTHORS = "the paper's authors, log of the last of 12 epochs in github.com/CedricPicron/DetSeg"
_WITH_FQDETV2 = {
    "mask_rcnn": (46.99, 41.28, 62.22, 45.32, 21.78, 44.22, 60.03),
    "point_rend": (46.68, 41.95, 62.17, 45.89, 22.10, 44.92, 60.80),
    "refine_mask": (46.80, 42.65, 62.83, 46.86, 23.16, 45.83, 61.68),
    "effseg": (46.99, 42.39, 62.53, 46.39, 22.50, 45.03, 62.07),
}
_TORCHVISION = {"torchvision": (37.9, 34.6), "torchvision_v2": (47.4, 41.8)}
PUBLISHED = (
    *(
        Row(
            id=f"detseg/{head}",
            head=head,
            module=_module(head),
            backbone="r50_fpn",
            schedule="published",
            values=dict(zip(("box_ap", *_ACCURACY), values, strict=True)),
            detector="fqdetv2",
            source=_AUTHORS,
            finishing="dilated",
        )
        for head, values in _WITH_FQDETV2.items()
    ),
    *(
        Row(
            id=f"torchvision/{detector}",
            head="torchvision_mask",
            module=None,
            backbone="r50_tvfpn",
            schedule="published",
            values={"box_ap": box_ap, "ap": ap},
            detector=detector,
            source="torchvision's documentation of the weights COCO_V1",
            finishing="exact",
        )
        for detector, (box_ap, ap) in _TORCHVISION.items()
    ),
)
"""Models whose weights are public, with what is stated of them: COCO's AP, on val2017.

Nobody states AP* or boundary AP. The models of the paper itself, with FQDet v1, are not public.
"""


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What was published of a head's kind on another detector: mask AP, 0-100, as printed in `source`.

    It is on val2017 unless the name says test-dev. AP*, where it was published, is said with the source.
    """

    head: str
    name: str
    backbone: str
    schedule: str
    ap: float
    source: str


def _elsewhere(head: str, name: str, backbone: str, schedule: str, ap: float, source: str) -> Elsewhere:
    return Elsewhere(head=head, name=name, backbone=backbone, schedule=schedule, ap=ap, source=source)


OTHER_DETECTORS = (
    _elsewhere("bmask", "BMask R-CNN", "R50+FPN", "1x", 36.6, "github.com/hustvl/BMaskR-CNN, README"),
    _elsewhere(
        "query_dot", "Mask2Former", "R50", "50 epochs", 43.7, "github.com/facebookresearch/Mask2Former, model zoo"
    ),
    _elsewhere("query_dot", "Mask DINO", "R50", "50 epochs", 46.1, "github.com/IDEA-Research/MaskDINO, README"),
    _elsewhere("query_dot", "CondInst", "R50+FPN", "1x", 35.7, "github.com/aim-uofa/AdelaiDet, configs/CondInst"),
    _elsewhere("query_dot", "CondInst", "R50+FPN", "3x", 37.5, "github.com/aim-uofa/AdelaiDet, configs/CondInst"),
    _elsewhere("two_way", "MobileSAM", "TinyViT", "zero-shot", 44.3, "github.com/SysCV/sam-hq, README"),
    _elsewhere("two_way", "Light HQ-SAM", "TinyViT", "zero-shot", 45.0, "github.com/SysCV/sam-hq, README"),
    _elsewhere("patch_dct", "DCT-Mask", "R50+FPN", "1x", 36.5, "github.com/aliyun/DCT-Mask, README"),
    _elsewhere(
        "patch_dct", "PatchDCT", "R50+FPN", "1x", 37.2, "github.com/olivia-w12/PatchDCT, README; AP* 40.8 in its paper"
    ),
    _elsewhere("patch_dct", "PatchDCT, two stages", "R50+FPN", "1x", 37.4, "its paper (ICLR 2023), with AP* 41.2"),
    _elsewhere(
        "transfiner", "Mask Transfiner, test-dev", "R50+FPN", "1x", 37.0, "github.com/SysCV/transfiner, issue 11"
    ),
    _elsewhere("transfiner", "Mask Transfiner, test-dev", "R50+FPN", "3x", 39.4, "github.com/SysCV/transfiner, README"),
    _elsewhere("boundary_former", "BoundaryFormer", "R50+FPN", "1x", 36.1, "its paper (CVPR 2022)"),
)
"""Beside no number of ours: detector, schedule and training differ. SAM's kind gets the boxes of FocalNet-DINO.

Of Mask Transfiner's Table 9, whose rows have different schedules, nothing is quoted: see docs/protocols.md.
"""
