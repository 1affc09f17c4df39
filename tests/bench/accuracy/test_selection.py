"""What takes part: the named cases in which official libraries disagree, with the behaviour that is ours."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.accuracy.matching import Matches, match
from bench.accuracy.protocol import PRESETS, ScoringProtocol
from bench.accuracy.selection import ranks
from tests.bench.accuracy.scenes import Dict, encode, ground_truth, predictions

COCO_RULES = PRESETS["coco"]
LVIS_RULES = PRESETS["ap-star"]
ALL = 0


def square(side: int, left: int = 0) -> Dict:
    bitmap = np.zeros((120, 120), np.uint8)
    bitmap[:side, left : left + side] = 1
    return encode(bitmap)


def an_object(side: int, *, left: int = 0, category: int = 1, **fields: float) -> Dict:
    own = {"category_id": category, "segmentation": square(side, left), "area": side**2}
    return {"id": 1, "image_id": 7, "bbox": [left, 0, side, side], "iscrowd": 0} | own | fields


def a_result(side: int, score: float, *, left: int = 0, category: int = 1) -> Dict:
    return {"image_id": 7, "category_id": category, "segmentation": square(side, left), "score": score}


def matched(
    objects: Sequence[Dict], results: Sequence[Dict], protocol: ScoringProtocol, **lists: Sequence[int]
) -> Matches:
    """One image and three classes; class 1 is known to be absent, or present, so that it is scored by LVIS's rules."""
    image = {"id": 7, "height": 120, "width": 120, "neg_category_ids": [1], "not_exhaustive_category_ids": []} | lists
    categories = [{"id": category, "name": str(category)} for category in (1, 2, 3)]
    truth = ground_truth({"images": [image], "annotations": objects, "categories": categories})
    return match(truth, predictions(results), [protocol])[0]


def test_a_cap_is_per_image_and_class_for_coco_and_per_image_for_lvis() -> None:
    """faster-coco-eval applies it per class to LVIS, too."""
    results = [a_result(20, score, category=category) for score, category in [(0.5, 1), (0.9, 2), (0.5, 2), (0.8, 1)]]
    coco = matched([], results, dataclasses.replace(COCO_RULES, cap=1))
    np.testing.assert_array_equal(coco.score, [0.8, 0.9])
    lists = {"neg_category_ids": [1, 2]}
    lvis = matched([], results, dataclasses.replace(LVIS_RULES, cap=3), **lists)
    # Of equal scores the first in the file is kept.
    np.testing.assert_array_equal(lvis.score, [0.8, 0.5, 0.9])
    np.testing.assert_array_equal(lvis.category, [0, 0, 1])


def test_a_cap_per_image_counts_what_is_left_out_later() -> None:
    results = [a_result(20, 0.9, category=99), a_result(20, 0.8, category=3), a_result(0, 0.7), a_result(20, 0.6)]
    assert len(matched([], results, dataclasses.replace(LVIS_RULES, cap=3)).score) == 0
    np.testing.assert_array_equal(matched([], results, dataclasses.replace(LVIS_RULES, cap=4)).score, [0.6])


def test_an_unknown_class_is_no_other_class_of_the_image_before() -> None:
    """Its group would be that of the last class on the image before, which was looked for there."""
    lists = {"neg_category_ids": [3], "not_exhaustive_category_ids": []}
    images = [{"id": image_id, "height": 120, "width": 120} | lists for image_id in (7, 8)]
    categories = [{"id": category, "name": str(category)} for category in (1, 2, 3)]
    truth = ground_truth({"images": images, "annotations": [], "categories": categories})
    results = [a_result(20, 0.9, category=99) | {"image_id": 8}, a_result(20, 0.8, category=3)]
    (lvis,) = match(truth, predictions(results), [LVIS_RULES])
    np.testing.assert_array_equal(lvis.score, [0.8])
    np.testing.assert_array_equal(lvis.category, [2])


def test_a_class_that_nobody_looked_for_is_not_scored_by_lvis() -> None:
    results = [a_result(20, 0.9, category=category) for category in (1, 2, 3)]
    lvis = matched([an_object(20, category=2)], results, LVIS_RULES, neg_category_ids=[3])
    np.testing.assert_array_equal(lvis.category, [1, 2])
    np.testing.assert_array_equal(lvis.matched[ALL].all(axis=0), [True, False])
    assert not lvis.ignored[ALL].any()


