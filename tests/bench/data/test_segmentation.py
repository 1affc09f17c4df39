"""Polygons and run lengths become bitmaps; damaged ones are reported instead of hanging."""

import json
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from bench.data.segmentation import (
    FLAT,
    FLOATS,
    NESTED,
    PAIRS,
    TEXT,
    WRAPPED,
    RunLengths,
    Segmentation,
    encode,
    normal_segmentation,
    rasterise,
)

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


TRIANGLE = [1.0, 1.0, 9.0, 1.0, 9.0, 9.0]
PAIRED = [[1, 1], [9, 1], [9, 9]]
RUNS = RunLengths(size=(4, 3), counts=[2, 4, 6])


@pytest.mark.parametrize("nothing", [None, [], [[]], [[], []]])
def test_no_polygon_is_no_mask(nothing: object) -> None:
    assert normal_segmentation(nothing) == (None, "")


@pytest.mark.parametrize(
    ("value", "repair"),
    [
        ([TRIANGLE], ""),
        ([TRIANGLE, []], ""),
        (TRIANGLE, FLAT),
        (PAIRED, PAIRS),
        ([PAIRED], PAIRS),
        ([{"x": x, "y": y} for x, y in PAIRED], PAIRS),
        ([[TRIANGLE]], NESTED),
        ([["1", "1.0", 9, 1, 9, 9]], TEXT),
    ],
)
def test_shapes_of_polygons_that_have_one_meaning_are_read_and_named(value: object, repair: str) -> None:
    assert normal_segmentation(value) == ([TRIANGLE], repair)


def test_a_point_and_a_line_stay_what_they_are() -> None:
    assert normal_segmentation([[128.0, 128.0]]) == ([[128.0, 128.0]], "")
    assert normal_segmentation([[1, 1], [5, 5]]) == ([[1.0, 1.0], [5.0, 5.0]], "")


@pytest.mark.parametrize(
    ("value", "repair"),
    [
        ({"size": [4, 3], "counts": [2, 4, 6]}, ""),
        ({"size": [4.0, 3.0], "counts": [2.0, 4.0, 6.0]}, FLOATS),
        ({"size": ["4", "3"], "counts": [2, 4, 6]}, TEXT),
        ([{"size": [4, 3], "counts": [2, 4, 6]}], WRAPPED),
    ],
)
def test_shapes_of_run_lengths_that_have_one_meaning_are_read_and_named(value: object, repair: str) -> None:
    assert normal_segmentation(value) == (RUNS, repair)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("b'hS74'", "is text"),
        (7, "is 7; expected polygons"),
        ([1, [2, 3]], "no one meaning"),
        ([[1, 2, [3]]], "no one meaning"),
        ([PAIRED, TRIANGLE], "no one meaning"),
        ([[1, 2, "three", 4]], "text ('three') where a number belongs"),
        ([[1, 2, float("nan"), 4]], "holds nan where a number belongs"),
        ([[1, 2, True, 4]], "no one meaning"),
        ([{"size": [4, 3], "counts": [12]}] * 2, "no one meaning"),
        ({}, "an object with nothing"),
        ({"counts": [12]}, "an object with counts"),
        ({"size": [4, 3], "counts": [2.5, 9.5]}, "hold 2.5; expected whole numbers"),
        ({"size": [4, 3], "counts": "b'04'"}, "b'04'..., the text of Python's bytes"),
        ({"size": [40, 3], "counts": [104, 83, 55, 52]}, r"[104, 83, 55, 52, ...], which look like codes"),
    ],
)
def test_shapes_that_have_no_one_meaning_are_errors(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        normal_segmentation(value)


@given(bitmaps)
def test_what_coco_writes_is_left_alone(bitmap: np.ndarray) -> None:
    for mask in (as_string(bitmap), as_list(bitmap)):
        assert normal_segmentation(json.loads(msgspec.json.encode(mask))) == (mask, "")


@pytest.mark.parametrize("counts", ["b'hS74'", [104, 83, 55, 52]])
def test_bytes_that_became_something_else_are_named(counts: str | list[int]) -> None:
    with pytest.raises(ValueError, match=r"mask 0: Run lengths are .*; write counts.decode\(\) into the file"):
        encode([RunLengths(size=(40, 3), counts=counts)], np.array([[40, 3]]), "mask {}".format)
