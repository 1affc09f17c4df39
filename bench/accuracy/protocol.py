"""The rules by which masks are scored, as one value: those of COCO and LVIS, boundary IoU, and AP* and APB*."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

IouType = Literal["bbox", "segm", "boundary"]

IOU_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""0.50 to 0.95 as the official libraries make them: the ninth is 0.8999999999999999, so choose by position."""

RECALLS: tuple[float, ...] = tuple(np.linspace(0, 1, 101).tolist())
"""The recalls at which precision is read."""

AREA_NAMES = ("all", "small", "medium", "large")


@dataclass(frozen=True, kw_only=True)
class ScoringProtocol:
    """How predictions are matched and counted. Two results are comparable where all fields but `name` are equal.

    `iou`: the overlap of boxes, of masks, or the smaller one of masks and of their boundaries, whose width is
    `dilation_ratio` times the image diagonal. `federated`: LVIS's rules, by which a class counts only on images where
    it was looked for; `ignore` is honoured and `iscrowd` is not, the reverse of COCO's. `cap`: detections counted, the
    best ones of every image, or of every class of an image. `detection_area`: whose area puts a detection
    into a size range. `areas`: (low, high) in pixels of all, small, medium and large objects; both ends belong to
    the range, except for `half_open` ones, which end before `high`. `drop_zero_area`: objects whose annotated
    area is 0, whatever their mask, and detections whose area is 0 do not exist; otherwise they are false negatives and
    false positives. `class_agnostic`: all classes are one (`bench.accuracy.one_class`), and the cap is on an image.
    """

    name: str
    iou: IouType = "segm"
    federated: bool = False
    cap: int = 100
    cap_scope: Literal["image", "image_class"] = "image_class"
    detection_area: Literal["mask", "box"] = "mask"
    dilation_ratio: float = 0.02
    areas: tuple[tuple[float, float], ...] = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))
    half_open: bool = False
    drop_zero_area: bool = False
    iou_thresholds: tuple[float, ...] = IOU_THRESHOLDS
    class_agnostic: bool = False


def _lvis(name: str, *, cap: int, iou: IouType = "segm") -> ScoringProtocol:
    return ScoringProtocol(name=name, iou=iou, federated=True, cap=cap, cap_scope="image", drop_zero_area=True)


PRESETS: dict[str, ScoringProtocol] = {
    preset.name: preset
    for preset in (
        ScoringProtocol(name="coco"),
        ScoringProtocol(name="coco-boundary", iou="boundary"),
        ScoringProtocol(name="coco-boxes", iou="bbox", detection_area="box"),
        _lvis("lvis", cap=300),
        _lvis("ap-star", cap=100),
        _lvis("ap-star-300", cap=300),
        _lvis("apb-star", cap=100, iou="boundary"),
    )
}
"""Protocols by name: AP, boundary AP, AP of boxes, LVIS's AP on its own classes, AP* with 100 and (lvis-api) 300 masks,
and APB*."""

VALUE_PREFIXES = {
    "coco": "ap",
    "coco-boundary": "apb",
    "coco-boxes": "box_ap",
    "ap-star": "ap_star",
    "apb-star": "apb_star",
}
"""How the values of a protocol are called in records: `ap`, `ap50`, `ap_s`, `box_ap50`, `ap_star`, `ap_star50`, ..."""

COUNT_PREFIXES = {**VALUE_PREFIXES, "coco-boxes": "box"}
"""How the counts beside these values begin: `ap_classes`, `box_images`, ..."""


def value_name(protocol: str, metric: str) -> str:
    """How a record calls a metric of a protocol: `ap50` of `ap-star` is `ap_star50`, `ar_s` of `coco-boundary` `arb_s`.

    Those of boxes begin with `box_`. Raises KeyError for a protocol that has no name in records.
    """
    prefix = VALUE_PREFIXES[protocol]
    if PRESETS[protocol].iou == "bbox":
        return f"box_{metric}"
    return metric[:2] + prefix.removeprefix("ap") + metric[2:]
