"""A results file becomes numbers, a record and a table of classes; what is left out is counted."""

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.accuracy.evaluate import Evaluation, evaluate, score, values
from bench.accuracy.matching import match
from bench.accuracy.protocol import PRESETS, value_name
from bench.record import Value, decode, encode, key
from tests.bench.accuracy.scenes import scene
from tests.bench.found import numbers_at

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


def numbers_of(evaluation: Evaluation) -> dict[str, int | float]:
    return numbers_at(evaluation.record())


def test_values_are_those_of_the_goldens(on_coco: Evaluation, on_lvis: Evaluation) -> None:
    expected = json.loads((OWN / "expected.json").read_text())["expected"]["coco"]
    found = numbers_of(on_coco)
    for prefix, case in (("ap", "segm"), ("apb", "boundary")):
        for metric, value in expected[case]["metrics"].items():
            name = value_name("coco" if prefix == "ap" else "coco-boundary", metric)
            assert found[name] == pytest.approx(100 * value, abs=1e-7)
    assert found["ap_images"] == found["apb_images"] == 6
    assert found["ap_classes"] == 3
    assert found["predictions_unknown"] == found["ap_left_out"] == 0
    names = numbers_of(on_lvis).keys()
    assert {"ap_star", "apb_star75", "ap_star_classes", "ar_star100", "arb_star100_s"} <= names
    assert not {"ap", "apb"} & names


def test_value_names() -> None:
    assert value_name("coco", "ap_s") == "ap_s"
    assert value_name("coco-boundary", "ar10") == "arb10"
    assert value_name("ap-star", "ap50") == "ap_star50"
    assert value_name("apb-star", "ar100_l") == "arb_star100_l"
    assert value_name("coco-boxes", "ap50") == "box_ap50"
    assert value_name("coco-boxes", "ar_s") == "box_ar_s"
    with pytest.raises(KeyError):
        value_name("lvis", "ap")


def test_the_record_is_whole(on_coco: Evaluation) -> None:
    record = on_coco.record()
    assert decode(encode(record)) == record
    assert record.subject.head == "coco_results"
    assert record.subject.weights.startswith("sha256:")
    assert record.subject.schedule == "none"
    assert record.probe == "accuracy"
    assert {record.get(name).unit for name in ("ap", "apb_s", "ar1")} == {"points"}
    interval = record.get("ap50").interval
    assert interval is not None
    assert 0 <= interval[0] <= interval[1] <= 100
    assert record.protocol["annotations"] != record.protocol["predictions"] == record.subject.weights
    assert record.protocol["lvis"] is None
    assert record.protocol["cap_ap"] == 100
    assert record.protocol["resamples"] == 100


def test_without_resamples_there_are_no_intervals(on_lvis: Evaluation) -> None:
    assert all(value.interval is None for value in on_lvis.record().values)
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
    found = numbers_of(verified)
    assert found["check_pycocotools_ap"] <= 1e-9
    assert found["check_faster_coco_eval_apb"] <= 1e-9
    failed = replace(verified, checks=(replace(verified.checks[0], difference=0.25), verified.checks[1])).record()
    assert failed.error is not None
    assert "pycocotools" in failed.error.message
    assert failed.values == ()


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
    # Synsets would tell that it is LVIS.
    names = [{"id": each["id"], "name": each["name"]} for each in shared["categories"]]
    fewer = {**shared, "images": shared["images"][:1], "categories": names}
    part.write_text(
        json.dumps({**fewer, "annotations": [each for each in shared["annotations"] if each["image_id"] == first]})
    )
    found = numbers_of(evaluate(ON_LVIS, coco=part, lvis=LVIS, resamples=0))
    assert (found["ap_images"], found["ap_star_images"]) == (1, 6)
    elsewhere = sum(each["image_id"] != first for each in json.loads(ON_LVIS.read_text()))
    assert found["ap_left_out"] == elsewhere > 0
    assert found["ap_star_left_out"] == 0


def test_results_in_memory_are_scored_like_their_file(on_coco: Evaluation) -> None:
    found = evaluate(json.loads(ON_COCO.read_text()), coco=COCO, resamples=100).record()
    assert found.values == on_coco.record().values
    assert found.subject.head == "results"


def test_lvis_annotations_are_not_taken_for_those_of_coco() -> None:
    with pytest.raises(ValueError, match=r"is cocofied LVIS; .*; give it as LVIS annotations"):
        evaluate(ON_LVIS, coco=LVIS, resamples=0)


