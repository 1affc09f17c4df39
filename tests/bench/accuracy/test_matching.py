"""Our match tables are those of pycocotools, also for LVIS's rules and boundaries spelled out for it; shards add up."""

import contextlib
import copy
import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.accuracy.matching import Matches, match, merge
from bench.accuracy.protocol import PRESETS, ScoringProtocol
from tests.bench.accuracy.scenes import Scene, encode, scene, scenes
from tests.bench.accuracy.slow_boundary import slow_band
from tests.bench.accuracy.tables import assert_equal

COCO_RULES = PRESETS["coco"]
LVIS_RULES = PRESETS["ap-star"]
FEW = dataclasses.replace(COCO_RULES, name="few", cap=2)
FEW_FEDERATED = dataclasses.replace(LVIS_RULES, name="few federated", cap=6)
BOXES = dataclasses.replace(COCO_RULES, name="boxes", iou="bbox", detection_area="box")
LOOSE = dataclasses.replace(COCO_RULES, name="loose and strict", iou_thresholds=(0.1, 0.7, 1.0))
LOOSE_BOXES = dataclasses.replace(LOOSE, name="loose and strict boxes", iou="bbox", detection_area="box")
SIZED_BY_BOX = dataclasses.replace(COCO_RULES, name="masks sized by boxes", detection_area="box")


