"""Who matched whom: the one table from which every AP, curve and interval comes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from bench.accuracy.overlap import Overlaps, Pairs
from bench.accuracy.predictions import Predictions
from bench.accuracy.protocol import ScoringProtocol
from bench.accuracy.selection import Entries, ranks
from bench.data.ground_truth import GroundTruth
from bench.data.image_ids import original

_HIGHEST_LIMIT = 1 - 1e-10
"""What a threshold of 1 asks for (pycocotools): rounding must not part equal masks."""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Counted detections and objects under one protocol; A area ranges, T IoU thresholds.

    Detections are ordered by category, falling score, image, place in the file: the order in which precision and
    recall are accumulated. `image` and `category` are positions in `image_ids` (the images of the run that the
    annotation file lists, ascending) and `category_ids`; `rank` is the place among the detections of the same image and
    category, best first from 0. `matched`: a true positive. `ignored`: neither true nor false positive; never both.
    `truth_*` are the objects, ordered by category, image, place in the file; those `truth_ignored` do not count as
    missed.
    """

    protocol: ScoringProtocol
    image_ids: Int64[np.ndarray, "I"]
    category_ids: Int64[np.ndarray, "C"]
    frequencies: tuple[str, ...]
    image: Int32[np.ndarray, "D"]
    category: Int32[np.ndarray, "D"]
    score: Float64[np.ndarray, "D"]
    rank: Int32[np.ndarray, "D"]
    matched: Bool[np.ndarray, "A T D"]
    ignored: Bool[np.ndarray, "A T D"]
    truth_image: Int32[np.ndarray, "G"]
    truth_category: Int32[np.ndarray, "G"]
    truth_ignored: Bool[np.ndarray, "A G"]


def match(
    truth: GroundTruth,
    predictions: Predictions,
    protocols: Sequence[ScoringProtocol],
    *,
    images: Collection[int] | None = None,
    overlaps: Overlaps | None = None,
) -> list[Matches]:
    """Match predictions to objects under several protocols, which share the overlaps they have in common.

    `overlaps` are of at least the pairs that share image and class, if they were measured before.

    `images` are the ids of the images that the model was run on, None for all of the annotation file; left out are
    those that the file does not list, and predictions on other images. Per image and class, detections choose in the
    order of their scores, at every threshold anew: the free object of the largest IoU that reaches the threshold, an
    ignored one only where no other does (pycocotools, lvis-api). Raises ValueError where a protocol compares masks and
    there are only boxes.
    """
    entries = Entries(truth, predictions, images)
    detections = [entries.detections(protocol) for protocol in protocols]
    objects = [entries.objects(protocol) for protocol in protocols]
    if overlaps is None:
        every_detection = union(detections)
        every_object = union(objects)
        overlaps = Overlaps(
            truth,
            predictions,
            detections=every_detection,
            detection_group=entries.detection_group[every_detection],
            objects=every_object,
            object_group=entries.object_group[every_object],
            lowest=min((_limits(protocol).min() for protocol in protocols), default=1.0),
        )
    return [
        _match(entries, protocol, rows, columns, overlaps.pairs(protocol))
        for protocol, rows, columns in zip(protocols, detections, objects, strict=True)
    ]


def merge(parts: Sequence[Matches]) -> Matches:
    """Join the matches of disjoint sets of images, as if all had been matched at once.

    Raises ValueError for parts of different protocols or categories, for an image that is in two parts, and for none.
    """
    if not parts:
        raise ValueError("There are no matches to merge; expected those of at least one set of images; give some.")
    first = parts[0]
    for part in parts[1:]:
        if part.protocol != first.protocol or not np.array_equal(part.category_ids, first.category_ids):
            raise ValueError(
                f"The parts to merge differ in protocol ({first.protocol.name}, {part.protocol.name}) or in their "
                "categories; expected parts of one evaluation; match all images by the same protocol and annotations."
            )
    image_ids = np.sort(np.concatenate([part.image_ids for part in parts]))
    twice = image_ids[1:][image_ids[1:] == image_ids[:-1]]
    if len(twice):
        raise ValueError(
            f"Image {original(int(twice[0]))} is in more than one of the parts to merge; expected disjoint sets of "
            "images; give every image to one part."
        )
    places = [np.searchsorted(image_ids, part.image_ids).astype(np.int32) for part in parts]
    image = np.concatenate([place[part.image] for place, part in zip(places, parts, strict=True)])
    category = np.concatenate([part.category for part in parts])
    score = np.concatenate([part.score for part in parts])
    truth_image = np.concatenate([place[part.truth_image] for place, part in zip(places, parts, strict=True)])
    truth_category = np.concatenate([part.truth_category for part in parts])
    order = np.lexsort((image, -score, category))
    truth_order = np.lexsort((truth_image, truth_category))
    return Matches(
        protocol=first.protocol,
        image_ids=image_ids,
        category_ids=first.category_ids,
        frequencies=first.frequencies,
        image=image[order],
        category=category[order],
        score=score[order],
        rank=np.concatenate([part.rank for part in parts])[order],
        matched=np.concatenate([part.matched for part in parts], axis=2)[:, :, order],
        ignored=np.concatenate([part.ignored for part in parts], axis=2)[:, :, order],
        truth_image=truth_image[truth_order],
        truth_category=truth_category[truth_order],
        truth_ignored=np.concatenate([part.truth_ignored for part in parts], axis=1)[:, truth_order],
    )


