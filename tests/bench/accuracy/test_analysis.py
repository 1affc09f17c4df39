"""An analysis as rows of a record, protocol by protocol, and what separates two."""

from collections import Counter
from pathlib import Path

import pytest

from bench.accuracy.analysis import compare
from bench.accuracy.errors import REPAIRS
from bench.accuracy.evaluate import Evaluation, evaluate
from bench.record import Record, decode, encode

OWN = Path(__file__).parents[2] / "golden" / "accuracy"


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(OWN / "coco_results.json", coco=OWN / "coco_annotations.json", errors=True, resamples=50)


@pytest.fixture(scope="module")
def record(evaluation: Evaluation) -> Record:
    return evaluation.record()


def test_the_record_has_everything_that_was_analysed(record: Record) -> None:
    assert decode(encode(record)) == record
    assert record.protocol["errors"] is True
    for name in ("dap50", "dapb50"):
        assert {value.at["error"] for value in record.where(name) if len(value.at) == 1} == set(REPAIRS)
        assert record.where(name, error="missed", size="medium")
        assert record.where(name, error="missed", category="car")
    assert record.get("dap50", error="missed").interval is not None
    assert record.get("ap_errors", error="missed").unit == "objects"
    assert 0 < record.get("ap_matched_boundary_iou").value <= record.get("ap_matched_mask_iou").value < 1
    assert record.get("ap_matched", size="medium").value > 0
    assert record.find("apb_matched") is None


def test_lvis_has_names_of_its_own() -> None:
    found = evaluate(OWN / "lvis_results.json", lvis=OWN / "lvis_annotations.json", errors=True, resamples=0).record()
    names = {"dap_star50", "dapb_star50", "ap_star_errors", "ap_star_confusion", "ap_star_matched_boundary_iou"}
    assert names <= {value.name for value in found.values}
    assert found.get("dap_star50", error="class").interval is None


def test_classes_have_their_own_accuracy(record: Record) -> None:
    of_classes = [value.value for value in record.where("ap50") if "category" in value.at]
    assert sum(of_classes) / len(of_classes) == pytest.approx(record.get("ap50").value)
    assert record.get("ap_objects", category="boat").value == 0
    assert record.get("ap_predictions", category="boat").value > 0


def test_the_confusion_has_every_object_once(record: Record) -> None:
    of_objects: Counter[str] = Counter()
    for value in record.where("ap_confusion"):
        of_objects[str(value.at["category"])] += int(value.value)
    for value in record.where("ap_objects"):
        assert of_objects[str(value.at["category"])] == value.value
    assert record.get("ap_matched").value <= sum(of_objects.values()) - of_objects["(background)"]


def test_boxes_have_errors_and_no_outlines() -> None:
    found = evaluate(
        OWN / "coco_results.json", coco=OWN / "coco_annotations.json", boxes=True, errors=True, resamples=0
    ).record()
    assert found.get("box_errors", error="mask").value == 0
    assert found.get("box_errors", error="box").value > 0
    assert found.where("dbox_ap50", error="location")
    assert not found.where("box_matched_boundary_iou")


def test_a_result_equals_itself(evaluation: Evaluation) -> None:
    masks, boundaries, *_ = evaluation.analyses
    of_masks = list(compare(masks, masks, resamples=50))
    assert {name for name, _, _ in of_masks} == {"dap50", "ap_matched_mask_iou", "ap_matched_boundary_iou"}
    assert {name for name, _, _ in compare(boundaries, boundaries, resamples=50)} == {"dapb50"}
    assert all(found.difference == 0 and not found.significant for _, _, found in of_masks)
    with pytest.raises(ValueError, match="different protocols"):
        list(compare(masks, boundaries, resamples=50))
