"""Kinds of errors are those of tidecv, a mended table is what it says, and boundaries are judged with sense."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.accuracy.average_precision import averages, means
from bench.accuracy.errors import KINDS, REPAIRS, RIGHT, Errors, across_classes, find
from bench.accuracy.matching import Matches, match
from bench.accuracy.predictions import decode_predictions, read_predictions
from bench.accuracy.protocol import PRESETS
from bench.accuracy.selection import Entries
from bench.data.ground_truth import decode_ground_truth, read_ground_truth
from tests.bench.accuracy.blocks import a_result, an_object, entries, with_overlaps
from tests.bench.accuracy.scenes import Scene, scene, scenes
from tests.bench.accuracy.tables import assert_equal

OWN = Path(__file__).parents[2] / "golden" / "errors"
REAL = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[3] / ".." / "shared")) / "golden"
COCO = PRESETS["coco"]
STAR = PRESETS["ap-star"]

OF_TIDECV = {
    "Cls": "class",
    "Loc": "location",
    "Both": "both",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
    "FalsePos": "false_positives",
    "FalseNeg": "false_negatives",
}
ON_REAL = {
    "ap": 51.80081155512982,
    "dap": {
        "Cls": 16.186000852974452,
        "Loc": 11.600722789458686,
        "Both": 1.0128509521506288,
        "Dupe": 0,
        "Bkg": 0.2681107488310275,
        "Miss": 7.778639338018046,
        "FalsePos": 8.660366141587232,
        "FalseNeg": 23.74583810883663,
    },
}
"""What tidecv 1.0.1 says of the 100 images and the results that COCO's API ships."""


def of_classes(table: Matches) -> dict[int, tuple[int, float]]:
    """Objects and AP of the classes that tidecv averages: those with an object or a prediction that counts.

    Its recalls are hundredths, of which pycocotools' are off by a rounding: 7 of 20 objects are a recall of 0.35 here.
    """
    found = {}
    for category, category_id in enumerate(table.category_ids.tolist()):
        hits = table.matched[0, 0, (table.category == category) & ~table.ignored[0, 0]]
        num_objects = int((~table.truth_ignored[0, table.truth_category == category]).sum())
        if len(hits) or num_objects:
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
            first = np.searchsorted(np.cumsum(hits) / max(num_objects, 1), [part / 100 for part in range(101)])
            found[category_id] = num_objects, 100 * float(best[first].mean()) if num_objects else 0.0
    return found


def mean(classes: Mapping[int, tuple[int, float]]) -> float:
    return sum(ap for _, ap in classes.values()) / len(classes)


def assert_costs(errors: Errors, expected: Mapping[str, Any]) -> None:
    """Compare dAP as tidecv has it: over its classes, not below zero, what was wrong first among equal scores."""
    before = mean(of_classes(errors.mended()))
    assert before == pytest.approx(expected["ap"], abs=1e-9)
    wrong_first = replace(errors, score=errors.score + 1e-9 * (errors.found < 0))
    for tide, repair in OF_TIDECV.items():
        after = of_classes(wrong_first.mended(repair))
        if repair == "false_positives":  # they stay, at the end of all: a class that has nothing else counts
            after = dict.fromkeys(of_classes(errors.mended()), (0, 0.0)) | after
        cost = mean(after) - before
        assert (cost if "False" in tide else max(cost, 0)) == pytest.approx(expected["dap"][tide], abs=1e-6), repair


@pytest.fixture(scope="module")
def made_up() -> tuple[Errors, Mapping[str, Any]]:
    truth = read_ground_truth(OWN / "annotations.json")
    of = Entries(truth, read_predictions(OWN / "results.json", [truth]), None)
    return find(*with_overlaps(of, COCO)), json.loads((OWN / "expected.json").read_text())


def test_errors_cost_what_tidecv_says(made_up: tuple[Errors, Mapping[str, Any]]) -> None:
    errors, expected = made_up
    assert_costs(errors, expected)
    counts = errors.counts()
    assert {**counts, "location": counts["box"] + counts["mask"]} | {"box": 0, "mask": 0} == {
        **{OF_TIDECV[kind]: number for kind, number in expected["counts"].items()},
        "box": 0,
        "mask": 0,
    }
    assert min(counts.values()) > 0


