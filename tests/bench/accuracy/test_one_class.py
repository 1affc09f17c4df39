"""Scoring without classes is pycocotools' with `useCats` 0, all metrics and curves, ties included."""

import contextlib
import copy
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.accuracy.average_precision import metrics
from bench.accuracy.evaluate import protocols
from bench.accuracy.joining import NO_CLASS
from bench.accuracy.matching import match
from bench.accuracy.one_class import one_class
from bench.accuracy.verify import check
from tests.bench.accuracy.scenes import Scene, scene, scenes
from tests.bench.accuracy.test_verify import assume_comparable_bands, needs_faster_coco_eval

METRICS = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l", "ar1", "ar10", "ar100", "ar_s", "ar_m", "ar_l")


@settings(max_examples=25)
@given(scenes(boxes=True), st.sampled_from(["coco", "coco-boxes"]))
def test_numbers_are_those_of_pycocotools(drawn: Scene, name: str) -> None:
    (rules,) = protocols([name], "box", class_agnostic=True)
    (table,) = match(*one_class(drawn.truth, drawn.predictions), [rules])
    found = check(drawn.truth, drawn.predictions, table)
    assert found.library == "pycocotools"
    assert found.passed, found.sentence()
    if not drawn.results:
        return
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(drawn.annotations)
        truth.createIndex()
        official = COCOeval(truth, truth.loadRes(copy.deepcopy(drawn.results)), rules.iou)
        official.params.useCats = 0
        official.evaluate()
        official.accumulate()
        official.summarize()
    ours = metrics(table)
    for metric, expected in zip(METRICS, official.stats, strict=True):
        assert ours.get(metric, -100) == pytest.approx(100 * expected, abs=1e-7), metric


@settings(max_examples=10)
@given(scenes(side=(60, 130)))
def test_boundaries_are_those_of_faster_coco_eval(drawn: Scene) -> None:
    needs_faster_coco_eval()
    (rules,) = protocols(["coco-boundary"], class_agnostic=True)
    assume_comparable_bands(drawn, (rules,))
    (table,) = match(*one_class(drawn.truth, drawn.predictions), [rules])
    assert check(drawn.truth, drawn.predictions, table).passed


def test_classes_do_not_matter_and_unknown_ones_count() -> None:
    drawn = scene(3, num_categories=4)
    (rules,) = protocols(["coco"], class_agnostic=True)
    lost = replace(drawn.predictions, category_id=np.full_like(drawn.predictions.category_id, NO_CLASS))
    (table,) = match(*one_class(drawn.truth, lost), [rules])
    assert check(drawn.truth, lost, table).passed
    assert table.category_ids.tolist() == [NO_CLASS]
    assert len(table.score) == len(lost.score)


def test_the_cap_is_on_an_image() -> None:
    drawn = scene(3, num_images=1, num_categories=2, max_objects=8)
    (rules,) = protocols(["coco"], class_agnostic=True, cap=2)
    (table,) = match(*one_class(drawn.truth, drawn.predictions), [rules])
    assert len(table.score) == 2
    assert check(drawn.truth, drawn.predictions, table).passed
