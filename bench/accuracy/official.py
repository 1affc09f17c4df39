"""Our columns through the official libraries: pycocotools, and faster-coco-eval for boundaries and LVIS's rules.

Both libraries trust their input and lose or miscount some of it without a word. So they get datasets made from our
columns, and every repair that this includes is named. They mutate what they are given: all objects are fresh.
"""

import contextlib
import copy
import importlib.metadata
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bench.accuracy.one_class import known_classes
from bench.accuracy.predictions import Predictions
from bench.accuracy.protocol import AREA_NAMES, ScoringProtocol
from bench.data.ground_truth import GroundTruth

_Dataset: TypeAlias = dict[str, list[dict[str, Any]]]
"""A dataset as the libraries take it: lists of `images`, `categories` and `annotations`."""


@dataclass(frozen=True, kw_only=True)
class Official:
    """Metrics that a library accumulated, from 0 to 1, -1 for a class without objects; `repairs` of its input in words.

    M are the `caps` of detections, the largest last; recalls are known for all of them, precision for the last.
    """

    library: str
    version: str
    caps: tuple[int, ...]
    precision: Float64[np.ndarray, "T R C A"]
    recall: Float64[np.ndarray, "T C A M"]
    repairs: tuple[str, ...]


def official(
    truth: GroundTruth, predictions: Predictions, protocol: ScoringProtocol, image_ids: Int64[np.ndarray, "I"]
) -> Official:
    """Evaluate some images by pycocotools where it knows the rules, else by faster-coco-eval.

    Raises ValueError where faster-coco-eval is needed and not installed, or cannot express the rules.
    """
    is_plain = not protocol.federated and protocol.iou != "boundary"
    library = "pycocotools" if is_plain else "faster-coco-eval"
    objects, detections, repairs = _datasets(truth, predictions, protocol, image_ids)
    # Both print their progress.
    with contextlib.redirect_stdout(io.StringIO()):
        run = _pycocotools(objects, detections, protocol) if is_plain else _faster(objects, detections, protocol)
        _set_rules(run.params, protocol)
        run.evaluate()
        run.accumulate()
    return Official(
        library=library,
        version=importlib.metadata.version(library),
        caps=_caps(protocol),
        precision=np.asarray(run.eval["precision"])[..., -1],
        recall=np.asarray(run.eval["recall"]),
        repairs=repairs,
    )


def _pycocotools(objects: _Dataset, detections: _Dataset, protocol: ScoringProtocol) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # Not `loadRes`, which fails on an empty list and chooses the area by the fields of the first result.
    indexed = []
    for dataset in (objects, detections):
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        indexed.append(coco)
    return COCOeval(*indexed, protocol.iou)


def _faster(objects: _Dataset, detections: _Dataset, protocol: ScoringProtocol) -> Any:
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ValueError(
            f"{protocol.name} cannot be verified: faster-coco-eval is not installed; boundaries and LVIS's rules are "
            "beyond pycocotools; install it with: pip install 'finegrained-bench[test]'."
        ) from error
    return COCOeval_faster(
        COCO(objects),
        COCO(detections),
        protocol.iou,
        lvis_style=protocol.federated,
        boundary_dilation_ratio=protocol.dilation_ratio,
    )


def _set_rules(params: Any, protocol: ScoringProtocol) -> None:
    """Set what the libraries take as parameters. A range that excludes its end ends one float earlier for them."""
    params.iouThrs = np.array(protocol.iou_thresholds)
    params.areaRng = [
        [low, float(np.nextafter(high, 0)) if protocol.half_open else high] for low, high in protocol.areas
    ]
    params.areaRngLbl = list(AREA_NAMES)
    params.maxDets = list(_caps(protocol))
    params.useCats = int(not protocol.class_agnostic)


def _caps(protocol: ScoringProtocol) -> tuple[int, ...]:
    """Caps of the recalls, the largest last: COCO's are per class. A cap per image was applied before."""
    if protocol.cap_scope == "image":
        return (protocol.cap,)
    return tuple(sorted({min(cap, protocol.cap) for cap in (1, 10)} | {protocol.cap}))


