"""Weights on the images count like repeated images, exactly; of the 101 recalls none is won or lost by rounding."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.accuracy.weighted
from bench.accuracy.average_precision import averages, metrics
from bench.accuracy.matching import match
from bench.accuracy.protocol import PRESETS, RECALLS
from bench.accuracy.weighted import _num_recalls, resampled
from tests.bench.accuracy.made_up import repeated, table
from tests.bench.accuracy.scenes import Dict, ground_truth, predictions, scene

seeds = st.integers(0, 2**32 - 1)


def expected(values: dict[str, float], names: list[str]) -> list[float]:
    return [values.get(name, np.nan) for name in names]


@given(seeds, st.booleans(), st.integers(0, 80), st.integers(0, 300))
@settings(max_examples=50)
def test_weights_of_one_change_nothing(seed: int, tied: bool, num_objects: int, num_detections: int) -> None:
    matches = table(seed, tied=tied, num_objects=num_objects, num_detections=num_detections)
    values = resampled(matches, np.ones((1, 6), np.int64))
    names = list(averages(matches))
    assert [float(values[name][0]) for name in names] == pytest.approx(
        expected(metrics(matches), names), rel=1e-13, nan_ok=True
    )


@given(seeds, st.integers(0, 60), st.integers(0, 200))
@settings(max_examples=50)
def test_a_weight_is_a_number_of_copies(seed: int, num_objects: int, num_detections: int) -> None:
    frequencies = ("r", "f", "f")
    matches = table(
        seed, num_objects=num_objects, num_detections=num_detections, protocol=PRESETS["lvis"], frequencies=frequencies
    )
    weights = np.random.default_rng(seed).poisson(1.0, (4, 6))
    values = resampled(matches, weights)
    names = list(averages(matches))
    for row, times in enumerate(weights):
        copies = metrics(repeated(matches, times))
        assert [float(values[name][row]) for name in names] == pytest.approx(
            expected(copies, names), rel=1e-12, nan_ok=True
        )


@pytest.mark.parametrize(("name", "lvis"), [("coco", False), ("ap-star", True), ("coco-boundary", False)])
def test_a_data_set_with_repeated_images_has_the_resampled_values(name: str, lvis: bool) -> None:
    for seed in range(4):
        made = scene(seed, lvis=lvis, num_images=4)
        # An image's detections of equal scores would alternate between its copies.
        results = [result | {"score": 1 / (2 + place)} for place, result in enumerate(made.results)]
        times = np.random.default_rng(seed).permutation([0, 1, 2, 3])
        annotations, repeated_results = copied(made.annotations, results, times)
        (matches,) = match(made.truth, predictions(results), [PRESETS[name]])
        (whole,) = match(ground_truth(annotations), predictions(repeated_results), [PRESETS[name]])
        values = resampled(matches, times[None])
        names = list(averages(matches))
        assert [float(values[each][0]) for each in names] == pytest.approx(
            expected(metrics(whole), names), rel=1e-12, nan_ok=True
        )


def copied(annotations: Dict, results: list[Dict], times: np.ndarray) -> tuple[Dict, list[Dict]]:
    """Every image as often as `times` says, by ascending id; copies get ids of their own next to each other."""
    images, objects, copies = [], [], []
    for place, image in enumerate(sorted(annotations["images"], key=lambda image: image["id"])):
        for number in range(times[place]):
            other = {"image_id": 10 * image["id"] + number}
            images.append(image | {"id": other["image_id"]})
            objects += [each | other for each in annotations["annotations"] if each["image_id"] == image["id"]]
            copies += [each | other for each in results if each["image_id"] == image["id"]]
    objects = [each | {"id": place + 1} for place, each in enumerate(objects)]
    return copy.deepcopy(annotations | {"images": images, "annotations": objects}), copies


def test_classes_without_objects_leave_the_mean_of_their_resample_only() -> None:
    matches = table(1, num_images=2, num_categories=2, num_objects=8)
    alone = [metrics(repeated(matches, np.array(times))) for times in ((1, 0), (0, 1))]
    values = resampled(matches, np.array([[1, 0], [0, 1], [0, 0]]))
    assert values["ap"][:2].tolist() == pytest.approx([each["ap"] for each in alone])
    assert np.isnan(values["ap"][2])


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    matches = table(2, num_objects=40, num_detections=200)
    weights = np.random.default_rng(0).poisson(1.0, (23, 6))
    whole = resampled(matches, weights)
    monkeypatch.setattr(bench.accuracy.weighted, "_BLOCK", 5)
    for name, values in resampled(matches, weights).items():
        np.testing.assert_array_equal(values, whole[name])
    assert len(resampled(matches, weights[:0])["ap"]) == 0


def test_reached_recalls_are_those_of_a_binary_search() -> None:
    recalls = np.array(RECALLS)
    for num_objects in (*range(1, 301), 7919, 10_000, 123_400):
        found = np.arange(num_objects + 1) if num_objects < 8000 else np.arange(0, num_objects + 1, num_objects // 200)
        recall = found / num_objects
        reached = _num_recalls(recall[:, None])[:, 0]
        np.testing.assert_array_equal(reached, np.searchsorted(recalls, recall, side="right"))
