"""Why predictions are wrong and objects missed, and what match tables look like once one kind of error is mended.

The kinds and what mending them means are those of TIDE (Bolya et al. 2020), at an IoU of 0.5; its error of localisation
is split in two: the box is wrong, or the box is right and the mask in it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int32, Int64

from bench.accuracy.matching import Matches, choose, outside_sizes, union
from bench.accuracy.overlap import Overlaps, Pairs
from bench.accuracy.protocol import ScoringProtocol
from bench.accuracy.selection import Entries, ranks

RIGHT = 0.5
"""The IoU from which on a prediction finds an object."""

NEAR = 0.1
"""The IoU from which on a prediction is about an object, however badly."""

KINDS = ("class", "box", "mask", "both", "duplicate", "background")
"""What is wrong with a prediction that found nothing; objects that nothing is about are the seventh kind, `missed`."""

REPAIRS: dict[str, tuple[str, ...]] = {
    **{kind: (kind,) for kind in KINDS},
    "location": ("box", "mask"),
    "missed": (),
    "false_positives": KINDS,
    "false_negatives": (),
}
"""What can be mended, and the kinds of predictions concerned: `location` is TIDE's Loc, the last two its specials."""

_CLASS, _BOX, _MASK, _BOTH, _DUPLICATE, _BACKGROUND = range(len(KINDS))


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Predictions and objects under one protocol at an IoU of 0.5, and what is wrong; A size ranges.

    Predictions stand in the order in which they choose: by falling score, then as in the file. `found` is the place of
    the object that one found, -1 for none; then `kind` is a place in `KINDS`, else -1. `excused` ones found nothing
    that counts and are not wrong for it: in crowds, or of classes that were not looked for. `target` is the object
    that a prediction of the wrong class or place is about, else -1, and `best` says that it is the first one about
    an object that nothing found. `outside` are those not of a size range. `missed` objects are those that count and
    that nothing found or is about. `image` and `category` are as in `Matches`, as is the order of objects.
    """

    protocol: ScoringProtocol
    image_ids: Int64[np.ndarray, "I"]
    category_ids: Int64[np.ndarray, "C"]
    category_names: tuple[str, ...]
    image: Int32[np.ndarray, "D"]
    category: Int32[np.ndarray, "D"]
    score: Float64[np.ndarray, "D"]
    outside: Bool[np.ndarray, "A D"]
    found: Int32[np.ndarray, "D"]
    excused: Bool[np.ndarray, "D"]
    kind: Int8[np.ndarray, "D"]
    target: Int64[np.ndarray, "D"]
    best: Bool[np.ndarray, "D"]
    truth_image: Int32[np.ndarray, "G"]
    truth_category: Int32[np.ndarray, "G"]
    truth_ignored: Bool[np.ndarray, "A G"]
    missed: Bool[np.ndarray, "G"]

    def counts(self) -> dict[str, int]:
        """How many predictions, of those that count, have an error of each kind, and how many objects are missed."""
        counted = self.kind[~self.excused]
        return {kind: int((counted == place).sum()) for place, kind in enumerate(KINDS)} | {
            "missed": int(self.missed.sum())
        }

    def mended(self, repair: str | None = None) -> Matches:
        """The match table once what `REPAIRS` names is mended; as it is without.

        A prediction about an object that nothing found finds it, if it is the best one, with its score and, for
        `class`, as one of the object's class. All others of the kinds are no longer there. With `missed` and
        `false_negatives` the objects nothing is about, or nothing found, are not asked for; with `false_positives` no
        prediction is wrong, and none finds more for it.
        By size, an object is found by whom it is found by among all sizes.
        """
        concerned = np.isin(self.kind, [KINDS.index(kind) for kind in REPAIRS[repair]] if repair else [])
        finds = concerned & self.best & (repair != "false_positives")
        found = np.where(finds, self.target, self.found)
        gone = np.zeros(len(self.missed), bool)
        if repair == "missed":
            gone = self.missed
        elif repair == "false_negatives":
            gone = ~self.truth_ignored[0]
            gone[self.found[self.found >= 0]] = False
        kept = np.flatnonzero(~concerned | finds)
        found = found[kept]
        category = np.where(found >= 0, np.append(self.truth_category, 0)[found], self.category[kept])
        order = np.lexsort((self.image[kept], -self.score[kept], category))
        kept, found, category = kept[order], found[order], category[order].astype(np.int32)
        truth_ignored = self.truth_ignored | gone
        # An object of another size takes its prediction with it.
        object_ignored = np.append(truth_ignored, np.ones((len(truth_ignored), 1), bool), axis=1)[:, found]
        ignored = np.where(found >= 0, object_ignored, self.excused[kept] | self.outside[:, kept])
        group = category.astype(np.int64) * len(self.image_ids) + self.image[kept]
        return Matches(
            protocol=self.protocol,
            image_ids=self.image_ids,
            category_ids=self.category_ids,
            frequencies=("",) * len(self.category_ids),
            image=self.image[kept],
            category=category,
            score=self.score[kept],
            rank=ranks(group).astype(np.int32),
            matched=((found >= 0) & ~object_ignored)[:, None],
            ignored=ignored[:, None],
            truth_image=self.truth_image,
            truth_category=self.truth_category,
            truth_ignored=truth_ignored,
        )


def across_classes(entries: Entries, protocols: Sequence[ScoringProtocol]) -> Overlaps:
    """The overlaps of predictions and objects of the same image, whatever their classes, as far as errors need them.

    Those that matching needs are among them.
    """
    detections = union([in_order(entries, protocol) for protocol in protocols])
    objects = union([entries.objects(protocol) for protocol in protocols])
    return Overlaps(
        entries.truth,
        entries.predictions,
        detections=detections,
        detection_group=entries.image[detections],
        objects=objects,
        object_group=entries.truth.image[objects],
        lowest=NEAR,
        lowest_of_boundaries=RIGHT,
    )


def in_order(entries: Entries, protocol: ScoringProtocol) -> Int64[np.ndarray, "D"]:
    """Rows of the predictions under the cap by falling score, also those of classes that were not looked for.

    What names the wrong class of an object is wrong about it, whether or not the protocol counts it.
    """
    rows = entries.detections(replace(protocol, federated=False))
    return rows[np.lexsort((rows, -entries.predictions.score[rows]))]


def find(entries: Entries, protocol: ScoringProtocol, overlaps: Overlaps) -> Errors:
    """Match at an IoU of 0.5 and say of everything that is left what is wrong, in the order of TIDE.

    A prediction that found nothing has the first of these errors: it is about an object of its class, but does not
    reach 0.5 with any (`mask` where the boxes of the two overlap by 0.5, else `box`); it reaches 0.5 with an object of
    another class (`class`), or with one of its own that a better one found (`duplicate`); it is about none at all
    (`background`); or anything else (`both` class and place). What it is about, from an IoU of 0.1 on, is told by
    masks, also where boundaries decide whether it is right. `overlaps` are those of `across_classes`.
    """
    truth = entries.truth
    scoring = replace(protocol, iou_thresholds=(RIGHT,))
    rows, objects = in_order(entries, protocol), entries.objects(protocol)
    crowd = truth.crowd[objects] & (not protocol.federated)
    truth_ignored = (truth.ignore[objects] if protocol.federated else crowd) | outside_sizes(
        truth.area[objects], scoring
    )
    counts = ~truth_ignored[0]
    category, truth_category = entries.category[rows], truth.category[objects]

    hits = overlaps.pairs(protocol)
    hits = hits.only(hits.iou >= RIGHT).among(rows, objects)
    same = category[hits.detection] == truth_category[hits.truth]
    matched, excused, whom = choose(
        hits.only(same), entries.detection_group[rows], truth_ignored[:1].T, crowd, np.array([RIGHT])
    )
    found = np.where(matched, whom, -1)[:, 0, 0]
    not_asked = entries.not_exhaustive(rows) & protocol.federated
    not_asked |= ~np.isin(rows, entries.detections(protocol))

    is_found = np.zeros(len(objects), bool)
    is_found[found[found >= 0]] = True
    about = overlaps.pairs(replace(protocol, iou="segm") if protocol.iou == "boundary" else protocol)
    about = about.among(rows, objects)
    about = about.only(counts[about.truth])
    same, hits = same[counts[hits.truth]], hits.only(counts[hits.truth])
    near = about.only(category[about.detection] == truth_category[about.truth])
    nearest, confused = (_closest(pairs, objects, len(rows)) for pairs in (near, hits.only(~same)))
    too_near = hits.only(same & (hits.iou > RIGHT))
    wrong = found < 0
    misplaced = wrong & (nearest >= 0) & ~_any(too_near, len(rows))
    misnamed = wrong & ~misplaced & (confused >= 0)
    boxes = overlaps.pairs(replace(protocol, iou="bbox"))
    boxed = boxes.only(boxes.iou >= RIGHT).among(rows, objects)
    repeats = _any(hits.only(same & is_found[hits.truth]), len(rows))
    kind = np.full(len(rows), _BOTH, np.int8)
    kind[~_any(about.only(about.iou > NEAR), len(rows))] = _BACKGROUND
    kind[repeats] = _DUPLICATE
    kind[misnamed] = _CLASS
    right_box = np.isin(
        _key(np.arange(len(rows)), nearest, len(objects)), _key(boxed.detection, boxed.truth, len(objects))
    )
    kind[misplaced] = np.where(right_box, _MASK, _BOX)[misplaced]
    kind[~wrong] = -1
    target = np.where(misplaced, nearest, np.where(misnamed, confused, -1))
    candidates = np.flatnonzero((target >= 0) & ~np.append(is_found, False)[target])
    wanted, first = np.unique(target[candidates], return_index=True)
    best = np.zeros(len(rows), bool)
    best[candidates[first]] = True
    missed = counts & ~is_found
    missed[wanted] = False
    return Errors(
        protocol=scoring,
        image_ids=truth.image_ids[entries.ran],
        category_ids=truth.category_ids,
        category_names=entries.class_names,
        image=entries.place[entries.image[rows]].astype(np.int32),
        category=category.astype(np.int32),
        score=entries.predictions.score[rows],
        outside=outside_sizes(entries.detection_area(protocol)[rows], scoring),
        found=found,
        excused=excused[:, 0, 0] | (wrong & not_asked),
        kind=kind,
        target=target,
        best=best,
        truth_image=entries.place[truth.image[objects]].astype(np.int32),
        truth_category=truth_category.astype(np.int32),
        truth_ignored=truth_ignored,
        missed=missed,
    )


def _closest(pairs: Pairs, objects: Int64[np.ndarray, "G"], num: int) -> Int64[np.ndarray, "D"]:
    """The object of the largest overlap with each of `num` predictions, the first of the file among equals; or -1."""
    order = np.lexsort((objects[pairs.truth], -pairs.iou, pairs.detection))
    detection, first = np.unique(pairs.detection[order], return_index=True)
    closest = np.full(num, -1)
    closest[detection] = pairs.truth[order][first]
    return closest


def _any(pairs: Pairs, num: int) -> Bool[np.ndarray, "D"]:
    """Which of `num` predictions are in a pair."""
    found = np.zeros(num, bool)
    found[pairs.detection] = True
    return found


def _key(detection: Int64[np.ndarray, "N"], truth: Int64[np.ndarray, "N"], num: int) -> Int64[np.ndarray, "N"]:
    """One number for a pair; none that a pair has where the object is -1."""
    return np.where(truth < 0, -1, detection * num + truth)