def _match(
    entries: Entries,
    protocol: ScoringProtocol,
    detections: Int64[np.ndarray, "D"],
    objects: Int64[np.ndarray, "G"],
    pairs: Pairs,
) -> Matches:
    """Match under one protocol; `pairs` may hold detections and objects that do not take part in it, or never match."""
    truth, predictions = entries.truth, entries.predictions
    shunned = truth.ignore if protocol.federated else truth.crowd
    truth_ignored = shunned[objects] | outside_sizes(truth.area[objects], protocol)
    outside = outside_sizes(entries.detection_area(protocol)[detections], protocol)
    if protocol.federated:
        outside |= entries.not_exhaustive(detections)
    group = entries.detection_group[detections]
    limits = _limits(protocol)
    of_class = entries.detection_group[pairs.detection] == entries.object_group[pairs.truth]
    matched, excused, _ = choose(
        pairs.only(of_class & (pairs.iou >= limits.min(initial=1.0))).among(detections, objects),
        group,
        truth_ignored.T,
        truth.crowd[objects] & (not protocol.federated),
        limits,
    )
    excused |= ~matched & outside.T[:, :, None]
    return Matches(
        protocol=protocol,
        image_ids=truth.image_ids[entries.ran],
        category_ids=truth.category_ids,
        frequencies=truth.frequencies,
        image=entries.place[entries.image[detections]].astype(np.int32),
        category=entries.category[detections].astype(np.int32),
        score=predictions.score[detections],
        rank=ranks(group).astype(np.int32),
        matched=np.ascontiguousarray(matched.transpose(1, 2, 0)),
        ignored=np.ascontiguousarray(excused.transpose(1, 2, 0)),
        truth_image=entries.place[truth.image[objects]].astype(np.int32),
        truth_category=truth.category[objects].astype(np.int32),
        truth_ignored=truth_ignored,
    )


def choose(
    pairs: Pairs,
    group: Int64[np.ndarray, "D"],
    ignored: Bool[np.ndarray, "G A"],
    crowd: Bool[np.ndarray, "G"],
    limits: Float64[np.ndarray, "T"],
) -> tuple[Bool[np.ndarray, "D A T"], Bool[np.ndarray, "D A T"], Int32[np.ndarray, "D A T"]]:
    """Which detections took an object, which an ignored one, and which one it was, -1 for none.

    Detections are in the order in which they choose, those of a `group` among the same objects.

    Groups do not meet, so all choose at once: first the best detection of every group, then the second, ... Among
    objects of equal IoU the last one is taken (pycocotools). Crowds are never used up.
    """
    taken = np.zeros((*ignored.shape, len(limits)), bool)
    matched = np.zeros((len(group), ignored.shape[1], len(limits)), bool)
    excused = np.zeros_like(matched)
    whom = np.full(matched.shape, -1, np.int32)
    choosers, chooser = np.unique(pairs.detection, return_inverse=True)
    turn = ranks(group[choosers])[chooser]
    order = np.lexsort((pairs.truth, pairs.iou, pairs.detection, turn))
    for begin, end in pairwise(np.searchsorted(turn[order], np.arange(turn.max(initial=-1) + 2)).tolist()):
        rows = order[begin:end]
        detection, object_, num = pairs.detection[rows], pairs.truth[rows], end - begin
        first = np.flatnonzero(np.diff(detection, prepend=-1))
        free = (pairs.iou[rows, None, None] >= limits) & ~taken[object_]
        # Objects that count come before all ignored ones, and of each kind the later pair is the better one.
        preference = np.arange(1, num + 1, dtype=np.int32)[:, None] + np.where(ignored[object_], 0, num).astype(
            np.int32
        )
        best = np.maximum.reduceat(np.where(free, preference[:, :, None], 0), first)
        matched[detection[first]] = best > num
        excused[detection[first]] = (best > 0) & (best <= num)
        chosen = np.nonzero(best)
        winner = object_[(best[chosen] - 1) % num]
        taken[winner, *chosen[1:]] = ~crowd[winner]
        whom[detection[first][chosen[0]], *chosen[1:]] = winner
    return matched, excused, whom


def _limits(protocol: ScoringProtocol) -> Float64[np.ndarray, "T"]:
    return np.minimum(protocol.iou_thresholds, _HIGHEST_LIMIT)


def outside_sizes(area: Float64[np.ndarray, "N"], protocol: ScoringProtocol) -> Bool[np.ndarray, "A N"]:
    """Which areas lie outside each size range of the protocol."""
    low, high = np.array(protocol.areas, np.float64).T[:, :, None]
    return (area < low) | ((area >= high) if protocol.half_open else (area > high))


def union(rows: Sequence[Int64[np.ndarray, "_"]]) -> Int64[np.ndarray, "N"]:
    """All rows of several lists, each once and ascending."""
    return np.unique(np.concatenate([np.zeros(0, np.int64), *rows]))