def official(each: Scene, protocol: ScoringProtocol, kind: Callable[..., COCOeval] = COCOeval) -> COCOeval:
    """pycocotools under a protocol of COCO."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(each.annotations)
        truth.createIndex()
        found = truth.loadRes(copy.deepcopy(each.results))
        evaluation = kind(truth, found, protocol.iou)
        evaluation.params.maxDets = [1, protocol.cap]
        evaluation.params.iouThrs = np.array(protocol.iou_thresholds)
        evaluation.evaluate()
    return evaluation


def assert_same_table(matches: Matches, evaluation: COCOeval) -> None:
    """Compare all columns in the order in which pycocotools accumulates them."""
    params = evaluation.params
    tables = iter(evaluation.evalImgs)
    for category, _ in enumerate(params.catIds):
        for area, _ in enumerate(params.areaRng):
            none = np.zeros((len(params.iouThrs), 0))
            blank = {"dtScores": none[0], "gtIgnore": none[0], "dtIgnore": none, "dtMatches": none}
            rows = [next(tables) or blank for _ in params.imgIds]
            scores = np.concatenate([row["dtScores"] for row in rows])
            order = np.argsort(-scores, kind="mergesort")
            taken = np.concatenate([row["dtMatches"] for row in rows], axis=1)[:, order] > 0
            ignored = np.concatenate([row["dtIgnore"] for row in rows], axis=1)[:, order] > 0
            place = np.concatenate([np.arange(len(row["dtScores"])) for row in rows])[order]
            image = np.concatenate([np.full(len(row["dtScores"]), i) for i, row in enumerate(rows)])[order]
            ours = matches.category == category
            np.testing.assert_array_equal(matches.score[ours], scores[order])
            np.testing.assert_array_equal(matches.image[ours], image)
            np.testing.assert_array_equal(matches.rank[ours], place)
            np.testing.assert_array_equal(matches.matched[area][:, ours], taken & ~ignored)
            np.testing.assert_array_equal(matches.ignored[area][:, ours], ignored)
            for i, row in enumerate(rows):
                here = (matches.truth_category == category) & (matches.truth_image == i)
                assert sorted(matches.truth_ignored[area, here]) == sorted(row["gtIgnore"] > 0)
    assert next(tables, None) is None


@pytest.mark.parametrize("protocol", [COCO_RULES, FEW, LOOSE], ids=lambda protocol: protocol.name)
@settings(max_examples=60)
@given(each=scenes())
def test_masks_match_as_in_pycocotools(each: Scene, protocol: ScoringProtocol) -> None:
    if each.results:
        assert_same_table(match(each.truth, each.predictions, [protocol])[0], official(each, protocol))


@pytest.mark.parametrize("protocol", [BOXES, LOOSE_BOXES, SIZED_BY_BOX], ids=lambda protocol: protocol.name)
@settings(max_examples=40)
@given(each=scenes(boxes=True))
def test_boxes_match_as_in_pycocotools(each: Scene, protocol: ScoringProtocol) -> None:
    if each.results:
        assert_same_table(match(each.truth, each.predictions, [protocol])[0], official(each, protocol))


class BoundaryEval(COCOeval):  # type: ignore[misc]
    """pycocotools with the smaller one of two IoUs, from bands made by the definition."""

    def computeIoU(self, image: int, category: int) -> Any:
        masks = super().computeIoU(image, category)
        objects, found = self._gts[image, category], self._dts[image, category]
        if not (objects and found):
            return masks
        found = sorted(found, key=lambda each: -each["score"])[: len(masks)]
        ours, theirs = ([slow_band(each["segmentation"], 0.02) for each in side] for side in (found, objects))
        bands = coco_mask.iou(ours, theirs, [0] * len(theirs))
        return np.where([each["iscrowd"] for each in objects], masks, np.minimum(masks, bands))


@settings(max_examples=40)
@given(each=scenes())
def test_boundaries_match_as_in_pycocotools_with_other_overlaps(each: Scene) -> None:
    if each.results:
        evaluation = official(each, COCO_RULES, BoundaryEval)
        assert_same_table(match(each.truth, each.predictions, [PRESETS["coco-boundary"]])[0], evaluation)


@pytest.mark.parametrize("protocol", [LVIS_RULES, FEW_FEDERATED], ids=lambda protocol: protocol.name)
@settings(max_examples=60)
@given(each=scenes(lvis=True))
def test_federated_rules_are_rules_of_coco_on_fewer_detections(each: Scene, protocol: ScoringProtocol) -> None:
    counted = looked_for(each, protocol.cap)
    if not counted.results:
        return
    evaluation = official(counted, dataclasses.replace(protocol, federated=False))
    incomplete = {
        (image["id"], category)
        for image in each.annotations["images"]
        for category in image["not_exhaustive_category_ids"]
    }
    for table in filter(None, evaluation.evalImgs):
        if (table["image_id"], table["category_id"]) in incomplete:
            table["dtIgnore"] |= table["dtMatches"] == 0
    assert_same_table(match(each.truth, each.predictions, [protocol])[0], evaluation)


def looked_for(each: Scene, cap: int) -> Scene:
    """The best detections of every image of those classes that were looked for there."""
    sought = {(each_object["image_id"], each_object["category_id"]) for each_object in each.annotations["annotations"]}
    results = []
    for image in each.annotations["images"]:
        sought |= {(image["id"], category) for category in image["neg_category_ids"]}
        here = [result for result in each.results if result["image_id"] == image["id"]]
        results += sorted(here, key=lambda result: -result["score"])[:cap]
    kept = [result for result in results if (result["image_id"], result["category_id"]) in sought]
    return Scene(annotations=each.annotations, results=kept)


@settings(max_examples=50)
@given(each=scenes(lvis=True), data=st.data())
def test_shards_of_images_merge_into_the_whole(each: Scene, data: st.DataObject) -> None:
    protocols = [COCO_RULES, FEW_FEDERATED]
    image_ids = data.draw(st.permutations(each.truth.image_ids.tolist()))
    cut = data.draw(st.integers(0, len(image_ids)))
    parts = [match(each.truth, each.predictions, protocols, images=part) for part in (image_ids[cut:], image_ids[:cut])]
    whole = match(each.truth, each.predictions, protocols)
    for one, other, both in zip(*parts, whole, strict=True):
        assert_equal(merge([one, other]), both)


@settings(max_examples=40)
@given(each=scenes())
def test_protocols_do_not_disturb_each_other(each: Scene) -> None:
    protocols = [FEW, PRESETS["coco-boundary"], FEW_FEDERATED, COCO_RULES, BOXES, LOOSE]
    together = match(each.truth, each.predictions, protocols)
    for protocol, matches in zip(protocols, together, strict=True):
        assert_equal(matches, match(each.truth, each.predictions, [protocol])[0])


def test_only_images_of_the_run_count() -> None:
    each = scene(3, num_images=4)
    run = each.truth.image_ids[1:3]
    annotations = {
        **each.annotations,
        "images": [image for image in each.annotations["images"] if image["id"] in run],
        "annotations": [one for one in each.annotations["annotations"] if one["image_id"] in run],
    }
    fewer = Scene(annotations=annotations, results=[result for result in each.results if result["image_id"] in run])
    matches = match(each.truth, each.predictions, [COCO_RULES], images={*run.tolist(), 5000})[0]
    assert_equal(matches, match(fewer.truth, fewer.predictions, [COCO_RULES])[0])
    assert len(matches.score) > 0
    np.testing.assert_array_equal(matches.image_ids, run)


@pytest.mark.parametrize("protocol", list(PRESETS.values()), ids=lambda protocol: protocol.name)
def test_nothing_matches_nothing(protocol: ScoringProtocol) -> None:
    each = scene(0, max_objects=6)
    nothing = Scene(annotations=each.annotations, results=[])
    matches = match(nothing.truth, nothing.predictions, [protocol])[0]
    assert matches.matched.shape == (4, 10, 0)
    assert len(matches.truth_image) == len(each.truth.image) > 0
    blank = Scene(annotations={**each.annotations, "annotations": []}, results=each.results)
    assert not match(blank.truth, blank.predictions, [protocol])[0].matched.any()
    empty = Scene(annotations={"images": [], "annotations": [], "categories": []}, results=each.results)
    matches = match(empty.truth, empty.predictions, [protocol])[0]
    assert len(matches.score) == len(matches.truth_image) == len(matches.image_ids) == 0
    assert match(each.truth, each.predictions, []) == []


def test_masks_cannot_be_matched_to_boxes() -> None:
    each = scene(0, boxes=True)
    boxes = dataclasses.replace(each.predictions, counts=())
    assert match(each.truth, boxes, [BOXES])[0].matched.any()
    with pytest.raises(ValueError, match=r"scene holds boxes and no masks; .*; write a .* or say `boxes`"):
        match(each.truth, boxes, [COCO_RULES])


def test_only_parts_of_one_evaluation_merge() -> None:
    each = scene(0)
    coco, few = match(each.truth, each.predictions, [COCO_RULES, FEW])
    with pytest.raises(ValueError, match="differ in protocol"):
        merge([coco, few])
    with pytest.raises(ValueError, match=f"Image {each.truth.image_ids[0]} is in more than one"):
        merge([coco, coco])
    with pytest.raises(ValueError, match="no matches to merge"):
        merge([])


def test_of_objects_that_overlap_equally_the_last_one_is_taken() -> None:
    # The first detection lies between both objects, the second one is the left object.
    left, right, between = (np.zeros((20, 40), np.uint8) for _ in range(3))
    left[:, :20] = right[:, 10:30] = between[:, 5:25] = 1
    for places, both_match in [((left, right), True), ((right, left), False)]:
        each = small_scene(places, (between, left))
        matches = match(each.truth, each.predictions, [COCO_RULES])[0]
        assert_same_table(matches, official(each, COCO_RULES))
        np.testing.assert_array_equal(matches.matched[0, 0], [True, both_match])


def test_equal_boxes_reach_every_threshold() -> None:
    each = small_scene([np.ones((9, 9), np.uint8)], [np.ones((9, 9), np.uint8)])
    box = [0.1, 0.2, 0.4, 0.5]  # as floats, x + width - x is less than width
    each.annotations["annotations"][0]["bbox"] = each.results[0]["bbox"] = box
    assert coco_mask.iou(np.array([box]), np.array([box]), [0]) < 1
    matches = match(each.truth, each.predictions, [LOOSE_BOXES])[0]
    assert matches.matched[0].all()
    assert_same_table(matches, official(each, LOOSE_BOXES))


def small_scene(objects: Sequence[NDArray[np.uint8]], found: Sequence[NDArray[np.uint8]]) -> Scene:
    """One image and class, with detections of falling scores."""
    height, width = objects[0].shape
    shared = {"image_id": 1, "category_id": 1}
    drawn = [
        shared | {"id": place + 1, "iscrowd": 0, "area": 100.0, "bbox": [0, 0, 9, 9], "segmentation": encode(bitmap)}
        for place, bitmap in enumerate(objects)
    ]
    annotations = {
        "images": [{"id": 1, "height": height, "width": width}],
        "annotations": drawn,
        "categories": [{"id": 1, "name": "thing"}],
    }
    results = [
        shared | {"score": 1 / (1 + place), "segmentation": encode(bitmap)} for place, bitmap in enumerate(found)
    ]
    return Scene(annotations=annotations, results=results)
