"""Average precision: from who matched whom to AP per size, IoU threshold and class, as pycocotools accumulates it.

Walking down the detections of a class by score, recall is the share of its objects found so far, precision the share of
true positives. AP is the mean over 101 recalls of the best precision at that recall or a higher one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bench.accuracy.matching import Matches
from bench.accuracy.protocol import AREA_NAMES, RECALLS, ScoringProtocol

_RECALLS = np.array(RECALLS)

EPSILON = float(np.spacing(1))
"""Added to the number of counted detections, as the official libraries do: one true positive alone is not quite 1."""

_FREQUENCIES = ("r", "c", "f")


@dataclass(frozen=True, kw_only=True)
class Average:
    """Scope of a mean: one area range and some IoU thresholds, by position, and a choice of classes."""

    area: int
    thresholds: tuple[int, ...]
    classes: Bool[np.ndarray, "C"]


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """The AP metrics of one class, 0-100, None where none of its objects counts.

    `num_objects` are those that count in `ap`, so no crowds; `num_detections` are those under the cap, ignored or not.
    """

    category_id: int
    num_objects: int
    num_detections: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_s: float | None
    ap_m: float | None
    ap_l: float | None


def metrics(matches: Matches) -> dict[str, float]:
    """All metrics of a protocol, 0-100 and not rounded; one that does not exist, for want of an object, is left out.

    `ap` `ap50` `ap75` `ap_s` `ap_m` `ap_l`; `ap_r` `ap_c` `ap_f` where the classes have LVIS's frequencies. Then the
    recall after all detections, averaged likewise: `ar1` `ar10` `ar100` with at most so many of an image and class,
    and `ar_s` `ar_m` `ar_l`. Federated protocols have it at the cap only: `ar300` `ar300_s` `ar300_m` `ar300_l`.
    """
    chosen = averages(matches)
    values = dict(zip(chosen, means(matches, list(chosen.values())), strict=True))
    protocol = matches.protocol
    for cap in sorted({min(cap, protocol.cap) for cap in (1, 10, protocol.cap)}):
        if cap == protocol.cap or not protocol.federated:
            values[f"ar{cap}"] = _percent(_recall(matches, cap)[0])
    recall = _recall(matches, protocol.cap)
    prefix = f"ar{protocol.cap}" if protocol.federated else "ar"
    for area, suffix in _sizes(protocol):
        values[prefix + suffix] = _percent(recall[area])
    return {name: value for name, value in values.items() if value is not None}


def means(matches: Matches, chosen: Sequence[Average]) -> list[float | None]:
    """The AP of each choice, 0-100; None where no object counts."""
    precision = precision_recall(matches).mean(axis=3)
    return [_percent(precision[average.area, average.thresholds][:, average.classes]) for average in chosen]


def num_classes(matches: Matches) -> int:
    """Over how many classes `ap` is averaged: those with an object that counts."""
    return int((_num_objects(matches)[0] > 0).sum())


def same_as_ap(matches: Matches) -> set[str]:
    """Which of `ap_r` `ap_c` `ap_f` is `ap` by another name: all classes with an object have that frequency.

    In cocofied LVIS all are frequent.
    """
    num_objects = _num_objects(matches)[0]
    found = {letter for letter, num in zip(matches.frequencies, num_objects, strict=True) if num > 0}
    return {f"ap_{letter}" for letter in _FREQUENCIES if found == {letter}}


def per_class(matches: Matches) -> list[ClassScore]:
    """The AP of every class, in the order of `category_ids`."""
    precision = precision_recall(matches).mean(axis=3)
    chosen = averages(matches)
    num_objects = _num_objects(matches)[0]
    num_detections = np.diff(class_starts(matches))

    def value(name: str, category: int) -> float | None:
        average = chosen.get(name)
        return _percent(precision[average.area, average.thresholds, category]) if average else None

    return [
        ClassScore(
            category_id=int(category_id),
            num_objects=int(num_objects[category]),
            num_detections=int(num_detections[category]),
            ap=value("ap", category),
            ap50=value("ap50", category),
            ap75=value("ap75", category),
            ap_s=value("ap_s", category),
            ap_m=value("ap_m", category),
            ap_l=value("ap_l", category),
        )
        for category, category_id in enumerate(matches.category_ids)
    ]


def averages(matches: Matches) -> dict[str, Average]:
    """The AP metrics by name and what each is the mean of; an IoU of 0.75 that the protocol lacks has no `ap75`."""
    protocol = matches.protocol
    everything = tuple(range(len(protocol.iou_thresholds)))
    every_class = np.ones(len(matches.category_ids), dtype=bool)
    chosen = {"ap": Average(area=0, thresholds=everything, classes=every_class)}
    for percent in (50, 75):
        # 0.9 is 0.8999999999999999 in the official libraries: thresholds are told apart by nearness.
        near = np.flatnonzero(np.abs(np.array(protocol.iou_thresholds) - percent / 100) < 1e-6)
        if len(near):
            chosen[f"ap{percent}"] = Average(area=0, thresholds=(int(near[0]),), classes=every_class)
    for area, suffix in _sizes(protocol):
        chosen[f"ap{suffix}"] = Average(area=area, thresholds=everything, classes=every_class)
    if any(matches.frequencies):
        for letter in _FREQUENCIES:
            classes = np.array([frequency == letter for frequency in matches.frequencies])
            chosen[f"ap_{letter}"] = Average(area=0, thresholds=everything, classes=classes)
    return chosen


def precision_recall(matches: Matches) -> Float64[np.ndarray, "A T C R"]:
    """Precision 0-1 at the 101 recalls, for every area range, IoU threshold and class; NaN where no object counts."""
    num_objects = _num_objects(matches)
    starts = class_starts(matches)
    num_areas, num_thresholds, _ = matches.matched.shape
    curves = np.full((num_areas, num_thresholds, len(matches.category_ids), len(_RECALLS)), np.nan)
    for area, category in np.argwhere(num_objects):
        here = slice(starts[category], starts[category + 1])
        for threshold in range(num_thresholds):
            curves[area, threshold, category] = _curve(
                matches.matched[area, threshold, here],
                matches.ignored[area, threshold, here],
                int(num_objects[area, category]),
            )
    return curves


def class_starts(matches: Matches) -> Int64[np.ndarray, "_"]:
    """Where the detections of each of the C classes begin, and where the last ones end: C + 1 rows."""
    return np.searchsorted(matches.category, np.arange(len(matches.category_ids) + 1))


def _curve(
    matched: Bool[np.ndarray, "D"], ignored: Bool[np.ndarray, "D"], num_objects: int
) -> Float64[np.ndarray, "R"]:
    """Precision at the recalls, zero beyond the last one reached.

    Precision only rises at a true positive, so no other place can be the best from some recall on.
    """
    places = np.flatnonzero(matched)
    found = np.arange(1, len(places) + 1)
    counted = np.cumsum(~ignored)[places]
    precision = found / (counted + EPSILON)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(found / num_objects, _RECALLS)
    return np.append(best_from_here, 0.0)[first]


def _recall(matches: Matches, cap: int) -> Float64[np.ndarray, "A T C"]:
    """The share of objects found by the best `cap` detections of every image and class; NaN where no object counts."""
    kept = matches.rank < cap
    found = np.array(
        [
            [np.bincount(matches.category[hits & kept], minlength=len(matches.category_ids)) for hits in of_area]
            for of_area in matches.matched
        ]
    )
    num_objects = _num_objects(matches)[:, None]
    return np.where(num_objects > 0, found / np.maximum(num_objects, 1), np.nan)


def _num_objects(matches: Matches) -> Int64[np.ndarray, "A C"]:
    return np.array(
        [
            np.bincount(matches.truth_category[~ignored], minlength=len(matches.category_ids))
            for ignored in matches.truth_ignored
        ]
    )


def _sizes(protocol: ScoringProtocol) -> list[tuple[int, str]]:
    """Position and suffix of the area ranges after the first, which is all."""
    return [(area, f"_{name[0]}") for area, name in enumerate(AREA_NAMES[: len(protocol.areas)]) if area > 0]


def _percent(values: Float64[np.ndarray, "..."]) -> float | None:
    """100 times the mean of the values that exist."""
    present = values[~np.isnan(values)]
    return 100 * float(present.mean()) if present.size else None