def test_the_images_of_a_run(tmp_path: Path, on_coco: Evaluation) -> None:
    """Their objects alone count, as if the file listed no other image."""
    ids = sorted(each["id"] for each in json.loads(COCO.read_text())["images"])
    run = ids[:3]
    found = evaluate(ON_COCO, coco=COCO, images=[*run[::-1], run[0]], resamples=100)
    numbers = numbers_of(found)
    assert numbers["ap_images"] == numbers["apb_images"] == 3
    assert numbers["ap"] != numbers_of(on_coco)["ap"]
    elsewhere = [each["image_id"] for each in json.loads(ON_COCO.read_text()) if each["image_id"] not in run]
    assert numbers["ap_left_out"] == len(elsewhere) > 0
    assert on_coco.protocol["images"] == "all"
    listed = hashlib.sha256(json.dumps(run, separators=(",", ":")).encode()).hexdigest()
    assert found.protocol["images"] == f"sha256:{listed}"
    whole = json.loads(COCO.read_text())
    part = tmp_path / "part.json"
    kept = [each for each in whole["annotations"] if each["image_id"] in run]
    listed_images = [each for each in whole["images"] if each["id"] in run]
    part.write_text(json.dumps({**whole, "images": listed_images, "annotations": kept}))
    alone = evaluate(ON_COCO, coco=part, resamples=100, allow_unknown=True).record()
    left_out = ("ap_left_out", "apb_left_out", "predictions", "predictions_unknown")
    values = [[value for value in each.values if value.name not in left_out] for each in (found.record(), alone)]
    assert values[0] == values[1]


def test_unknown_images_of_a_run_are_an_error_or_left_out() -> None:
    with pytest.raises(ValueError, match=r"include 998, which no annotation file given lists \(2 of 3 are unknown\)"):
        evaluate(ON_COCO, coco=COCO, images=[998, 999, 12])
    known, with_unknown = (
        evaluate(ON_COCO, coco=COCO, images=images, resamples=0, allow_unknown=True) for images in ([12], [998, 12])
    )
    assert known.protocol == with_unknown.protocol


def test_images_without_a_prediction_are_counted(on_coco: Evaluation) -> None:
    results = json.loads(ON_COCO.read_text())
    assert numbers_of(on_coco)["ap_images_empty"] == 0
    kept = [each for each in results if each["image_id"] == results[0]["image_id"]]
    record = evaluate(kept, coco=COCO, resamples=0).record()
    for name in ("ap_images_empty", "apb_images_empty"):
        assert record.get(name) == Value(name=name, value=5, unit="images")
    of_run = evaluate(kept, coco=COCO, images=[results[0]["image_id"]], resamples=0)
    assert numbers_of(of_run)["ap_images_empty"] == 0


