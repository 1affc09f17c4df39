"""Average precision with weights on the images, for many sets of weights at once.

Nothing is matched or sorted again: an image of weight 2 counts its detections and objects twice in the running sums of
precision and recall. A set of weights is a column of arrays whose rows are detections, best first.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32, Int64

from bench.accuracy.average_precision import EPSILON, Average, averages, class_starts
from bench.accuracy.matching import Matches
from bench.accuracy.protocol import RECALLS

_RECALLS = np.array(RECALLS)

_NUM_THREADS = min(4, os.cpu_count() or 1)
_BLOCK = 256
"""Columns worked on at once: those of a usual class then stay in the processor's cache."""
_BLOCK_CELLS = 16_000_000
"""Detections of the largest class times columns of a block at most: 64 MB per array and thread."""


def resampled(matches: Matches, weights: Int[np.ndarray, "B I"]) -> dict[str, Float64[np.ndarray, "B"]]:
    """The AP metrics, 0-100, of every row of `weights`: how often each image is there; NaN where no class is."""
    chosen = averages(matches)
    return dict(zip(chosen, resampled_means(matches, list(chosen.values()), weights), strict=True))


def resampled_means(
    matches: Matches, chosen: Sequence[Average], weights: Int[np.ndarray, "B I"]
) -> Float64[np.ndarray, "N B"]:
    """The AP of each choice, 0-100, of every row of `weights`: how often each image is there; NaN where no class is.

    Equal to evaluating a set in which images are repeated, provided that an image's detections of a class have distinct
    scores: the copies of one detection stay together. A class without an object in a resample leaves its mean.
    """
    groups = _groups(matches)
    largest = max((len(group.common) for group in groups), default=0)
    block = int(np.clip(_BLOCK_CELLS // (largest + 1), 1, _BLOCK))

    def of_block(start: int) -> Float64[np.ndarray, "N b"]:
        # Resamples as columns: reading the weights of an image copies one contiguous row.
        columns = np.ascontiguousarray(weights[start : start + block].T, dtype=np.int32)
        return _resampled_block(groups, chosen, columns)

    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        blocks = list(threads.map(of_block, range(0, len(weights), block)))
    return np.concatenate([np.empty((len(chosen), 0)), *blocks], axis=1)


@dataclass(frozen=True, kw_only=True)
class _Hits:
    """The true positives at one IoU threshold, P of them, best first.

    Counted up to each, itself included, are the first `num_common` of the group's `common` detections and the first
    `num_extra` of `extra`, the images of those that are ignored at other thresholds.
    """

    images: Int32[np.ndarray, "P"]
    num_common: Int64[np.ndarray, "P"]
    extra: Int32[np.ndarray, "E"]
    num_extra: Int64[np.ndarray, "P"]


@dataclass(frozen=True, kw_only=True)
class _Group:
    """One class in one area range: the images of its objects and of the detections counted at every IoU threshold."""

    category: int
    area: int
    objects: Int32[np.ndarray, "G"]
    common: Int32[np.ndarray, "N"]
    thresholds: tuple[_Hits, ...]


def _groups(matches: Matches) -> list[_Group]:
    """Everything that does not depend on the weights, for the classes and area ranges with objects."""
    starts = class_starts(matches)
    groups = []
    for category in range(len(matches.category_ids)):
        here = slice(starts[category], starts[category + 1])
        images = matches.image[here]
        of_class = matches.truth_category == category
        for area, truth_ignored in enumerate(matches.truth_ignored):
            objects = matches.truth_image[of_class & ~truth_ignored]
            if len(objects) == 0:
                continue
            counted = ~matches.ignored[area, :, here]
            always = counted.all(axis=0)
            common = np.flatnonzero(always)
            thresholds = []
            for matched, counted_here in zip(matches.matched[area, :, here], counted, strict=True):
                hits, extra = np.flatnonzero(matched), np.flatnonzero(counted_here & ~always)
                thresholds.append(
                    _Hits(
                        images=images[hits],
                        num_common=np.searchsorted(common, hits, side="right"),
                        extra=images[extra],
                        num_extra=np.searchsorted(extra, hits, side="right"),
                    )
                )
            groups.append(
                _Group(
                    category=category,
                    area=area,
                    objects=objects,
                    common=images[common],
                    thresholds=tuple(thresholds),
                )
            )
    return groups


def _resampled_block(
    groups: list[_Group], chosen: Sequence[Average], weights: Int32[np.ndarray, "I B"]
) -> Float64[np.ndarray, "N B"]:
    sums = np.zeros((len(chosen), weights.shape[1]))
    counts = np.zeros_like(sums)
    for group in groups:
        precision, present = _average_precision(group, weights)
        for place, average in enumerate(chosen):
            if average.area == group.area and average.classes[group.category]:
                sums[place] += precision[list(average.thresholds)].mean(axis=0)
                counts[place] += present
    return np.where(counts > 0, 100 * sums / np.maximum(counts, 1), np.nan)


def _average_precision(
    group: _Group, weights: Int32[np.ndarray, "I B"]
) -> tuple[Float64[np.ndarray, "T B"], Bool[np.ndarray, "B"]]:
    """AP 0-1 at every IoU threshold, zero where the resample has no object; and whether it has one."""
    num_objects = weights[group.objects].sum(axis=0)
    num_common = _running(weights, group.common)
    precision = np.zeros((len(group.thresholds), weights.shape[1]))
    for threshold, hits in enumerate(group.thresholds):
        if len(hits.images) == 0:
            continue
        found = np.cumsum(weights[hits.images], axis=0, dtype=np.int32)
        counted = num_common[hits.num_common]
        if len(hits.extra):
            counted += _running(weights, hits.extra)[hits.num_extra]
        best_from_here = np.maximum.accumulate((found / (counted + EPSILON))[::-1], axis=0)[::-1]
        reached = _num_recalls(found / np.maximum(num_objects, 1))
        # Recalls first reached at a true positive read the best precision from there on.
        newly = np.diff(reached, axis=0, prepend=0)
        precision[threshold] = np.einsum("pb,pb->b", best_from_here, newly) / len(_RECALLS)
    return precision, num_objects > 0


def _running(weights: Int32[np.ndarray, "I B"], images: Int32[np.ndarray, "N"]) -> Int32[np.ndarray, "N+1 B"]:
    """How many the first 0, 1, ..., N detections count, by the images they are on."""
    sums = np.zeros((len(images) + 1, weights.shape[1]), dtype=np.int32)
    np.cumsum(weights[images], axis=0, dtype=np.int32, out=sums[1:])
    return sums


def _num_recalls(recall: Float64[np.ndarray, "P B"]) -> Int64[np.ndarray, "P B"]:
    """How many of the 101 recalls are at most this one, which is in 0-1, by the same comparison as a binary search.

    Those below the nearest are, those above are not; the nearest itself is compared, for some of the official values
    lie above the fraction they stand for (0.35 is 0.35000000000000003).
    """
    nearest = (recall * (len(_RECALLS) - 1) + 0.5).astype(np.int64)
    return nearest + (_RECALLS[nearest] <= recall)
