"""Intervals cover what they should, comparisons are paired, and nothing is made of nothing."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.accuracy.average_precision import metrics
from bench.accuracy.bootstrap import compare, draw, intervals
from bench.accuracy.matching import Matches
from bench.accuracy.protocol import PRESETS
from tests.bench.accuracy.made_up import table

AP_NAMES = ["ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l"]


def better(matches: Matches) -> Matches:
    """The same with half of the false positives ignored."""
    wrong = ~matches.matched & ~matches.ignored & (np.arange(len(matches.score)) % 2 == 0)
    return dataclasses.replace(matches, ignored=matches.ignored | wrong)


def test_a_resample_draws_as_many_images_as_there_are() -> None:
    weights = draw(50, 200, 3)
    assert (weights.sum(1) == 50).all()
    # Each image is left out of a share of (1 - 1/50)^50 = 0.364 of the resamples.
    assert (weights == 0).mean() == pytest.approx(0.364, abs=0.01)
    np.testing.assert_array_equal(weights, draw(50, 200, 3))
    assert (weights != draw(50, 200, 4)).any()


def test_the_same_seed_gives_the_same_intervals() -> None:
    matches = table(0, num_objects=60, num_detections=150)
    assert intervals(matches, resamples=100) == intervals(matches, resamples=100)
    assert intervals(matches, resamples=100) != intervals(matches, resamples=100, seed=1)


def test_intervals_are_about_the_metrics() -> None:
    matches = table(0, num_images=30, num_objects=120, num_detections=300)
    found, values = intervals(matches, resamples=200), metrics(matches)
    assert list(found) == AP_NAMES
    assert all(0 <= low < values[name] < high <= 100 for name, (low, high) in found.items())
    narrow = intervals(matches, resamples=200, level=0.5)
    assert all(found[name][0] < low < high < found[name][1] for name, (low, high) in narrow.items())


def test_intervals_cover_the_ap_of_other_images() -> None:
    samples = [
        table(seed, num_images=20, num_categories=10, num_objects=60, num_detections=90, tied=False)
        for seed in range(60)
    ]
    values = np.array([metrics(matches)["ap"] for matches in samples])
    bounds = np.array([intervals(matches, resamples=80)["ap"] for matches in samples[:30]])
    covered = (bounds[:, 0] <= values.mean()) & (values.mean() <= bounds[:, 1])
    assert covered.mean() > 0.85
    # Resamples of so few objects have an AP that is 3.6 points higher; the interval is only skewed, by one point.
    assert (bounds.mean(1) - values[:30]).mean() == pytest.approx(0, abs=2)


@pytest.mark.parametrize("num_images", [0, 1])
def test_too_few_images_have_no_interval(num_images: int) -> None:
    many = {"num_objects": 5 * num_images, "num_detections": 9 * num_images}
    matches = table(0, num_images=max(num_images, 1), **many)
    matches = dataclasses.replace(matches, image_ids=matches.image_ids[:num_images])
    assert intervals(matches, resamples=50) == {}
    for comparison in compare(matches, matches, resamples=50).values():
        assert (comparison.interval, comparison.p, comparison.significant) == (None, None, False)


def test_no_objects_have_no_interval() -> None:
    matches = table(0, num_objects=0)
    assert intervals(matches, resamples=50) == {}
    assert compare(matches, matches, resamples=50) == {}


def test_resamples_without_a_class_are_left_out() -> None:
    # All objects are on the first of three images: 8 of 27 resamples have none.
    matches = table(5, num_images=1, num_objects=20, num_detections=60)
    matches = dataclasses.replace(matches, image_ids=np.array([1, 2, 3]))
    low, high = intervals(matches, resamples=200)["ap"]
    assert low == pytest.approx(high)
    assert low == pytest.approx(metrics(matches)["ap"])
    assert intervals(matches, resamples=45) == {}


def test_no_detections_are_surely_zero() -> None:
    matches = table(0, num_detections=0, num_objects=30)
    assert intervals(matches, resamples=50)["ap"] == (0, 0)


def test_nothing_separates_a_result_from_itself() -> None:
    matches = table(0, num_objects=60, num_detections=150)
    for comparison in compare(matches, matches, resamples=100).values():
        assert (comparison.difference, comparison.interval, comparison.p) == (0, (0, 0), 1)


def test_pairing_shows_a_difference_that_intervals_hide() -> None:
    matches = table(0, num_images=40, num_objects=150, num_detections=400)
    other = better(matches)
    comparison = compare(matches, other, resamples=200)["ap"]
    assert intervals(other, resamples=200)["ap"][0] < intervals(matches, resamples=200)["ap"][1]
    assert comparison.difference == pytest.approx(metrics(other)["ap"] - metrics(matches)["ap"])
    assert comparison.significant
    assert comparison.p == 1 / 200


@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.floats(0.7, 1.3))
@settings(max_examples=20)
def test_significant_is_an_interval_without_zero(seed: int, resamples: int, skill: float) -> None:
    rng = np.random.default_rng(seed)
    first = table(seed, num_images=8, num_objects=40, num_detections=80)
    # Other detections of the same objects.
    second = dataclasses.replace(first, score=first.score, matched=first.matched & (rng.random(80) < skill))
    for comparison in compare(first, second, resamples=resamples).values():
        if comparison.interval is None:
            assert resamples < 40 or comparison.p is None
            continue
        low, high = comparison.interval
        assert comparison.significant == (low > 0 or high < 0)
        assert comparison.p is not None
        assert 1 / resamples <= comparison.p <= 1


def test_only_like_is_compared_with_like() -> None:
    matches = table(0)
    protocol = dataclasses.replace(PRESETS["coco"], cap=300, federated=True)
    with pytest.raises(ValueError, match="different protocols: federated False and True; cap 100 and 300"):
        compare(matches, dataclasses.replace(matches, protocol=protocol))
    with pytest.raises(ValueError, match="different images: 6 only in the first, 6 only in the second"):
        compare(matches, dataclasses.replace(matches, image_ids=matches.image_ids + 100))
    with pytest.raises(ValueError, match="different annotations"):
        compare(matches, dataclasses.replace(matches, truth_ignored=~matches.truth_ignored))
    renamed = dataclasses.replace(matches, protocol=dataclasses.replace(PRESETS["coco"], name="mine"))
    assert compare(matches, renamed, resamples=50)["ap"].p == 1


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        intervals(table(0), level=95.0)
    with pytest.raises(ValueError, match="Asked for 0 resamples"):
        intervals(table(0), resamples=0)
    with pytest.raises(ValueError, match=r"Asked for 1000000000 resamples; expected 100000 at most; give fewer"):
        intervals(table(0), resamples=10**9)
    with pytest.raises(ValueError, match=r"Asked for 100000 resamples of 118287 images; expected 4538 at most"):
        draw(118_287, 100_000, 0)
    with pytest.raises(ValueError, match=r"The seed of the resamples is -1; expected a whole number from 0 on"):
        intervals(table(0), seed=-1)


@pytest.mark.parametrize(("frequencies", "names"), [("fff", set()), ("rcf", {"ap_r", "ap_c", "ap_f"})])
def test_an_ap_by_frequency_is_compared_where_it_is_another_number(frequencies: str, names: set[str]) -> None:
    matches = table(0, num_objects=60, protocol=PRESETS["ap-star"], frequencies=tuple(frequencies))
    found = compare(matches, matches, resamples=50).keys()
    assert found & {"ap_r", "ap_c", "ap_f"} == names
