"""The Python twin of the verb `run`."""

from pathlib import Path

import pytest

import bench

GOLDEN = Path(__file__).parents[2] / "golden" / "accuracy"
COCO = GOLDEN / "coco_annotations.json"
RESULTS = GOLDEN / "coco_results.json"


def test_run_gives_the_records_and_finds_them_again(tmp_path: Path) -> None:
    selection = bench.Selection(heads=["effseg", "mask_rcnn"], probes=["params"])
    first = bench.run("heads", results=tmp_path, selection=selection)
    assert [record.get("params_head").value for record in first] == [2_906_192, 4_208_872]
    assert bench.run("heads", results=tmp_path, selection=selection) == first
    assert sorted(entry.record.subject.head for entry in bench.Store(tmp_path)) == ["effseg", "mask_rcnn"]


def test_what_needs_images_is_left_out(tmp_path: Path) -> None:
    assert bench.run("heads", results=tmp_path, selection=bench.Selection(probes=["speed"])) == []


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'heads'"):
        bench.run("hads", results=tmp_path)


def test_evaluate_and_compare_take_other_rules() -> None:
    record = bench.evaluate(RESULTS, coco=COCO, boxes=True, class_agnostic=True, cap=7, resamples=0)
    assert record.protocol["class_agnostic"] is True
    assert record.protocol["cap_box_ap"] == 7
    assert 0 < record.get("box_ap").value < 100
    differences = bench.compare(RESULTS, RESULTS, coco=COCO, boxes=True, class_agnostic=True, cap=7, resamples=10)
    assert {each.name for each in differences} >= {"box_ap", "box_ap50"}
    assert {each.comparison.difference for each in differences} == {0}


def test_evaluate_and_compare_say_where_accuracy_is_lost() -> None:
    assert bench.evaluate(RESULTS, coco=COCO, errors=True, resamples=0).get("dap50", error="missed").value > 0
    differences = bench.compare(RESULTS, RESULTS, coco=COCO, errors=True, resamples=10)
    assert {"error": "missed", "size": "medium"} in [each.at for each in differences]
