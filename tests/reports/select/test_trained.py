"""What was measured of trained models: the newest record of each, and which may be compared."""

import msgspec
import pandas as pd
import pytest

from reports.select.frame import frame
from reports.select.trained import by_seed, in_order, interval, left_out, of_one_run, results, usual, what_differs
from tests.reports.embedded_records import accuracy, record, trained


def found(*records: object, probe: str = "accuracy_true_boxes") -> list[float]:
    return [each.values["ap_star"] for each in results(frame(records), probe)]


def test_the_newest_record_of_a_model_counts_as_a_whole() -> None:
    old = accuracy(trained("effseg"), 40.0)
    again = msgspec.structs.replace(accuracy(trained("effseg", weights="sha256:again"), 45.0, second=1))
    assert found(old, again) == found(again, old) == [45.0]
    partial = record(trained("effseg"), "accuracy_true_boxes", {"ap": 1.0}, second=2)
    (newest,) = results(frame([old, partial]), "accuracy_true_boxes")
    assert newest.values == {"ap": 1.0}, "no value of an older record beside those of the newest"


def test_seeds_presets_modules_and_storages_are_models_of_their_own() -> None:
    models = [
        trained("effseg"),
        trained("effseg", seed=1),
        trained("effseg", module="mlp"),
        trained("effseg", backend="dense"),
        trained("mask_rcnn"),
        trained("mask_rcnn", preset="small_agnostic"),
    ]
    measured = [accuracy(model, 30.0 + number) for number, model in enumerate(models)]
    assert found(*measured) == [30.0, 31.0, 32.0, 33.0, 34.0, 35.0]
    known = results(frame(measured), "accuracy_true_boxes")
    assert [each.head for each in known][3:5] == ["EffSeg (dense)", "Mask R-CNN++"]
    assert [each.module for each in known][2:5] == ["MLP", "SFM", ""]
    assert [each.values["ap_star"] for each in usual(known)] == [34.0, 30.0, 31.0, 33.0], "the paper's order"
    assert [len(seeds) for seeds in by_seed(usual(known)).values()] == [1, 2, 1]


@pytest.mark.parametrize("probe", ["accuracy", "accuracy_true_boxes", "policies", "budget"])
def test_the_accuracy_of_random_weights_is_left_out(probe: str) -> None:
    random = trained("effseg", weights="random")
    assert results(frame([record(random, probe, {"ap_star": 1.0})]), probe) == []
    assert len(results(frame([record(random, "params", {"params_total": 1.0})]), "params")) == 1


def test_what_keeps_results_from_being_compared() -> None:
    def differing(**protocol: str) -> list[str]:
        records = [accuracy(trained("effseg"), 40.0), accuracy(trained("mask_rcnn"), 40.0, protocol=protocol)]
        return what_differs(*results(frame(records), "accuracy_true_boxes"))

    assert differing() == differing(initial="imagenet") == []
    assert differing(annotations="sha256:other", detections="detector") == ["annotations", "detections"]
    fewer = [accuracy(trained("effseg"), 40.0), accuracy(trained("mask_rcnn"), 40.0, images=199)]
    assert what_differs(*results(frame(fewer), "accuracy_true_boxes")) == ["number of images"]


def test_a_table_is_of_the_newest_conditions_and_says_what_is_not() -> None:
    records = [
        accuracy(trained("mask_rcnn"), 1.0),
        accuracy(trained("effseg"), 2.0, protocol={"images": "first 6"}, second=2),
        accuracy(trained("point_rend", seed=1), 3.0, protocol={"images": "first 6"}, second=1),
    ]
    alike, others = of_one_run(results(frame(records), "accuracy_true_boxes"))
    assert sorted(each.head for each in alike) == ["EffSeg", "PointRend++"]
    (sentence,) = left_out(others)
    assert sentence.endswith(": Mask R-CNN++ seed 0.")
    assert of_one_run([]) == ([], [])
    assert list(left_out([])) == []


def test_what_the_paper_does_not_have_comes_last() -> None:
    names = ["my_head", "effseg", "refine_mask"]
    records = [accuracy(trained(head), 1.0) for head in names]
    assert [each.subject.head for each in in_order(results(frame(records), "accuracy_true_boxes"))] == names[::-1]


def test_intervals() -> None:
    (known,) = results(frame([accuracy(trained("effseg"), 44.25)]), "accuracy_true_boxes")
    assert interval(known, "ap_star") == "41.8-46.8"
    assert interval(known, "ap_images") == interval(known, "unknown") == ""
    (perfect,) = results(frame([accuracy(trained("effseg"), 97.5)]), "accuracy_true_boxes")
    assert interval(perfect, "ap_star") == "95.0-100"


def test_nothing_measured() -> None:
    empty: pd.DataFrame = frame([])
    assert results(empty, "accuracy") == []
