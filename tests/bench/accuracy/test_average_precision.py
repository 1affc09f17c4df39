"""AP, AR and curves are those of pycocotools for any match table; examples by hand; what does not exist is left out."""

import contextlib
import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval

from bench.accuracy.average_precision import metrics, num_classes, per_class, precision_recall, same_as_ap
from bench.accuracy.matching import Matches, match
from bench.accuracy.protocol import PRESETS, ScoringProtocol
from tests.bench.accuracy.made_up import table
from tests.bench.accuracy.scenes import Scene, scenes

COCO_NAMES = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l", "ar1", "ar10", "ar100", "ar_s", "ar_m", "ar_l")

tables = {
    "seed": st.integers(0, 2**32 - 1),
    "num_images": st.integers(1, 8),
    "num_categories": st.integers(1, 4),
    "num_objects": st.integers(0, 120),
    "num_detections": st.integers(0, 300),
    "tied": st.booleans(),
}


def official(matches: Matches) -> COCOeval:
    """Let pycocotools accumulate and summarise a match table."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(iouType="segm")
        evaluator.params.imgIds = matches.image_ids.tolist()
        evaluator.params.catIds = matches.category_ids.tolist()
        evaluator._paramsEval = evaluator.params
        evaluator.evalImgs = [
            _image(matches, category, area, image)
            for category in range(len(matches.category_ids))
            for area in range(4)
            for image in range(len(matches.image_ids))
        ]
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def _image(matches: Matches, category: int, area: int, image: int) -> dict[str, Any] | None:
    here = (matches.category == category) & (matches.image == image)
    truth_here = (matches.truth_category == category) & (matches.truth_image == image)
    if not here.any() and not truth_here.any():
        return None
    matched, ignored = matches.matched[area][:, here], matches.ignored[area][:, here]
    return {
        "dtScores": matches.score[here],
        "dtMatches": matched.astype(float),
        "dtIgnore": ignored,
        "gtIgnore": matches.truth_ignored[area, truth_here].astype(int),
    }


@given(**tables)
@settings(max_examples=60)
def test_curves_and_metrics_are_those_of_pycocotools(**sizes: int) -> None:
    matches = table(**sizes)
    evaluator = official(matches)
    curves = evaluator.eval["precision"][..., -1].transpose(3, 0, 2, 1)
    np.testing.assert_array_equal(np.nan_to_num(precision_recall(matches), nan=-1), curves)
    expected = {name: 100 * value for name, value in zip(COCO_NAMES, evaluator.stats, strict=True) if value != -1}
    assert metrics(matches) == pytest.approx(expected, abs=1e-10)


@given(scenes())
@settings(max_examples=25)
def test_matched_scenes_have_the_curves_of_pycocotools(scene: Scene) -> None:
    (matches,) = match(scene.truth, scene.predictions, [PRESETS["coco"]])
    expected = official(matches).eval["precision"][..., -1].transpose(3, 0, 2, 1)
    np.testing.assert_array_equal(np.nan_to_num(precision_recall(matches), nan=-1), expected)


def line(
    outcomes: str, num_objects: int, *, protocol: ScoringProtocol = PRESETS["coco"], frequency: str = ""
) -> Matches:
    """One image and class: "+" is a true positive, "-" a false one, "." is ignored, best first; all are small."""
    shape = (4, len(protocol.iou_thresholds), len(outcomes))
    sizes = np.array([True, True, False, False])[:, None, None]
    return Matches(
        protocol=protocol,
        image_ids=np.array([7]),
        category_ids=np.array([3]),
        frequencies=(frequency,),
        image=np.zeros(len(outcomes), np.int32),
        category=np.zeros(len(outcomes), np.int32),
        score=np.linspace(1, 0.5, len(outcomes)),
        rank=np.arange(len(outcomes), dtype=np.int32),
        matched=np.broadcast_to(sizes & np.array([o == "+" for o in outcomes], bool), shape),
        ignored=np.broadcast_to(~sizes | np.array([o == "." for o in outcomes], bool), shape),
        truth_image=np.zeros(num_objects, np.int32),
        truth_category=np.zeros(num_objects, np.int32),
        truth_ignored=np.broadcast_to(~sizes[:, 0], (4, num_objects)),
    )


@pytest.mark.parametrize(
    ("outcomes", "num_objects", "ap"),
    [
        ("+", 1, 100),
        ("-", 1, 0),
        ("", 1, 0),
        ("-+", 1, 50),
        (".+", 1, 100),
        # Recalls 0, 0.01, ..., 0.50 are reached at the first true positive, the other 50 at the second.
        ("+-+", 2, 100 * (51 + 50 * 2 / 3) / 101),
        ("+..-.+", 2, 100 * (51 + 50 * 2 / 3) / 101),
        # The best precision is at the second one, also for the recalls of the first.
        ("-++", 2, 100 * 2 / 3),
        ("+", 2, 100 * 51 / 101),
    ],
)
def test_average_precision_by_hand(outcomes: str, num_objects: int, ap: float) -> None:
    values = metrics(line(outcomes, num_objects))
    assert [values[name] for name in ("ap", "ap50", "ap75", "ap_s")] == pytest.approx([ap] * 4)
    assert not {"ap_m", "ap_l", "ar_m", "ar_l"} & values.keys()


def test_a_recall_on_its_threshold_counts_as_in_the_official_libraries() -> None:
    # 7 of 20 are 0.35, but the official threshold is 0.35000000000000003, reached only at the eighth.
    curve = precision_recall(line("+" * 7 + "-" * 7 + "+", 20))[0, 0, 0]
    assert curve[[34, 35]] == pytest.approx([1, 8 / 15])


def test_recall_at_few_detections_counts_the_best_of_each_image_and_class() -> None:
    values = metrics(line("-+" + "-" * 9 + "+", 4))
    assert [values[name] for name in ("ar1", "ar10", "ar100", "ar_s")] == [0, 25, 50, 50]


def test_the_cap_of_the_protocol_names_its_recall() -> None:
    five = metrics(line("-++", 4, protocol=dataclasses.replace(PRESETS["coco"], cap=5)))
    assert five["ar5"] == five["ar_s"] == 50
    assert {"ar10", "ar100"}.isdisjoint(five)
    federated = metrics(line("-++", 4, protocol=PRESETS["lvis"]))
    assert [name for name in federated if name.startswith("ar")] == ["ar300", "ar300_s"]


def test_classes_are_averaged_by_frequency_too() -> None:
    matches = table(0, num_categories=5, protocol=PRESETS["lvis"], frequencies=("r", "c", "r", "f", "f"))
    each = [score.ap for score in per_class(matches)]
    values = metrics(matches)
    assert values["ap_r"] == pytest.approx((each[0] + each[2]) / 2)
    assert values["ap_c"] == pytest.approx(each[1])
    assert values["ap_f"] == pytest.approx((each[3] + each[4]) / 2)
    assert "ap_r" not in metrics(line("+", 1, protocol=PRESETS["lvis"], frequency="f"))
    assert not {"ap_r", "ap_c", "ap_f"} & metrics(line("+", 1, protocol=PRESETS["lvis"])).keys()


def test_all_classes_of_one_frequency_have_its_ap() -> None:
    rows = {"num_objects": 60, "protocol": PRESETS["lvis"]}
    for letter in "rcf":
        alike = table(0, frequencies=(letter,) * 3, **rows)
        assert same_as_ap(alike) == {f"ap_{letter}"}
        assert metrics(alike)[f"ap_{letter}"] == metrics(alike)["ap"]
    assert same_as_ap(table(0, frequencies=("f", "c", "f"), **rows)) == set()
    assert same_as_ap(table(0, **rows)) == set()
    assert same_as_ap(line("+", 1, protocol=PRESETS["lvis"], frequency="c")) == {"ap_c"}


def test_a_protocol_without_075_has_no_ap75() -> None:
    protocol = dataclasses.replace(PRESETS["coco"], iou_thresholds=(0.4, 0.5, 0.9))
    values = metrics(line("+", 1, protocol=protocol))
    assert {"ap", "ap50"} <= values.keys()
    assert "ap75" not in values
    assert per_class(line("+", 1, protocol=protocol))[0].ap75 is None


@given(**tables)
@settings(max_examples=50)
def test_the_mean_over_classes_is_the_ap(**sizes: int) -> None:
    matches = table(**sizes)
    scores = per_class(matches)
    assert [score.category_id for score in scores] == matches.category_ids.tolist()
    assert sum(score.num_detections for score in scores) == len(matches.score)
    assert sum(score.num_objects for score in scores) == (~matches.truth_ignored[0]).sum()
    values = metrics(matches)
    for name in COCO_NAMES[:6]:
        present = [value for score in scores if (value := getattr(score, name)) is not None]
        assert values.get(name) == (pytest.approx(np.mean(present)) if present else None)
    assert num_classes(matches) == sum(score.ap is not None for score in scores)


def test_without_objects_there_are_no_metrics() -> None:
    assert metrics(line("---", 0)) == {}
    assert metrics(table(0, num_objects=0, num_detections=0)) == {}
    assert num_classes(line("---", 0)) == 0
