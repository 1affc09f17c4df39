"""Class-agnostic scoring: all classes are one, as pycocotools has it with `useCats` 0."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from bench.accuracy.joining import NO_CLASS
from bench.accuracy.predictions import Predictions
from bench.data.ground_truth import GroundTruth


def one_class(truth: GroundTruth, predictions: Predictions) -> tuple[GroundTruth, Predictions]:
    """The same objects and predictions, all of the class `NO_CLASS`.

    They are ordered by their classes first and stay in the order of their files within each, since equal scores and
    equal overlaps are settled by the order (pycocotools). Predictions of no class of the file come with the first one.
    """
    objects = np.argsort(truth.category, kind="stable")
    found = np.argsort(np.searchsorted(truth.category_ids, known_classes(truth, predictions)), kind="stable")
    merged = replace(
        truth,
        category_ids=np.array([NO_CLASS]),
        category_names=("all classes",),
        frequencies=("",),
        image=truth.image[objects],
        category=np.zeros_like(truth.category),
        area=truth.area[objects],
        boxes=truth.scored_boxes[objects],
        boxes_replaced=truth.boxes_replaced[objects],
        annotated_boxes=truth.annotated_boxes[objects],
        crowd=truth.crowd[objects],
        ignore=truth.ignore[objects],
        counts=tuple(truth.counts[row] for row in objects.tolist()),
        negative=np.zeros((0, 2), np.int64),
        not_exhaustive=np.zeros((0, 2), np.int64),
    )
    return merged, replace(
        predictions,
        image_id=predictions.image_id[found],
        category_id=np.full_like(predictions.category_id, NO_CLASS),
        score=predictions.score[found],
        counts=tuple(predictions.counts[row] for row in found.tolist()) if predictions.counts else (),
        mask_area=predictions.mask_area[found],
        boxes=predictions.boxes[found],
    )


def known_classes(truth: GroundTruth, predictions: Predictions) -> Int64[np.ndarray, "D"]:
    """The classes of predictions, with the file's first one in the place of those that it does not list."""
    if len(truth.category_ids) == 0:
        return predictions.category_id
    known = np.isin(predictions.category_id, truth.category_ids)
    return np.where(known, predictions.category_id, truth.category_ids[0])