def test_an_ap_by_frequency_is_no_value_where_all_classes_have_it(tmp_path: Path) -> None:
    whole = json.loads(LVIS.read_text())
    for letters, names in (("f", set()), ("rcf", {"ap_star_r", "ap_star_c", "ap_star_f"})):
        for place, category in enumerate(whole["categories"]):
            category["frequency"] = letters[place % len(letters)]
        path = tmp_path / f"{letters}.json"
        path.write_text(json.dumps(whole))
        found = {value.name: value.interval for value in evaluate(ON_LVIS, lvis=path, resamples=100).record().values}
        assert found.keys() & {"ap_star_r", "ap_star_c", "ap_star_f"} == names
        assert all(found[name] is not None for name in names)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [({"seed": -1, "resamples": 0}, "seed .* is -1"), ({"resamples": -1}, "Asked for -1 .* at least 0")],
)
def test_negative_numbers_are_refused(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(ON_COCO, coco=COCO, **numbers)


def test_nothing_predicted_is_zero_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    found = numbers_of(evaluate([], coco=COCO, resamples=20))
    assert found["ap"] == found["apb_s"] == 0
    assert found["predictions"] == 0
    assert [each.getMessage() for each in caplog.records] == [
        "results holds no predictions: every annotated object counts as missed."
    ]


def test_nothing_left_is_told(caplog: pytest.LogCaptureFixture) -> None:
    strange = [{**each, "image_id": 999} for each in json.loads(ON_COCO.read_text())]
    assert numbers_of(evaluate(strange, coco=COCO, resamples=0, allow_unknown=True))["ap"] == 0
    (record,) = caplog.records
    assert f"All {len(strange)} predictions of results are on images or of classes" in record.getMessage()


@pytest.mark.parametrize("results", [ON_COCO, []])
def test_nothing_annotated_is_told(
    results: Path | list[dict[str, object]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "blank.json"
    path.write_text(json.dumps({**json.loads(COCO.read_text()), "annotations": []}))
    assert "ap" not in numbers_of(evaluate(results, coco=path, resamples=0))
    (record,) = caplog.records
    assert "blank.json has no object on these images that counts: every number is n/a" in record.getMessage()


def test_unknown_images_are_an_error_or_counted(tmp_path: Path) -> None:
    results = json.loads(ON_COCO.read_text())
    strange = moved(tmp_path, [*results, {**results[0], "image_id": 999}])
    with pytest.raises(ValueError, match="999"):
        evaluate(strange, coco=COCO)
    found = numbers_of(evaluate(strange, coco=COCO, resamples=0, allow_unknown=True))
    assert found["predictions_unknown"] == 1


def test_a_class_of_coco_that_the_lvis_file_lacks_is_no_mistake(tmp_path: Path) -> None:
    results = json.loads(ON_LVIS.read_text())
    person = moved(tmp_path, [*results, {**results[0], "category_id": 1, "score": 0.0}])
    found, before = (numbers_of(evaluate(path, lvis=LVIS, resamples=0)) for path in (person, ON_LVIS))
    assert found["predictions_unknown"] == 0
    assert found["predictions"] == before["predictions"] + 1
    assert found["ap_star"] == before["ap_star"]


def test_annotations_are_needed() -> None:
    with pytest.raises(ValueError, match="expected COCO annotations"):
        evaluate(ON_COCO)


def test_boxes_size_detections_if_asked_to(tmp_path: Path) -> None:
    wide = [{**each, "bbox": [0, 0, 200, 200]} for each in json.loads(ON_COCO.read_text())]
    path = moved(tmp_path, wide)
    by_mask, by_box = (numbers_of(evaluate(path, coco=COCO, resamples=0, area=area)) for area in ("mask", "box"))
    assert by_mask["ap"] == by_box["ap"]
    assert by_mask["ap_s"] != by_box["ap_s"]


def test_metrics_without_objects_are_left_out() -> None:
    drawn = scene(4, max_objects=0)
    scored = score(match(drawn.truth, drawn.predictions, [PRESETS["coco"]]))
    assert list(values(scored)) == [
        Value(name="ap_classes", value=0, unit="classes"),
        Value(name="ap_images", value=3, unit="images"),
    ]


@pytest.mark.parametrize(
    ("options", "changed", "names"),
    [
        ({"boxes": True}, {"cap_box_ap": 100, "detection_area": "box"}, {"box_ap", "box_ap_s", "box_classes"}),
        ({"class_agnostic": True}, {"cap_ap": 100, "class_agnostic": True}, {"ap", "apb75", "ap_classes"}),
        ({"cap": 7}, {"cap_ap": 7, "cap_apb": 7}, {"ap", "ar7", "ap_images"}),
        ({"boxes": True, "cap": 7, "class_agnostic": True}, {"cap_box_ap": 7, "class_agnostic": True}, {"box_ar7"}),
    ],
)
def test_other_rules_are_in_the_protocol(
    options: dict[str, object], changed: dict[str, object], names: set[str], on_coco: Evaluation
) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed: pip install '.[test]'")
    found = evaluate(ON_COCO, coco=COCO, resamples=100, verify=True, **options)  # type: ignore[arg-type]
    record = found.record()
    assert record.error is None
    assert changed.items() <= record.protocol.items()
    assert names <= numbers_of(found).keys()
    assert all(check.passed for check in found.checks)
    assert key(record.subject, record.protocol, None) != key(record.subject, on_coco.protocol, None)
    classes = {row["name"] for row in csv.DictReader(io.StringIO(found.per_class_csv()))}
    assert (classes == {"all classes"}) == ("class_agnostic" in options)
    interval = found.scores[0].intervals["ap"]
    assert interval[0] <= found.scores[0].metrics["ap"] <= interval[1]


def test_the_usual_rules_leave_the_protocol_as_it_was(on_coco: Evaluation) -> None:
    assert set(on_coco.protocol) == {
        *("probe", "version", "predictions", "annotations", "lvis", "lvis_version", "images", "cap_ap", "cap_apb"),
        *("detection_area", "dilation_ratio", "resamples", "seed"),
    }


def test_boxes_of_masks_are_scored_where_results_have_no_others(tmp_path: Path) -> None:
    results = json.loads(ON_COCO.read_bytes())
    without = [{name: value for name, value in result.items() if name != "bbox"} for result in results]
    found = evaluate(moved(tmp_path, without), coco=COCO, resamples=0, boxes=True, verify=True)
    assert found.checks[0].passed
    alone = [
        {**{name: result[name] for name in ("image_id", "category_id", "score")}, "bbox": box}
        for result, box in zip(results, found.predictions.boxes.tolist(), strict=True)
    ]
    again = evaluate(moved(tmp_path, alone), coco=COCO, resamples=0, boxes=True)
    assert again.scores[0].metrics == found.scores[0].metrics


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cap": 0}, "The cap on detections is 0; expected at least 1; give 100"),
        ({"lvis": LVIS, "boxes": True}, "given for the AP of boxes; expected COCO annotations"),
        ({"lvis": LVIS, "class_agnostic": True}, "by LVIS's rules; expected COCO's: LVIS says class by class"),
    ],
)
def test_rules_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(ON_COCO, coco=COCO, **options)  # type: ignore[arg-type]


def test_images_of_a_run_may_be_names(on_coco: Evaluation, tmp_path: Path) -> None:
    annotations = json.loads(COCO.read_bytes())
    for image in annotations["images"]:
        image["file_name"] = f"IMG-{image['id']}.jpg"
    path = tmp_path / "named.json"
    path.write_text(json.dumps(annotations))
    names = [f"IMG-{image['id']}" for image in annotations["images"]]
    found = evaluate(ON_COCO, coco=path, resamples=0, images=names)
    assert found.scores[0].metrics == on_coco.scores[0].metrics
    with pytest.raises(ValueError, match="The images of the run include nowhere, which no annotation file given lists"):
        evaluate(ON_COCO, coco=path, resamples=0, images=["nowhere", *names[1:]])