def test_unmatched_detections_of_a_class_with_missing_objects_are_ignored() -> None:
    results = [a_result(20, 0.9), a_result(20, 0.8, left=60)]
    lvis = matched([an_object(20)], results, LVIS_RULES, not_exhaustive_category_ids=[1])
    np.testing.assert_array_equal(lvis.matched[ALL, 0], [True, False])
    np.testing.assert_array_equal(lvis.ignored[ALL, 0], [False, True])


def test_without_a_pixel_there_is_nothing_for_lvis_and_an_error_for_coco() -> None:
    """lvis-api drops empty masks; pycocotools and faster-coco-eval count them."""
    objects, results = [an_object(0), an_object(20)], [a_result(0, 0.9), a_result(20, 0.8)]
    coco = matched(objects, results, COCO_RULES)
    np.testing.assert_array_equal(coco.matched[ALL, 0], [False, True])
    np.testing.assert_array_equal(coco.truth_ignored[ALL], [False, False])
    lvis = matched(objects, results, LVIS_RULES)
    np.testing.assert_array_equal(lvis.matched[ALL, 0], [True])
    assert len(lvis.truth_image) == 1


def test_an_object_of_id_0_can_be_found() -> None:
    """pycocotools, lvis-api and faster-coco-eval take the id 0 for no match."""
    assert matched([an_object(20, id=0)], [a_result(20, 0.9)], COCO_RULES).matched[ALL].all()


def test_ignore_is_honoured_by_lvis_and_overwritten_by_coco() -> None:
    objects, results = [an_object(20, ignore=1)], [a_result(20, 0.9)]
    coco = matched(objects, results, COCO_RULES)
    assert coco.matched[ALL].all()
    assert not coco.truth_ignored[ALL].any()
    lvis = matched(objects, results, LVIS_RULES)
    assert lvis.ignored[ALL].all()
    assert lvis.truth_ignored[ALL].all()


def test_a_crowd_is_one_for_coco_and_an_object_for_lvis() -> None:
    """boundary-iou-api and faster-coco-eval know crowds in LVIS, too."""
    objects, results = [an_object(60, iscrowd=1)], [a_result(58, 0.9), a_result(20, 0.8)]
    coco = matched(objects, results, COCO_RULES)
    assert coco.ignored[ALL].all()
    assert coco.truth_ignored[ALL].all()
    lvis = matched(objects, results, LVIS_RULES)
    np.testing.assert_array_equal(lvis.matched[ALL, 0], [True, False])
    assert not lvis.ignored[ALL].any()


@pytest.mark.parametrize("half_open", [False, True])
def test_an_area_on_the_bound_is_of_both_ranges_unless_they_are_half_open(half_open: bool) -> None:
    """boundary-iou-api's LVIS rules have half-open ranges, all others closed ones."""
    protocol = dataclasses.replace(COCO_RULES, half_open=half_open)
    found = matched([an_object(32)], [a_result(32, 0.9), a_result(32, 0.8, left=60)], protocol)
    ranges = [True, not half_open, True, False]
    np.testing.assert_array_equal(~found.truth_ignored[:, 0], ranges)
    np.testing.assert_array_equal(found.matched[:, 0, 0], ranges)
    np.testing.assert_array_equal(~found.ignored[:, 0, 1], ranges)


def test_a_detection_takes_an_ignored_object_only_if_no_other_is_left() -> None:
    small, medium = an_object(20), an_object(20, area=2000)
    for objects in ([small, medium], [medium, small]):
        found = matched(objects, [a_result(20, score) for score in (0.9, 0.8, 0.7)], COCO_RULES)
        np.testing.assert_array_equal(found.matched[0, 0], [True, True, False])
        np.testing.assert_array_equal(found.ignored[0, 0], [False, False, False])
        for size in (1, 2):
            np.testing.assert_array_equal(found.matched[size, 0], [True, False, False])
            # The third one takes nothing. It is a false positive among the small ones, to which it belongs.
            np.testing.assert_array_equal(found.ignored[size, 0], [False, True, size == 2])


@given(st.lists(st.integers(0, 4)))
def test_ranks_count_the_earlier_ones_of_a_group(groups: list[int]) -> None:
    expected = [groups[:place].count(group) for place, group in enumerate(groups)]
    np.testing.assert_array_equal(ranks(np.array(groups, np.int64)), expected)
