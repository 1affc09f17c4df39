"""How much predictions and objects overlap: the pairs of one image and class that could match, under any protocol."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64
from pycocotools import mask as coco_mask

from bench.accuracy.boundary import band_ious
from bench.accuracy.predictions import Predictions
from bench.accuracy.protocol import ScoringProtocol
from bench.data.ground_truth import GroundTruth


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Rows of predictions and of objects that share image and class, and how much they overlap."""

    detection: Int64[np.ndarray, "P"]
    truth: Int64[np.ndarray, "P"]
    iou: Float64[np.ndarray, "P"]

    def only(self, keep: Bool[np.ndarray, "P"]) -> "Pairs":
        """The pairs that `keep` chooses."""
        return Pairs(detection=self.detection[keep], truth=self.truth[keep], iou=self.iou[keep])

    def among(self, detections: Int64[np.ndarray, "D"], objects: Int64[np.ndarray, "G"]) -> "Pairs":
        """The pairs of these rows alone, as places in the two lists of rows."""
        detection, truth = _places(self.detection, detections), _places(self.truth, objects)
        return Pairs(detection=detection, truth=truth, iou=self.iou).only((detection >= 0) & (truth >= 0))


class Overlaps:
    """The overlaps of a predictions file with an annotation file; each kind is computed once, when it is asked for.

    `detections` and `objects` are the rows that take part, `detection_group` and `object_group` are equal where these
    share image and class, or whatever else makes them a pair. Left out are pairs below `lowest`, the lowest IoU at
    which anything may match, because matching never looks at them; where it looks at masks below the lowest IoU of
    boundaries, that is `lowest_of_boundaries`.
    """

    def __init__(
        self,
        truth: GroundTruth,
        predictions: Predictions,
        *,
        detections: Int64[np.ndarray, "D"],
        detection_group: Int64[np.ndarray, "D"],
        objects: Int64[np.ndarray, "G"],
        object_group: Int64[np.ndarray, "G"],
        lowest: float,
        lowest_of_boundaries: float = 0.0,
    ) -> None:
        self._truth = truth
        self._predictions = predictions
        self._lowest = lowest
        self._lowest_of_boundaries = max(lowest, lowest_of_boundaries)
        shared = np.intersect1d(detection_group, object_group)
        self._detections = _rows_of_groups(detections, detection_group, shared)
        self._objects = _rows_of_groups(objects, object_group, shared)
        self._known: dict[tuple[str | float | bool, ...], Pairs] = {}

    def pairs(self, protocol: ScoringProtocol) -> Pairs:
        """The overlapping pairs as the protocol measures them. Raises ValueError for boxes where it needs masks."""
        crowd = self._truth.crowd & (not protocol.federated)
        if protocol.iou == "bbox":
            return self._simple("bbox", crowd)
        if len(self._predictions.counts) < len(self._predictions.score):
            raise ValueError(
                f"{self._predictions.name} holds boxes and no masks; expected masks, which protocol {protocol.name} "
                'compares; write a "segmentation" into every result, or say `boxes`: the AP of boxes by COCO\'s rules.'
            )
        if protocol.iou == "segm":
            return self._simple("segm", crowd)
        return self._boundary(protocol.dilation_ratio, crowd)

    def bands(self, protocol: ScoringProtocol) -> Pairs:
        """The IoU of the boundaries alone, of pairs whose masks overlap enough; 1 for crowds, which have none."""
        return self._masks_and_bands(protocol.dilation_ratio, self._truth.crowd & (not protocol.federated))[1]

    def _simple(self, kind: Literal["bbox", "segm"], crowd: Bool[np.ndarray, "all_G"]) -> Pairs:
        key = (kind, bool(crowd.any()))
        if key not in self._known:
            compare = self._boxes if kind == "bbox" else self._masks
            found = [
                _at_least(self._lowest, compare(detections, objects, crowd[objects]), detections, objects)
                for detections, objects in zip(self._detections, self._objects, strict=True)
            ]
            self._known[key] = _joined(found)
        return self._known[key]

    def _boxes(
        self, detections: Int64[np.ndarray, "d"], objects: Int64[np.ndarray, "g"], crowd: Bool[np.ndarray, "g"]
    ) -> Float64[np.ndarray, "d g"]:
        return coco_mask.iou(
            self._predictions.boxes[detections], self._truth.scored_boxes[objects], crowd.astype(np.uint8)
        )

    def _masks(
        self, detections: Int64[np.ndarray, "d"], objects: Int64[np.ndarray, "g"], crowd: Bool[np.ndarray, "g"]
    ) -> Float64[np.ndarray, "d g"]:
        """Intersection over union; for crowds, of which a detection may be any part, over the detection's area."""
        size = self._truth.sizes[self._truth.image[objects[0]]].tolist()
        ours = [{"size": size, "counts": self._predictions.counts[row]} for row in detections]
        theirs = [{"size": size, "counts": self._truth.counts[row]} for row in objects]
        return coco_mask.iou(ours, theirs, crowd.astype(np.uint8))

    def _boundary(self, ratio: float, crowd: Bool[np.ndarray, "all_G"]) -> Pairs:
        """The smaller one of the IoU of masks and that of their boundaries; only that of masks for crowds."""
        key = (ratio, bool(crowd.any()))
        if key not in self._known:
            masks, bands = self._masks_and_bands(ratio, crowd)
            iou = np.where(crowd[masks.truth], masks.iou, np.minimum(masks.iou, bands.iou))
            self._known[key] = replace(masks, iou=iou).only(iou >= self._lowest_of_boundaries)
        return self._known[key]

    def _masks_and_bands(self, ratio: float, crowd: Bool[np.ndarray, "all_G"]) -> tuple[Pairs, Pairs]:
        """The IoU of masks and that of their boundaries, of the same pairs; that of boundaries is 1 for crowds.

        The pairs of masks are all that is needed: the smaller one is never above the IoU of masks (boundary-iou-api).
        """
        masks = self._simple("segm", crowd)
        masks = masks.only(masks.iou >= self._lowest_of_boundaries)
        key = ("bands", ratio, bool(crowd.any()))
        if key not in self._known:
            single = ~crowd[masks.truth]
            iou = np.ones(len(masks.iou))
            iou[single] = band_ious(self._truth, self._predictions, masks.detection[single], masks.truth[single], ratio)
            self._known[key] = replace(masks, iou=iou)
        return masks, self._known[key]


