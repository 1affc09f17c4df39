"""What errors cost: by size and class, on resampled images as on repeated ones, and against another result."""

import numpy as np
import pytest

from bench.accuracy.average_precision import means
from bench.accuracy.bootstrap import draw
from bench.accuracy.errors import REPAIRS, Errors, find
from bench.accuracy.gains import Gain, compare, gains
from bench.accuracy.protocol import PRESETS
from bench.accuracy.selection import Entries
from bench.accuracy.weighted import Average
from tests.bench.accuracy.blocks import a_result, an_object, entries, with_overlaps
from tests.bench.accuracy.made_up import repeated
from tests.bench.accuracy.scenes import scene

A, B = (0, 0, 40, 40), (50, 50, 40, 40)


@pytest.fixture(scope="module")
def drawn() -> Errors:
    each = scene(3, num_images=6, num_categories=2, max_objects=6, score_decimals=6)
    return find(*with_overlaps(Entries(each.truth, each.predictions, None), PRESETS["coco"]))


def half(score: float, *, found: int) -> Errors:
    """Eight images with an object of two classes each; the second is only found on the first `found`."""
    objects = [an_object(block, place + 1, image=image + 1) for image in range(8) for place, block in enumerate((A, B))]
    results = [a_result(A, 1, 0.9, image=image + 1) for image in range(8)]
    results += [a_result(B, 2 if image < found else 3, score, image=image + 1) for image in range(8)]
    return find(*with_overlaps(entries(objects, results, num_images=8), PRESETS["coco"]))


def test_gains_have_an_error_and_perhaps_a_size_or_class() -> None:
    found = {tuple(gain.at.values()): gain.value for gain in gains(half(0.5, found=4), resamples=0)}
    assert found["class",] == pytest.approx(24.75, abs=0.01), "half of the mean of two classes, at 101 recalls"
    assert found["class", "medium"] == found["class",]
    assert found["class", "class 1"] == 0
    assert found["class", "class 2"] == pytest.approx(49.5, abs=0.01)
    assert not any("small" in at or "class 3" in at for at in found), "no such object"
    assert {at[0] for at in found} == set(REPAIRS)


def test_resamples_are_repeated_images(drawn: Errors) -> None:
    weights = draw(len(drawn.image_ids), 5, 7)
    whole = [Average(area=0, thresholds=(0,), classes=np.ones(2, bool))]
    found = {gain.at["error"]: gain for gain in gains(drawn, resamples=5, seed=7) if len(gain.at) == 1}
    for repair, gain in found.items():
        for row, times in enumerate(weights):
            before, after = (means(repeated(table, times), whole) for table in (drawn.mended(), drawn.mended(repair)))
            assert gain.resampled[row] == pytest.approx(after[0] - before[0], abs=1e-9)


def test_intervals_hold_the_gain_and_need_two_images() -> None:
    (gain,) = (each for each in gains(half(0.5, found=4), resamples=200) if each.at == {"error": "class"})
    assert gain.interval is not None
    assert gain.interval[0] < gain.value < gain.interval[1]
    alone = find(*with_overlaps(entries([an_object(A, 1)], [a_result(A, 2, 0.9)]), PRESETS["coco"]))
    assert all(gain.interval is None for gain in gains(alone, resamples=200))


def test_an_interval_lies_about_the_gain_and_not_below_zero() -> None:
    """Resampled gains are lower by what repeated images add to AP as it is."""
    resampled = np.arange(1000) / 500
    far = Gain(at={"error": "class"}, value=5.0, resampled=resampled).interval
    assert far == pytest.approx((5 - 0.999 + 0.048, 5 - 0.999 + 1.95))
    assert Gain(at={"error": "class"}, value=0.5, resampled=resampled).interval == pytest.approx((0, 1.451))


def test_two_results_are_compared_on_the_same_resamples() -> None:
    found = {tuple(at.values()): each for at, each in compare(half(0.5, found=2), half(0.5, found=6), resamples=200)}
    fewer = found["class",]
    assert fewer.difference == pytest.approx(fewer.second - fewer.first)
    assert fewer.difference < 0
    assert fewer.significant
    assert found["class", "class 1"].difference == 0
    assert not found["duplicate",].significant
    other = find(*with_overlaps(entries([an_object(A, 1)], []), PRESETS["coco"]))
    with pytest.raises(ValueError, match="on different images"):
        list(compare(half(0.5, found=2), other, resamples=10))
