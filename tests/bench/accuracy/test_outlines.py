"""Found objects are drawn as well as their masks and boundaries overlap; two results on the objects both found."""

import numpy as np
import pytest

from bench.accuracy.errors import find
from bench.accuracy.outlines import Outlines, compare, outlines, qualities
from bench.accuracy.protocol import PRESETS
from tests.bench.accuracy.blocks import Block, a_result, an_object, entries, with_overlaps

COCO = PRESETS["coco"]
LARGE, SMALL = (0, 0, 60, 60), (70, 70, 20, 20)


def of(drawn: Block, *, missed: int = 0, num_images: int = 6) -> Outlines:
    """Images with a large and a small object; the small one is drawn as it is, but for the first `missed`."""
    images = range(1, num_images + 1)
    objects = [an_object(block, 1, image=image) for image in images for block in (LARGE, SMALL)]
    results = [a_result(drawn, 1, 0.9, image=image) for image in images]
    results += [a_result(SMALL, 1, 0.8, image=image) for image in images if image > missed]
    found = with_overlaps(entries(objects, results, num_images=num_images), COCO)
    return outlines(*found, find(*found))


def test_means_by_size() -> None:
    """The band is 3 pixels wide; that of the narrower mask lies outside the object's on one side."""
    found = {(each.measure, each.size): each for each in qualities(of((0, 0, 60, 50)), resamples=100)}
    assert found["mask", "medium"].value == pytest.approx(5 / 6)
    band = 60 * 60 - 54 * 54, 60 * 50 - 54 * 44
    shared = 3 * 60 + 2 * 3 * 47
    assert found["boundary", "medium"].value == pytest.approx(shared / (sum(band) - shared))
    assert found["boundary", "small"].value == 1
    whole = found["boundary", None]
    assert whole.value == pytest.approx((found["boundary", "medium"].value + 1) / 2)
    assert whole.interval == pytest.approx((whole.value, whole.value)), "all images are alike"
    assert whole.num_objects == 12
    assert ("mask", "large") not in found


def test_two_results_are_compared_on_what_both_found() -> None:
    better, worse = of((0, 0, 60, 58), missed=5), of((0, 0, 60, 50))
    found = {(measure, size): (number, each) for measure, size, number, each in compare(better, worse, resamples=100)}
    number, small = found["boundary", "small"]
    assert (number, small.difference) == (1, 0)
    number, whole = found["boundary", None]
    assert number == 7
    assert whole.difference < 0
    assert whole.significant
    assert np.nanmean(worse.iou[1]) > np.nanmean(better.iou[1]), "the worse one found more of the easy, small objects"
    with pytest.raises(ValueError, match="different objects"):
        list(compare(better, of((0, 0, 60, 50), num_images=5), resamples=10))


def test_without_images_to_draw_from_there_is_no_interval() -> None:
    assert {each.interval for each in qualities(of(LARGE, num_images=1), resamples=100)} == {None}
    assert {each.interval for each in qualities(of(LARGE), resamples=0)} == {None}
