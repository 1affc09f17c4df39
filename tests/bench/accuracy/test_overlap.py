"""Pairs that overlap are found completely and measured as the official libraries measure them."""

import contextlib
import copy
import dataclasses
import io

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster
from hypothesis import given, settings

from bench.accuracy.overlap import Overlaps, Pairs
from bench.accuracy.protocol import PRESETS, ScoringProtocol
from tests.bench.accuracy.scenes import Scene, scene, scenes


def overlaps(each: Scene, lowest: float) -> Overlaps:
    truth, predictions = each.truth, each.predictions
    num = len(truth.category_ids)
    image = np.searchsorted(truth.image_ids, predictions.image_id)
    category = np.searchsorted(truth.category_ids, predictions.category_id)
    return Overlaps(
        truth,
        predictions,
        detections=np.arange(len(predictions.score)),
        detection_group=image * num + category,
        objects=np.arange(len(truth.image)),
        object_group=truth.image * num + truth.category,
        lowest=lowest,
    )


def table(pairs: Pairs) -> dict[tuple[int, int], float]:
    found = zip(pairs.detection.tolist(), pairs.truth.tolist(), strict=True)
    return dict(zip(found, pairs.iou.tolist(), strict=True))


@pytest.mark.parametrize("iou", ["bbox", "segm", "boundary"])
@settings(max_examples=40)
@given(each=scenes(boxes=True))
def test_overlaps_are_those_of_faster_coco_eval(each: Scene, iou: str) -> None:
    if not (each.results and each.annotations["annotations"]):
        return
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(copy.deepcopy(each.annotations))
        found = truth.loadRes(copy.deepcopy(each.results))
        evaluation = COCOeval_faster(truth, found, iou, boundary_cpu_count=1)
        evaluation.evaluate()
    expected = {}
    for (image, category), ious in evaluation.ious.items():
        objects = [one["id"] - 1 for one in each.annotations["annotations"] if belongs(one, image, category)]
        rows = [row for row, result in enumerate(each.results) if belongs(result, image, category)]
        rows.sort(key=lambda row: -each.results[row]["score"])
        for row, values in zip(rows, np.asarray(ious), strict=False):
            expected |= {(row, one): value for one, value in zip(objects, values, strict=True) if value >= 0.3}
    protocol = ScoringProtocol(name="any", iou=iou)
    assert table(overlaps(each, 0.3).pairs(protocol)) == expected


def belongs(one: dict[str, object], image: int, category: int) -> bool:
    return one["image_id"] == image and one["category_id"] == category


@given(scenes())
def test_boundaries_only_ever_lower_the_overlap_and_not_that_of_crowds(each: Scene) -> None:
    both = overlaps(each, 0.5)
    masks, boundaries = table(both.pairs(PRESETS["coco"])), table(both.pairs(PRESETS["coco-boundary"]))
    assert boundaries.keys() <= masks.keys()
    for pair, value in masks.items():
        if each.truth.crowd[pair[1]]:
            assert boundaries[pair] == value
        else:
            assert boundaries.get(pair, 0) <= value


def test_a_wider_band_is_another_overlap() -> None:
    both = overlaps(scene(1, max_objects=8), 0.1)
    narrow = both.pairs(PRESETS["coco-boundary"])
    wide = both.pairs(dataclasses.replace(PRESETS["coco-boundary"], dilation_ratio=0.2))
    assert table(narrow) != table(wide)
    assert both.pairs(PRESETS["coco-boundary"]) is narrow