def _datasets(
    truth: GroundTruth, predictions: Predictions, protocol: ScoringProtocol, image_ids: Int64[np.ndarray, "I"]
) -> tuple[_Dataset, _Dataset, tuple[str, ...]]:
    """Objects and detections as the libraries take them, and the repairs in words."""
    if protocol.federated and truth.ignore.any():
        raise ValueError(
            f"{protocol.name} on {truth.name} cannot be verified: {truth.ignore.sum()} objects are marked `ignore`; "
            "LVIS's rules honour that and faster-coco-eval does not; remove the marks, or do without the check."
        )
    repairs = ["Images, objects and predictions are numbered from 1."]
    areas = predictions.mask_area if protocol.detection_area == "mask" else predictions.boxes[:, 2:].prod(1)
    objects = np.isin(truth.image_ids[truth.image], image_ids)
    detections = np.isin(predictions.image_id, image_ids)
    if protocol.cap_scope == "image":
        detections &= _rank_in_image(predictions) < protocol.cap
        repairs.append(f"Only the best {protocol.cap} predictions of every image are kept: the library caps by class.")
    if protocol.class_agnostic:
        predictions = replace(predictions, category_id=known_classes(truth, predictions))
        repairs.append("No class counts: predictions of one that the annotations do not list get their first.")
    detections &= np.isin(predictions.category_id, truth.category_ids)
    if protocol.drop_zero_area:
        objects &= truth.area > 0
        detections &= areas > 0
        repairs.append("Objects and predictions without a pixel are left out.")
    if protocol.federated:
        detections &= ~_uncalled_for(truth, predictions, objects)
        repairs.append("Predictions on images without objects are left out unless their class is known to be absent.")
    if protocol.federated and truth.crowd.any():
        repairs.append("No object is a crowd: LVIS knows none.")
    shared = {
        "images": _images(truth, image_ids),
        "categories": [
            {"id": category, "name": name, "frequency": frequency or "f"}
            for category, name, frequency in zip(
                truth.category_ids.tolist(), truth.category_names, truth.frequencies, strict=True
            )
        ],
    }
    listed = list(_objects(truth, image_ids, np.flatnonzero(objects), protocol))
    scored = list(_detections(truth, image_ids, predictions, areas, np.flatnonzero(detections)))
    known = {**copy.deepcopy(shared), "annotations": listed}
    found = {**shared, "annotations": scored}
    return known, found, tuple(repairs)


def _rank_in_image(predictions: Predictions) -> Int64[np.ndarray, "D"]:
    """Place of every prediction among those of its image, best first from 0, ties in the order of the file."""
    order = np.lexsort((-predictions.score, predictions.image_id))
    image = predictions.image_id[order]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(image, image)
    return rank


def _uncalled_for(
    truth: GroundTruth, predictions: Predictions, objects: Bool[np.ndarray, "G"]
) -> Bool[np.ndarray, "D"]:
    """Predictions that LVIS's rules drop, on images without objects: faster-coco-eval 1.8 fails (IndexError) there."""
    annotated = np.isin(predictions.image_id, truth.image_ids[truth.image[objects]])
    absent = {(truth.image_ids[image], truth.category_ids[category]) for image, category in truth.negative}
    pairs = zip(predictions.image_id, predictions.category_id, strict=True)
    return ~annotated & ~np.fromiter((pair in absent for pair in pairs), bool, len(annotated))


def _images(truth: GroundTruth, image_ids: Int64[np.ndarray, "I"]) -> list[dict[str, Any]]:
    listed: dict[int, dict[str, Any]] = {}
    for image_id, (height, width) in zip(truth.image_ids.tolist(), truth.sizes.tolist(), strict=True):
        lists: dict[str, list[int]] = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        listed[image_id] = {"id": image_id, "height": height, "width": width, **lists}
    for name, rows in (("neg_category_ids", truth.negative), ("not_exhaustive_category_ids", truth.not_exhaustive)):
        for image, category in rows.tolist():
            listed[int(truth.image_ids[image])][name].append(int(truth.category_ids[category]))
    # faster-coco-eval fails on negative ids.
    return [{**listed[image_id], "id": number} for number, image_id in enumerate(image_ids.tolist(), start=1)]


def _objects(
    truth: GroundTruth, image_ids: Int64[np.ndarray, "I"], rows: Int64[np.ndarray, "_"], protocol: ScoringProtocol
) -> Iterator[dict[str, Any]]:
    places = np.searchsorted(image_ids, truth.image_ids[truth.image[rows]]).tolist()
    for number, (row, place) in enumerate(zip(rows.tolist(), places, strict=True), start=1):
        image = int(truth.image[row])
        yield {
            "id": number,
            "image_id": place + 1,
            "category_id": int(truth.category_ids[truth.category[row]]),
            "segmentation": {"size": truth.sizes[image].tolist(), "counts": truth.counts[row]},
            "bbox": truth.scored_boxes[row].tolist(),
            "area": float(truth.area[row]),
            "iscrowd": int(truth.crowd[row] and not protocol.federated),
        }


def _detections(
    truth: GroundTruth,
    image_ids: Int64[np.ndarray, "I"],
    predictions: Predictions,
    areas: Float64[np.ndarray, "D"],
    rows: Int64[np.ndarray, "_"],
) -> Iterator[dict[str, Any]]:
    images = np.searchsorted(truth.image_ids, predictions.image_id[rows]).tolist()
    places = np.searchsorted(image_ids, predictions.image_id[rows]).tolist()
    for number, (row, image, place) in enumerate(zip(rows.tolist(), images, places, strict=True), start=1):
        segmentation = (
            {"size": truth.sizes[image].tolist(), "counts": predictions.counts[row]} if predictions.counts else []
        )
        yield {
            "id": number,
            "image_id": place + 1,
            "category_id": int(predictions.category_id[row]),
            "segmentation": segmentation,
            "bbox": predictions.boxes[row].tolist(),
            "area": float(areas[row]),
            "iscrowd": 0,
            "score": float(predictions.score[row]),
        }
