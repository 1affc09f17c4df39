"""Accuracies with their intervals, and what separates two results, as tables."""

from collections.abc import Mapping

import pytest

from bench.record import Record, Scalar, Subject
from reports.layout import Table
from reports.renderers.markdown import markdown
from reports.select.measured import measured
from reports.tables.accuracy import accuracy, comparison
from tests.reports.invented import invented

AP = {"ap": 41.26, "ap50": 62.0, "ap75": 44.0, "ap_s": 20.0, "ap_m": 45.0, "ap_l": 60.0}
STAR = {f"ap_star{name[2:]}": value + 1 for name, value in AP.items()}
COUNTS = {"ap_classes": 80.0, "ap_images": 5000.0}
STAR_COUNTS = {"ap_star_classes": 69.0, "ap_star_images": 65.0}


def evaluated(
    values: dict[str, float],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    head: str = "theirs",
    weights: str = "sha256:1",
    second: int = 0,
    protocol: Mapping[str, Scalar] | None = None,
) -> Record:
    """A record as an evaluation leaves it."""
    return invented(
        subject=Subject(head=head, weights=weights),
        protocol={
            "probe": "accuracy",
            "version": 1,
            "annotations": "sha256:0123456789abcdef",
            "lvis": None,
            "lvis_version": None,
            "cap_ap": 100,
            "cap_ap_star": 300,
            "detection_area": "mask",
            "resamples": 1000,
            "seed": 0,
            **(protocol or {}),
        },
        values=values,
        unit="points",
        intervals=intervals,
        second=second,
    )


def shown(*records: Record) -> Table:
    return accuracy(measured(records))


def test_values_stand_above_their_intervals() -> None:
    table = shown(evaluated({**AP, **COUNTS}, intervals={"ap": (40.1, 42.54), "ap_l": (58.0, 63.0)}))
    assert table.title == "Accuracy of theirs"
    assert [column.name for column in table.columns] == [
        *("Protocol", "AP", "AP50", "AP75", "APS", "APM", "APL"),
        *("Classes", "Images", "Cap"),
    ]
    assert table.texts() == [
        ["AP", "41.3", "62.0", "44.0", "20.0", "45.0", "60.0", "80", "5000", "100"],
        ["", "[40.1, 42.5]", "", "", "", "", "[58.0, 63.0]", "", "", ""],
    ]


def test_every_protocol_has_its_own_classes_images_and_cap() -> None:
    lvis = {"lvis": "sha256:fedcba9876543210", "lvis_version": "LVIS v0.5"}
    table = shown(evaluated({**AP, **COUNTS, **STAR, **STAR_COUNTS}, protocol=lvis))
    assert [(row[0], *row[-3:]) for row in table.texts()] == [("AP", "80", "5000", "100"), ("AP*", "69", "65", "300")]
    caption = " ".join(table.caption)
    assert "COCO annotations, sha256:0123456789abcdef" in caption
    assert "LVIS v0.5, federated rules, sha256:fedcba9876543210" in caption
    assert "1000 resamples of the images, seed 0" in caption


def test_what_does_not_exist_is_not_a_number() -> None:
    small = {name: value for name, value in AP.items() if name != "ap_l"}
    table = shown(evaluated({**small, **COUNTS}, intervals={"ap": (1.0, 2.0)}))
    assert [row[6] for row in table.texts()] == ["n/a", ""]


def test_several_files_are_told_apart_and_the_newest_record_counts() -> None:
    old, new = ({**AP, **COUNTS, "ap": value} for value in (1.0, 2.0))
    table = shown(evaluated(old), evaluated(new, second=1), evaluated(old, head="others", second=2))
    assert [row[:3] for row in table.texts()] == [["theirs", "AP", "2.0"], ["others", "AP", "1.0"]]
    assert table.title == "Accuracy"
    once = [sentence for sentence in table.caption if "COCO annotations" in sentence]
    assert once == ["AP, APB: COCO annotations, sha256:0123456789abcdef"], "what holds for all is said once"


def test_a_row_is_of_one_record() -> None:
    """Not AP on these annotations and AP* on others, under one caption."""
    other = evaluated({**STAR, **STAR_COUNTS}, second=1, protocol={"lvis": "sha256:2", "annotations": None})
    assert [row[0] for row in shown(evaluated({**AP, **COUNTS}), other).texts()] == ["AP*"]


def test_images_without_a_prediction_are_said() -> None:
    partial = evaluated({**AP, **COUNTS, "ap_images_empty": 4990.0})
    assert "AP: 4990 of 5000 images have no prediction; all of their objects are missed." in shown(partial).caption


def test_a_sentence_that_holds_for_one_file_names_it() -> None:
    table = shown(
        evaluated({**AP, **COUNTS, "predictions_unknown": 3.0}),
        evaluated({**AP, **COUNTS}, head="others", second=1, protocol={"detection_area": "box"}),
    )
    caption = "\n".join(table.caption)
    assert "theirs: Left out: 3 predictions on images or of classes that no annotation file knows." in caption
    assert "others: APS, APM, APL: predictions are sized by the area of their BOX" in caption


def test_what_was_left_out_and_checked_is_said() -> None:
    found = {**AP, **COUNTS, "ap_left_out": 7.0, "check_pycocotools_ap": 2e-16, "check_faster_coco_eval_apb": 0.0}
    caption = " ".join(shown(evaluated(found)).caption)
    assert "AP: 7 predictions are on images that its annotation file does not list." in caption
    assert "AP: pycocotools agrees on the same input, to 2e-16 of 1." in caption
    assert "APB: faster-coco-eval agrees" in caption


@pytest.mark.parametrize("records", [(), (evaluated({**AP, **COUNTS}, weights="random"),)])
def test_random_weights_have_no_accuracy(records: tuple[Record, ...]) -> None:
    assert shown(*records).rows == ()


def test_comparison() -> None:
    row = {"first": 41.26, "second": 40.0, "difference": -1.26, "low": -2.0, "high": -0.04, "p": 0.0412}
    nothing = dict.fromkeys(("low", "high", "p"))
    table = comparison(
        "main/a/accuracy",
        "b.json",
        [
            {**row, "name": "ap50", "verdict": "lower"},
            {**row, "name": "apb_star_s", "verdict": "not significant"},
            {**row, **nothing, "name": "ar_star100_l", "verdict": "too few images"},
        ],
    )
    assert table.title == "b.json against main/a/accuracy"
    assert table.texts() == [
        ["AP50", "41.3", "40.0", "-1.3", "[-2.0, -0.0]", "0.041", "lower"],
        ["APB*S", "41.3", "40.0", "-1.3", "[-2.0, -0.0]", "0.041", "not significant"],
        ["AR*100L", "41.3", "40.0", "-1.3", "n/a", "n/a", "too few images"],
    ]
    assert "not of the training seed" in markdown(table)
