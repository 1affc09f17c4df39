"""One head run in several ways: every way is what it says, and the trained one is the head itself."""

from dataclasses import replace

import pytest

from bench.contract import Context, Measurement
from bench.glyphs import write
from bench.planning import own_data, recipes
from bench.probes import accuracy_true_boxes, budget, policies
from bench.record import Subject

NUM_IMAGES = 2
SUBJECT = recipes.embedded("effseg")  # with trained weights: random ones have an AP of 0, however they refine


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("glyphs")
    write(folder, "tune", NUM_IMAGES)
    return Context(coco=folder, lvis=folder / "annotations" / "glyphs_fine_val.json", weights=own_data.SHIPPED)


@pytest.fixture(scope="module")
def itself(glyphs: Context) -> Measurement:
    return accuracy_true_boxes.measure(SUBJECT, glyphs)


def assert_is(measurement: Measurement, way: str, itself: Measurement) -> None:
    for metric in ("ap", "ap50", "apb", "ap_star", "ap_star75", "apb_star"):
        assert measurement.values[f"{metric}_{way}"] == itself.values[metric]
        assert measurement.intervals[f"{metric}_{way}"] == itself.intervals[metric]


def test_policies(glyphs: Context, itself: Measurement) -> None:
    found = policies.measure(SUBJECT, glyphs)
    assert_is(found, "predicted", itself)
    for rule in ("uncertainty", "boundary", "random", "oracle", "all"):
        difference = found.values[f"ap_star50_{rule}"] - found.values["ap_star50_predicted"]
        assert found.values[f"ap_star50_{rule}_minus_predicted"] == pytest.approx(difference)
    # On two images a single metric may well be the same for two rules.
    metrics = ("ap", "ap_star", "apb", "apb_star")
    rules = ("predicted", "uncertainty", "random", "all")
    assert len({tuple(found.values[f"{metric}_{rule}"] for metric in metrics) for rule in rules}) == 4
    assert found.values.keys() == found.units.keys()
    assert dict(policies.measure(SUBJECT, glyphs).values) == dict(found.values)


def test_budgets(glyphs: Context, itself: Measurement) -> None:
    found = budget.measure(SUBJECT, glyphs)
    assert_is(found, "trained", itself)
    regions = itself.values["predictions"] / NUM_IMAGES
    cells = {name: found.values[f"cells_{name}"] for name in budget.FACTORS}
    assert cells["none"] == regions
    assert cells["trained"] == 184 * regions
    assert cells["half"] == 92 * regions
    assert cells["double"] == pytest.approx((196 + 2 * 368) / 3 * regions)  # the first stage has no more to refine
    assert all(found.values[f"latency_ms_{name}"] > 0 for name in budget.FACTORS)
    assert {array.shape for array in found.samples.values()} == {(NUM_IMAGES,)}
    assert found.values.keys() == found.units.keys()


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