def test_a_mean_is_over_the_classes_with_an_object(made_up: tuple[Errors, Mapping[str, Any]]) -> None:
    """tidecv also averages over classes that have predictions alone, as zeros, until these are mended."""
    errors, expected = made_up
    for kind, classes in {None: expected["objects_and_ap_of_classes"], **expected["mended"]}.items():
        table = errors.mended(None if kind is None else OF_TIDECV[kind])
        average = averages(replace(table, protocol=errors.protocol))["ap50"]
        of_objects = [ap for num_objects, ap in classes.values() if num_objects]
        assert means(table, [average]) == [pytest.approx(np.mean(of_objects), abs=1e-9)]
        assert len(of_objects) < len(classes)


def test_errors_cost_what_tidecv_says_on_real_images() -> None:
    paths = [REAL / name for name in ("instances_val2014_100.json", "instances_val2014_fakesegm100_results.json")]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"no goldens: {paths[0]} is not there; set BENCH_TEST_DATA to the folder that holds golden/")
    annotations, results = (json.loads(path.read_text()) for path in paths)
    # Equal scores of two images come in the order of the file's images in tidecv, of their ids here.
    place = {image["id"]: number for number, image in enumerate(annotations["images"])}
    for image in annotations["images"]:
        image["id"] = place[image["id"]]
    for each in [*annotations["annotations"], *results]:
        each["image_id"] = place[each["image_id"]]
    truth = decode_ground_truth(json.dumps(annotations).encode(), "annotations")
    found = decode_predictions(json.dumps(results).encode(), "results", [truth])
    assert_costs(find(*with_overlaps(Entries(truth, found, None), COCO)), ON_REAL)


A, B, C, D = (0, 0, 40, 40), (0, 50, 40, 40), (50, 0, 40, 40), (50, 50, 40, 40)


def kinds(errors: Errors) -> list[str]:
    """The kind of every prediction by falling score."""
    return ["found" if kind < 0 else KINDS[kind] for kind in errors.kind.tolist()]


def test_every_kind() -> None:
    corners = (((50, 0, 20, 10), (70, 30, 20, 10)),)
    of = entries(
        [an_object(A, 1), an_object(B, 1), an_object(C, 1), an_object(D, 2), an_object((90, 90, 10, 10), 3)],
        [
            a_result(A, 1, 0.9),
            a_result(A, 1, 0.8),
            a_result((20, 50, 40, 40), 1, 0.7),
            a_result(*corners, 1, 0.6),
            a_result(D, 3, 0.5),
            a_result((70, 50, 30, 40), 3, 0.4),
            a_result((0, 92, 8, 8), 2, 0.3),
        ],
    )
    errors = find(*with_overlaps(of, COCO))
    assert kinds(errors) == ["found", "duplicate", "box", "mask", "class", "both", "background"]
    assert errors.counts() == {**dict.fromkeys(KINDS, 1), "missed": 1}
    assert errors.missed.tolist() == [False, False, False, False, True]
    found = {repair: int(errors.mended(repair).matched[0].sum()) for repair in REPAIRS}
    assert found == {
        **dict.fromkeys(REPAIRS, 1),
        **{"class": 2, "box": 2, "mask": 2, "location": 3},
    }
    left = {repair: len(errors.mended(repair).score) for repair in ("class", "duplicate", "false_positives")}
    assert left == {"class": 7, "duplicate": 6, "false_positives": 1}
    asked = {repair: int((~errors.mended(repair).truth_ignored[0]).sum()) for repair in ("missed", "false_negatives")}
    assert asked == {"missed": 4, "false_negatives": 1}


