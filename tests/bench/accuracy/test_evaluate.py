"""A results file becomes numbers, a record and a table of classes; what is left out is counted."""

import csv
import io
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from bench.accuracy.evaluate import Evaluation, evaluate, score, value_name, values
from bench.accuracy.matching import match
from bench.accuracy.protocol import PRESETS
from bench.record import decode, encode, key
from tests.bench.accuracy.scenes import scene

OWN = Path(__file__).parents[2] / "golden" / "accuracy"
COCO = OWN / "coco_annotations.json"
LVIS = OWN / "lvis_annotations.json"
ON_COCO = OWN / "coco_results.json"
ON_LVIS = OWN / "lvis_results.json"


@pytest.fixture(scope="module")
def on_coco() -> Evaluation:
    return evaluate(ON_COCO, coco=COCO, resamples=100)


@pytest.fixture(scope="module")
def on_lvis() -> Evaluation:
    return evaluate(ON_LVIS, lvis=LVIS, resamples=0)


def moved(tmp_path: Path, results: list[dict[str, object]]) -> Path:
    path = tmp_path / "moved.json"
    path.write_text(json.dumps(results))
    return path


def test_values_are_those_of_the_goldens(on_coco: Evaluation, on_lvis: Evaluation) -> None:
    expected = json.loads((OWN / "expected.json").read_text())["expected"]["coco"]
    found = on_coco.record().values
    for prefix, case in (("ap", "segm"), ("apb", "boundary")):
        for metric, value in expected[case]["metrics"].items():
            name = value_name("coco" if prefix == "ap" else "coco-boundary", metric)
            assert found[name] == pytest.approx(100 * value, abs=1e-7)
    assert found["ap_images"] == found["apb_images"] == 6
    assert found["ap_classes"] == 3
    assert found["predictions_unknown"] == found["ap_left_out"] == 0
    assert {"ap_star", "apb_star75", "ap_star_classes", "ar_star100", "arb_star100_s"} <= on_lvis.record().values.keys()
    assert not {"ap", "apb"} & on_lvis.record().values.keys()


def test_value_names() -> None:
    assert value_name("coco", "ap_s") == "ap_s"
    assert value_name("coco-boundary", "ar10") == "arb10"
    assert value_name("ap-star", "ap50") == "ap_star50"
    assert value_name("apb-star", "ar100_l") == "arb_star100_l"
    with pytest.raises(KeyError):
        value_name("lvis", "ap")


def test_the_record_is_whole(on_coco: Evaluation) -> None:
    record = on_coco.record()
    assert decode(encode(record)) == record
    assert record.subject.head == "coco_results"
    assert record.subject.weights.startswith("sha256:")
    assert record.subject.schedule == "none"
    assert record.probe == "accuracy"
    assert {record.units[name] for name in ("ap", "apb_s", "ar1")} == {"points"}
    low, high = record.intervals["ap50"]
    assert 0 <= low <= high <= 100
    assert record.protocol["annotations"] != record.protocol["predictions"] == record.subject.weights
    assert record.protocol["lvis"] is None
    assert record.protocol["cap_ap"] == 100
    assert record.protocol["resamples"] == 100


def test_without_resamples_there_are_no_intervals(on_lvis: Evaluation) -> None:
    assert on_lvis.record().intervals == {}
    assert on_lvis.protocol["cap_ap_star"] == 100
    assert on_lvis.protocol["dilation_ratio"] == 0.02


def test_the_key_holds_what_the_values_depend_on(tmp_path: Path, on_coco: Evaluation) -> None:
    def key_of(evaluation: Evaluation) -> str:
        record = evaluation.record()
        return key(record.subject, record.protocol, None)

    copied = tmp_path / "coco_annotations_copied.json"
    copied.write_bytes(COCO.read_bytes())
    assert key_of(evaluate(ON_COCO, coco=copied, resamples=100)) == key_of(on_coco), "a name is not in the key"
    copied.write_bytes(COCO.read_bytes() + b"\n")
    others = [
        evaluate(ON_COCO, coco=copied, resamples=100),
        evaluate(ON_COCO, coco=COCO, resamples=100, area="box"),
        evaluate(ON_COCO, coco=COCO, resamples=99),
        evaluate(ON_COCO, coco=COCO, resamples=100, seed=1),
    ]
    assert len({key_of(each) for each in [on_coco, *others]}) == 5


