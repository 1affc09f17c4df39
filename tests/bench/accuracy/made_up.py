"""Random match tables that a matching could have made, without masks; and the same table with repeated images."""

import dataclasses

import numpy as np
from jaxtyping import Int

from bench.accuracy.matching import Matches
from bench.accuracy.protocol import PRESETS, ScoringProtocol

SIZES = np.arange(4)[:, None]


def table(
    seed: int,
    *,
    num_images: int = 6,
    num_categories: int = 3,
    num_objects: int = 12,
    num_detections: int = 40,
    tied: bool = True,
    protocol: ScoringProtocol = PRESETS["coco"],
    frequencies: tuple[str, ...] | None = None,
) -> Matches:
    """Objects of three sizes, some of them crowds; detections that found one of them at some IoU, or none, capped.

    Scores are multiples of a tenth where `tied`, else distinct.
    """
    rng = np.random.default_rng(seed)
    truth_image, truth_category, truth_size = (
        rng.integers(low, high, num_objects) for low, high in ((0, num_images), (0, num_categories), (1, 4))
    )
    crowd = rng.random(num_objects) < 0.1
    image, category, size = (
        rng.integers(low, high, num_detections) for low, high in ((0, num_images), (0, num_categories), (1, 4))
    )
    # An object is found once, by the detection of its number; the rest are inventions.
    finders = min(num_objects, num_detections)
    found = np.arange(num_detections) < finders
    image[found], category[found] = truth_image[:finders], truth_category[:finders]
    object_size, in_crowd = size.copy(), np.zeros(num_detections, bool)
    object_size[found], in_crowd[found] = truth_size[:finders], crowd[:finders]
    thresholds = np.array(protocol.iou_thresholds)[:, None]
    overlaps = found & (rng.random(num_detections) + 0.2 >= thresholds)

    inside = (SIZES == 0) | (size == SIZES)
    object_counts = ((SIZES == 0) | (object_size == SIZES)) & ~in_crowd
    matched = overlaps & object_counts[:, None]
    ignored = np.where(overlaps, ~object_counts[:, None], ~inside[:, None])
    scores = rng.integers(11, size=num_detections) / 10 if tied else rng.permutation(num_detections) / num_detections
    order = np.lexsort((image, -scores, category))
    rank = _ranks(image[order], category[order])
    order, rank = order[rank < protocol.cap], rank[rank < protocol.cap]
    return Matches(
        protocol=protocol,
        image_ids=np.arange(num_images) + 1,
        category_ids=np.arange(num_categories) + 1,
        frequencies=frequencies or ("",) * num_categories,
        image=image[order].astype(np.int32),
        category=category[order].astype(np.int32),
        score=scores[order],
        rank=rank,
        matched=matched[..., order],
        ignored=ignored[..., order],
        truth_image=truth_image.astype(np.int32),
        truth_category=truth_category.astype(np.int32),
        truth_ignored=~((SIZES == 0) | (truth_size == SIZES)) | crowd,
    )


def repeated(matches: Matches, times: Int[np.ndarray, "I"]) -> Matches:
    """The table of a set in which image i is there `times[i]` times, each copy under an id of its own."""
    first = np.concatenate([[0], np.cumsum(times)[:-1]])

    def copies(image: Int[np.ndarray, "N"]) -> tuple[Int[np.ndarray, "M"], Int[np.ndarray, "M"]]:
        rows = np.repeat(np.arange(len(image)), times[image])
        which = np.concatenate([np.arange(times[i]) for i in image] or [rows])
        return rows, (first[image[rows]] + which).astype(np.int32)

    rows, image = copies(matches.image)
    truth_rows, truth_image = copies(matches.truth_image)
    return dataclasses.replace(
        matches,
        image_ids=np.arange(times.sum()) + 1,
        image=image,
        category=matches.category[rows],
        score=matches.score[rows],
        rank=matches.rank[rows],
        matched=matches.matched[..., rows],
        ignored=matches.ignored[..., rows],
        truth_image=truth_image,
        truth_category=matches.truth_category[truth_rows],
        truth_ignored=matches.truth_ignored[:, truth_rows],
    )


def _ranks(image: Int[np.ndarray, "D"], category: Int[np.ndarray, "D"]) -> Int[np.ndarray, "D"]:
    """The place of each detection among those of its image and category, which are in order."""
    earlier = np.tril((image == image[:, None]) & (category == category[:, None]), k=-1)
    return earlier.sum(1).astype(np.int32)