def test_the_best_of_several_is_mended_and_the_others_go() -> None:
    of = entries([an_object(A, 1)], [a_result(A, 2, 0.5), a_result(A, 3, 0.9), a_result((20, 0, 40, 40), 1, 0.8)])
    table = find(*with_overlaps(of, COCO)).mended("class")
    assert table.score.tolist() == [0.9, 0.8]
    assert table.matched[0, 0].tolist() == [True, False]
    # The wrong class has the higher score: the wrong place, mended alone, finds nothing for it (tidecv).
    assert find(*with_overlaps(of, COCO)).mended("location").score.tolist() == [0.5, 0.9]


def test_a_bad_outline_is_no_invention() -> None:
    """A mask that covers the object in shreds has a boundary IoU far below 0.1."""
    shreds = tuple((row, 0, 6, 60) for row in range(0, 60, 8))
    of = entries([an_object((0, 0, 60, 60), 1)], [a_result((shreds), 1, 0.9)])
    boundary = replace(PRESETS["coco-boundary"], dilation_ratio=0.03)
    assert kinds(find(*with_overlaps(of, COCO))) == ["found"]
    errors = find(*with_overlaps(of, boundary))
    assert kinds(errors) == ["mask"]
    assert not errors.missed.any()
    assert errors.mended("mask").matched.sum() > 0


def test_what_no_one_looked_for_is_excused_until_it_is_mended() -> None:
    results = [a_result(A, 2, 0.9), a_result(B, 3, 0.8), a_result(C, 1, 0.7)]
    of = entries([an_object(A, 1)], results, neg_category_ids=[3], not_exhaustive_category_ids=[1])
    errors = find(*with_overlaps(of, STAR))
    assert errors.excused.tolist() == [True, False, True]
    assert kinds(errors) == ["class", "background", "background"]
    assert errors.counts() == {**dict.fromkeys(KINDS, 0), "background": 1, "missed": 0}
    assert not errors.mended().matched.any()
    assert errors.mended("class").matched[0, 0].sum() == 1


def test_an_object_of_another_size_takes_its_prediction_along() -> None:
    of = entries([an_object((0, 0, 10, 10), 1), an_object(B, 1)], [a_result((0, 0, 10, 10), 2, 0.9)])
    table = find(*with_overlaps(of, COCO)).mended("class")
    assert table.matched[:, 0, 0].tolist() == [True, True, False, False]
    assert table.ignored[:, 0, 0].tolist() == [False, False, True, True]


@pytest.mark.parametrize("name", ["coco", "coco-boundary", "ap-star"])
@settings(max_examples=12)
@given(data=st.data())
def test_nothing_mended_is_the_match_table(name: str, data: st.DataObject) -> None:
    protocol = PRESETS[name]
    each: Scene = data.draw(scenes(lvis=protocol.federated))
    of = Entries(each.truth, each.predictions, None)
    overlaps = across_classes(of, [protocol])
    (table,) = match(each.truth, each.predictions, [protocol], overlaps=overlaps)
    assert_equal(table, match(each.truth, each.predictions, [protocol])[0])
    errors = find(of, protocol, overlaps)
    mine, at_half = errors.mended(), protocol.iou_thresholds.index(RIGHT)
    counted = ~table.ignored[0, at_half]
    np.testing.assert_array_equal(mine.matched[0, 0, ~mine.ignored[0, 0]], table.matched[0, at_half, counted])
    np.testing.assert_array_equal(mine.score[~mine.ignored[0, 0]], table.score[counted])
    np.testing.assert_array_equal(mine.truth_ignored, table.truth_ignored)


@pytest.mark.parametrize("repair", REPAIRS)
def test_no_class_has_more_hits_than_objects(repair: str) -> None:
    for seed in range(4):
        each = scene(seed, num_images=4, max_objects=8, max_copies=4)
        table = find(*with_overlaps(Entries(each.truth, each.predictions, None), COCO)).mended(repair)
        for area, hits in enumerate(table.matched[:, 0]):
            asked = np.bincount(table.truth_category[~table.truth_ignored[area]], minlength=3)
            assert (np.bincount(table.category[hits], minlength=3) <= asked).all()
        assert not (table.matched & table.ignored).any()