def test_verified_by_other_libraries() -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed: pip install '.[test]'")
    verified = evaluate(ON_COCO, coco=COCO, resamples=0, verify=True)
    assert [check.passed for check in verified.checks] == [True, True]
    found = verified.record().values
    assert found["check_pycocotools_ap"] <= 1e-9
    assert found["check_faster_coco_eval_apb"] <= 1e-9
    failed = replace(verified, checks=(replace(verified.checks[0], difference=0.25), verified.checks[1])).record()
    assert failed.error is not None
    assert "pycocotools" in failed.error.message
    assert failed.values == {}


def test_classes_as_csv(on_coco: Evaluation) -> None:
    rows = list(csv.DictReader(io.StringIO(on_coco.per_class_csv())))
    assert [(row["protocol"], row["category_id"]) for row in rows[:4]] == [("coco", each) for each in "2379"]
    assert len(rows) == 8
    car, boat = rows[1], rows[3]
    assert car["name"] == "car"
    expected = json.loads((OWN / "expected.json").read_text())["expected"]["coco"]["segm"]["per_class"]
    assert float(car["ap"]) == pytest.approx(100 * expected["3"], abs=1e-7)
    assert (boat["ap"], boat["objects"]) == ("", "0")
    assert int(boat["predictions"]) > 0


def test_both_files_at_once(tmp_path: Path) -> None:
    """Images are those of each file, and predictions elsewhere are counted."""
    shared = json.loads(LVIS.read_text())
    first = shared["images"][0]["id"]
    part = tmp_path / "coco.json"
    fewer = {**shared, "images": shared["images"][:1]}
    part.write_text(
        json.dumps({**fewer, "annotations": [each for each in shared["annotations"] if each["image_id"] == first]})
    )
    found = evaluate(ON_LVIS, coco=part, lvis=LVIS, resamples=0).record().values
    assert (found["ap_images"], found["ap_star_images"]) == (1, 6)
    elsewhere = sum(each["image_id"] != first for each in json.loads(ON_LVIS.read_text()))
    assert found["ap_left_out"] == elsewhere > 0
    assert found["ap_star_left_out"] == 0


def test_nothing_predicted_is_zero_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = evaluate(moved(tmp_path, []), coco=COCO, resamples=20).record()
    assert found.values["ap"] == found.values["apb_s"] == 0
    assert found.values["predictions"] == 0
    assert caplog.records


def test_unknown_images_are_an_error_or_counted(tmp_path: Path) -> None:
    results = json.loads(ON_COCO.read_text())
    strange = moved(tmp_path, [*results, {**results[0], "image_id": 999}])
    with pytest.raises(ValueError, match="999"):
        evaluate(strange, coco=COCO)
    found = evaluate(strange, coco=COCO, resamples=0, allow_unknown=True).record().values
    assert found["predictions_unknown"] == 1


def test_a_class_of_coco_that_the_lvis_file_lacks_is_no_mistake(tmp_path: Path) -> None:
    results = json.loads(ON_LVIS.read_text())
    person = moved(tmp_path, [*results, {**results[0], "category_id": 1, "score": 0.0}])
    found, before = (evaluate(path, lvis=LVIS, resamples=0).record().values for path in (person, ON_LVIS))
    assert found["predictions_unknown"] == 0
    assert found["predictions"] == before["predictions"] + 1
    assert found["ap_star"] == before["ap_star"]


def test_annotations_are_needed() -> None:
    with pytest.raises(ValueError, match="expected COCO annotations"):
        evaluate(ON_COCO)


def test_boxes_size_detections_if_asked_to(tmp_path: Path) -> None:
    wide = [{**each, "bbox": [0, 0, 200, 200]} for each in json.loads(ON_COCO.read_text())]
    path = moved(tmp_path, wide)
    by_mask, by_box = (evaluate(path, coco=COCO, resamples=0, area=area).record().values for area in ("mask", "box"))
    assert by_mask["ap"] == by_box["ap"]
    assert by_mask["ap_s"] != by_box["ap_s"]


def test_metrics_without_objects_are_left_out() -> None:
    drawn = scene(4, max_objects=0)
    scored = score(match(drawn.truth, drawn.predictions, [PRESETS["coco"]]))
    found, units, intervals = values(scored)
    assert found == {"ap_classes": 0, "ap_images": 3}
    assert units == {"ap_classes": "classes", "ap_images": "images"}
    assert intervals == {}
