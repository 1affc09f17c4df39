"""Bands are what repeated erosion leaves over, and their overlaps those of pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from bench.accuracy.boundary import Bitmap, band, band_ious, band_width
from bench.data.run_lengths import runs_of_ones
from tests.bench.accuracy.scenes import Scene, encode, ground_truth, predictions, scenes
from tests.bench.accuracy.slow_boundary import eroded, slow_band

Bits = NDArray[np.uint8]

bitmaps = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.integers(0, 1))


def fast_band(bitmap: Bits, distance: int) -> Bitmap:
    (runs,) = runs_of_ones([encode(bitmap)["counts"].encode()])
    return band(runs, *bitmap.shape, distance)


def drawn(bitmap: Bitmap, height: int, width: int) -> Bits:
    """Read the bits of a mask off, and check that there are no others."""
    bits = bitmap.bits << bitmap.left * (height + 1)
    columns = [[bits >> column * (height + 1) + row & 1 for row in range(height)] for column in range(width)]
    assert np.sum(columns) == bits.bit_count()
    return np.array(columns, np.uint8).T


@given(bitmaps, st.integers(1, 5))
def test_a_band_is_what_erosion_takes_away(bitmap: Bits, distance: int) -> None:
    found = drawn(fast_band(bitmap, distance), *bitmap.shape)
    np.testing.assert_array_equal(found, bitmap - eroded(bitmap, distance))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(1, 6))
def test_solid_shapes_lose_their_inside(height: int, width: int, hole: int, distance: int) -> None:
    bitmap = np.ones((height, width), np.uint8)
    bitmap[hole : hole + 2, hole : hole + 3] = 0
    found = drawn(fast_band(bitmap, distance), height, width)
    np.testing.assert_array_equal(found, bitmap - eroded(bitmap, distance))


@pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1)])
def test_an_image_of_one_row_is_all_border(shape: tuple[int, int]) -> None:
    # Outside of the image there is nothing, as in boundary-iou-api; faster-coco-eval has no such band.
    assert fast_band(np.ones(shape, np.uint8), 1).bits.bit_count() == max(shape)


def test_a_mask_without_a_pixel_has_no_band() -> None:
    nothing = np.zeros((5, 7), np.uint8)
    assert fast_band(nothing, 2).bits == 0
    image, fields = (
        {"id": 1, "height": 5, "width": 7},
        {"image_id": 1, "category_id": 1, "segmentation": encode(nothing)},
    )
    truth = ground_truth(
        {
            "images": [image],
            "annotations": [fields | {"area": 0, "bbox": [0, 0, 0, 0]}],
            "categories": [{"id": 1, "name": "thing"}],
        }
    )
    first = np.zeros(1, np.int64)
    assert band_ious(truth, predictions([fields | {"score": 1}]), first, first, 0.02) == [0]


@given(st.data())
def test_shared_pixels_are_those_of_both(data: st.DataObject) -> None:
    one = data.draw(bitmaps)
    other = data.draw(arrays.arrays(np.uint8, one.shape, elements=st.integers(0, 1)))
    shared = fast_band(one, 2).shared(fast_band(other, 2), one.shape[0])
    assert shared == ((one - eroded(one, 2)) & (other - eroded(other, 2))).sum()


@pytest.mark.parametrize(
    ("height", "width", "ratio", "distance"),
    [(480, 640, 0.02, 16), (480, 640, 0.005, 4), (3, 4, 0.02, 1), (3, 4, 0.5, 2), (3, 4, 0.7, 4), (3, 4, 0.9, 4)],
)
def test_width_is_a_share_of_the_diagonal_half_to_even(height: int, width: int, ratio: float, distance: int) -> None:
    assert band_width(height, width, ratio) == distance


@given(scenes(side=(20, 60)), st.sampled_from([0.02, 0.1]))
def test_overlaps_of_bands_are_those_of_pycocotools(each: Scene, ratio: float) -> None:
    truth, predictions = each.truth, each.predictions
    rows = [
        (detection, one)
        for detection, result in enumerate(each.results)
        for one, other in enumerate(each.annotations["annotations"])
        if result["image_id"] == other["image_id"]
    ]
    detections, objects = np.array(rows, np.int64).reshape(-1, 2).T
    ours = [slow_band(result["segmentation"], ratio) for result in each.results]
    theirs = [slow_band(one["segmentation"], ratio) for one in each.annotations["annotations"]]
    expected = [coco_mask.iou([ours[detection]], [theirs[one]], [0])[0, 0] for detection, one in rows]
    np.testing.assert_array_equal(band_ious(truth, predictions, detections, objects, ratio), expected)