def _rows_of_groups(
    rows: Int64[np.ndarray, "N"], group: Int64[np.ndarray, "N"], wanted: Int64[np.ndarray, "W"]
) -> list[Int64[np.ndarray, "_"]]:
    """The rows of each wanted group, in their order. `wanted` ascends and every one of it occurs."""
    order = np.argsort(group, kind="stable")
    begins = np.searchsorted(group[order], wanted, side="left").tolist()
    ends = np.searchsorted(group[order], wanted, side="right").tolist()
    return [rows[order[begin:end]] for begin, end in zip(begins, ends, strict=True)]


def _places(rows: Int64[np.ndarray, "N"], listed: Int64[np.ndarray, "K"]) -> Int64[np.ndarray, "N"]:
    """Where each row is in a list of rows; -1 where it is not."""
    place = np.full(max(rows.max(initial=-1), listed.max(initial=-1)) + 1, -1)
    place[listed] = np.arange(len(listed))
    return place[rows]


def _at_least(
    lowest: float,
    iou: Float64[np.ndarray, "d g"],
    detections: Int64[np.ndarray, "d"],
    objects: Int64[np.ndarray, "g"],
) -> Pairs:
    first, second = np.nonzero(iou >= lowest)
    return Pairs(detection=detections[first], truth=objects[second], iou=iou[first, second])


def _joined(parts: list[Pairs]) -> Pairs:
    nothing = Pairs(detection=np.zeros(0, np.int64), truth=np.zeros(0, np.int64), iou=np.zeros(0))
    return Pairs(
        detection=np.concatenate([part.detection for part in [nothing, *parts]]),
        truth=np.concatenate([part.truth for part in [nothing, *parts]]),
        iou=np.concatenate([part.iou for part in [nothing, *parts]]),
    )
