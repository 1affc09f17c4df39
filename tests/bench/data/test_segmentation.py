"""Polygons and run lengths become bitmaps; damaged ones are reported instead of hanging."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from bench.data.segmentation import RunLengths, Segmentation, encode, rasterise

bitmaps = arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1))


def as_string(bitmap: np.ndarray) -> RunLengths:
    return RunLengths(size=bitmap.shape, counts=coco_mask.encode(np.asfortranarray(bitmap))["counts"].decode())


def as_list(bitmap: np.ndarray) -> RunLengths:
    flat = np.concatenate([[0], bitmap.ravel(order="F")])
    ends = np.flatnonzero(np.diff(np.concatenate([flat, [2]])))
    return RunLengths(size=bitmap.shape, counts=np.diff(np.concatenate([[0], ends])).tolist())


@given(bitmaps)
def test_both_kinds_of_run_lengths_give_the_bitmap_back(bitmap: np.ndarray) -> None:
    masks = rasterise([as_string(bitmap), as_list(bitmap)], *bitmap.shape)
    np.testing.assert_array_equal(masks, np.stack([bitmap, bitmap]))


@given(bitmaps, st.data())
def test_a_damaged_string_raises_or_decodes_to_the_size_of_the_image(bitmap: np.ndarray, data: st.DataObject) -> None:
    counts = as_string(bitmap).counts
    assert isinstance(counts, str)
    cut = counts[: data.draw(st.integers(0, len(counts) - 1))] + data.draw(st.text("0123Zo~ ", max_size=3))
    try:
        masks = rasterise([RunLengths(size=bitmap.shape, counts=cut)], *bitmap.shape)
    except ValueError:
        return
    assert masks.shape == (1, *bitmap.shape)


def test_polygons_are_united_and_lines_enclose_nothing() -> None:
    square, far, line = (
        [1.0, 1.0, 4.0, 1.0, 4.0, 4.0, 1.0, 4.0],
        [6.0, 6.0, 8.0, 6.0, 8.0, 8.0, 6.0, 8.0],
        [0.0, 0.0, 9.0, 9.0],
    )
    masks = rasterise([[square, far], [line], [], [square, line]], 10, 12)
    assert masks.shape == (4, 10, 12)
    assert masks.flags.c_contiguous
    expected = np.zeros((10, 12), np.uint8)
    expected[1:4, 1:4] = 1
    np.testing.assert_array_equal(masks[3], expected)
    expected[6:8, 6:8] = 1
    np.testing.assert_array_equal(masks[0], expected)
    assert not masks[1:3].any()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ('{"size": [12, 10], "counts": [120]}', "transposed"),
        ('{"size": [9, 9], "counts": [81]}', "expected the image's 10 x 12"),
        ('{"size": [10, 12], "counts": [100]}', "cover 100 pixels"),
        ('{"size": [10, 12], "counts": [130, -10]}', "non-negative"),
        ('{"size": [10, 12], "counts": []}', "cover 0 pixels"),
        ('{"size": [10, 12], "counts": "o"}', "cut off"),
        ('{"size": [10, 12], "counts": "~"}', "expected the characters"),
        ("[[1, 1, 4, 1, 4, 4, 1]]", "has 7 coordinates"),
    ],
)
def test_damaged_segmentations_are_explained(segmentation: str, message: str) -> None:
    decoded: Segmentation = msgspec.json.decode(segmentation, type=Segmentation)
    with pytest.raises(ValueError, match=message):
        rasterise([decoded], 10, 12)


@given(st.lists(bitmaps, min_size=1, max_size=4))
def test_masks_of_a_file_are_measured_and_encoded_alike(drawn: list[np.ndarray]) -> None:
    sizes = np.array([bitmap.shape for bitmap in drawn])
    strings, lists = ([kind(bitmap) for bitmap in drawn] for kind in (as_string, as_list))
    masks, same = (encode(each, sizes, str) for each in (strings, lists))
    assert masks.counts == same.counts == tuple(str(each.counts).encode() for each in strings)
    assert masks.area.tolist() == [bitmap.sum() for bitmap in drawn]
    for bitmap, box in zip(drawn, masks.boxes, strict=True):
        expected = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(bitmap)))
        assert box.tolist() == (expected.tolist() if bitmap.any() else [0, 0, 0, 0])


def test_a_damaged_mask_of_a_file_is_named_by_its_place() -> None:
    sizes = np.array([[10, 12]] * 2)
    whole: list[Segmentation] = [[[1.0, 1.0, 4.0, 1.0, 4.0, 4.0]]]
    for damaged, message in (
        (RunLengths(size=(10, 12), counts="o"), "mask 1 has run lengths that end within"),
        ([[1.0, 1.0, 4.0]], "mask 1: A polygon has 3 coordinates"),
    ):
        with pytest.raises(ValueError, match=message):
            encode([*whole, damaged], sizes, lambda index: f"mask {index}")
