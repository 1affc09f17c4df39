"""One head run in several ways: every way is what it says, and the trained one is the head itself."""

from dataclasses import replace

import numpy as np
import pytest

from bench.contract import Context, Measurement
from bench.data.layout import coco_layout
from bench.glyphs import write
from bench.planning import own_data, recipes
from bench.probes import accuracy_true_boxes, budget, policies
from bench.record import Subject
from tests.bench.found import numbers_at, rows_at

NUM_IMAGES = 2
SUBJECT = recipes.embedded("effseg")  # with trained weights: random ones have an AP of 0, however they refine


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("glyphs")
    write(folder, "tune", NUM_IMAGES)
    return Context(
        data=coco_layout(folder), lvis=folder / "annotations" / "glyphs_fine_val.json", weights=own_data.SHIPPED
    )


@pytest.fixture(scope="module")
def itself(glyphs: Context) -> Measurement:
    return accuracy_true_boxes.measure(SUBJECT, glyphs)


def assert_is(measurement: Measurement, itself: Measurement, **way: str) -> None:
    found, expected = rows_at(measurement, **way), rows_at(itself)
    for metric in ("ap", "ap50", "apb", "ap_star", "ap_star75", "apb_star"):
        assert (found[metric].value, found[metric].interval) == (expected[metric].value, expected[metric].interval)
        assert found[metric].unit == "points"


def test_policies(glyphs: Context, itself: Measurement) -> None:
    found = policies.measure(SUBJECT, glyphs)
    assert_is(found, itself, policy="predicted")
    by_rule = {
        rule: numbers_at(found, policy=rule)
        for rule in ("predicted", "uncertainty", "boundary", "random", "oracle", "all")
    }
    for rule, numbers in by_rule.items():
        differences = numbers_at(found, policy=rule, reference="predicted")
        assert (rule == "predicted") == (not differences)
        for name, difference in differences.items():
            metric = name.removesuffix("_difference")
            assert difference == pytest.approx(numbers[metric] - by_rule["predicted"][metric])
    # On two images a single metric may well be the same for two rules.
    metrics = ("ap", "ap_star", "apb", "apb_star")
    rules = ("predicted", "uncertainty", "random", "all")
    assert len({tuple(by_rule[rule][metric] for metric in metrics) for rule in rules}) == 4
    assert numbers_at(found).keys() == {"cells_per_stage", "images", "images_skipped"}
    assert policies.measure(SUBJECT, glyphs).values == found.values


def test_budgets(glyphs: Context, itself: Measurement) -> None:
    found = budget.measure(SUBJECT, glyphs)
    assert_is(found, itself, budget="trained")
    regions = numbers_at(itself)["predictions"] / NUM_IMAGES
    cells = {name: numbers_at(found, budget=name)["cells"] for name in budget.FACTORS}
    assert cells["none"] == regions
    assert cells["trained"] == 184 * regions
    assert cells["half"] == 92 * regions
    assert cells["double"] == pytest.approx((196 + 2 * 368) / 3 * regions)  # the first stage has no more to refine
    for name in budget.FACTORS:
        assert rows_at(found, budget=name)["latency_ms"].unit == "ms"
        times = found.samples[f"latency_ms_{name}"]
        assert times.shape == (NUM_IMAGES,)
        assert rows_at(found, budget=name)["latency_ms"].value == np.median(times) > 0
    assert found.samples.keys() == {f"latency_ms_{name}" for name in budget.FACTORS}


@pytest.mark.parametrize(
    "subject",
    [
        Subject(head="mask_rcnn", backbone="small_fpn", preset="small"),
        Subject(head="effseg", backend="sps", module="dense_sfm", backbone="small_fpn", preset="small"),
    ],
)
def test_a_head_that_chooses_nothing_is_refused(subject: Subject, glyphs: Context) -> None:
    with pytest.raises(ValueError, match="does not choose the cells that it refines"):
        policies.measure(subject, replace(glyphs, weights=None))
