"""Run lengths of many masks are measured as pycocotools measures each, and the first damaged one is found."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from bench.data import run_lengths
from bench.data.run_lengths import Damage, Extents, measure, runs_of_ones

Bitmap = NDArray[np.uint8]

bitmaps = arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30)), elements=st.integers(0, 1))
plain_runs = st.lists(st.integers(0, 5), min_size=1, max_size=20).filter(sum)
legal = "".join(chr(code) for code in range(48, 112))


def encode(bitmap: Bitmap) -> bytes:
    return coco_mask.encode(np.asfortranarray(bitmap))["counts"]


def compress(runs: list[int]) -> bytes:
    return coco_mask.frPyObjects({"size": [1, sum(runs)], "counts": runs}, 1, sum(runs))["counts"]


def measured(counts: Sequence[bytes], sizes: Sequence[tuple[int, int]]) -> Extents:
    extents = measure(counts, np.array(sizes, np.int64).reshape(-1, 2))
    assert isinstance(extents, Extents)
    return extents


def assert_official(extents: Extents, masks: Sequence[Bitmap]) -> None:
    encoded = [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]
    np.testing.assert_array_equal(extents.area, [coco_mask.area(mask) for mask in encoded])
    np.testing.assert_array_equal(extents.boxes, np.reshape([coco_mask.toBbox(mask) for mask in encoded], (-1, 4)))


@given(st.lists(bitmaps, max_size=8))
def test_areas_and_boxes_are_those_of_pycocotools(masks: list[Bitmap]) -> None:
    extents = measured([encode(mask) for mask in masks], [mask.shape for mask in masks])
    assert_official(extents, masks)
    assert extents.canonical.all()


@given(st.lists(plain_runs, min_size=1, max_size=5))
def test_empty_runs_change_neither_area_nor_box(lists: list[list[int]]) -> None:
    masks = [np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs)[None] for runs in lists]
    extents = measured([compress(runs) for runs in lists], [mask.shape for mask in masks])
    assert_official(extents, masks)
    assert extents.canonical.tolist() == [0 not in runs[1:] for runs in lists]


@given(st.lists(bitmaps, max_size=5))
def test_runs_of_ones_draw_the_mask(masks: list[Bitmap]) -> None:
    found = list(runs_of_ones([encode(mask) for mask in masks]))
    for mask, runs in zip(masks, found, strict=True):
        drawn = np.zeros(mask.size, np.uint8)
        for start, stop in runs.tolist():
            assert start < stop
            drawn[start:stop] = 1
        np.testing.assert_array_equal(drawn.reshape(mask.shape, order="F"), mask)


@given(st.lists(bitmaps, min_size=1, max_size=4), st.integers(1, 40))
def test_masks_do_not_depend_on_how_many_are_read_at_once(masks: list[Bitmap], characters: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_lengths, "_CHARACTERS_AT_ONCE", characters)
        assert_official(measured([encode(mask) for mask in masks], [mask.shape for mask in masks]), masks)


@given(st.lists(st.tuples(st.text(legal + "/p~ \0", max_size=12), st.integers(1, 40)), min_size=1, max_size=4))
def test_a_string_is_damaged_where_reading_it_character_by_character_fails(cases: list[tuple[str, int]]) -> None:
    good = compress([2, 1])
    counts, sizes = [good, *(text.encode() for text, _ in cases)], [(1, 3), *((1, width) for _, width in cases)]
    damaged = [index for index, (text, width) in enumerate(cases, 1) if not covers(text, width)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_lengths, "_CHARACTERS_AT_ONCE", 8)
        extents = measure(counts, np.array(sizes))
    assert (extents.index if isinstance(extents, Damage) else None) == (damaged[0] if damaged else None)


@given(bitmaps, st.data())
def test_a_changed_character_is_found_or_gives_another_mask(mask: Bitmap, data: st.DataObject) -> None:
    counts = encode(mask)
    place = data.draw(st.integers(0, len(counts) - 1))
    changed = counts[:place] + data.draw(st.sampled_from(legal)).encode() + counts[place + 1 :]
    extents = measure([changed], np.array([mask.shape]))
    assert isinstance(extents, Extents) == covers(changed.decode(), mask.size)
    if isinstance(extents, Extents):
        assert_official(extents, [coco_mask.decode({"size": list(mask.shape), "counts": changed})])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "cover 0 pixels; expected non-negative runs that cover all 30 of 5 x 6"),
        (b"0~", "other characters; expected the characters '0' to 'o'"),
        (b"0 ", "other characters"),
        (b"0p", "other characters"),
        (compress([25, 5])[:-1] + b"o", "end within a number; the string is cut off"),
        (b"oooooo0", "more than 6 characters"),
        (compress([20, 9]), "cover 29 pixels"),
        (compress([20, 9, 2]), "cover 31 pixels"),
        (compress([40, 5]), "cover 45 pixels"),
        (b"P1N", "non-negative"),  # 32, -2: covers 30
    ],
)
def test_the_first_damaged_mask_is_named_with_the_reason(text: bytes, reason: str) -> None:
    good = compress([20, 10])
    for index, counts in ((0, [text]), (2, [good, good, text, good, b"~"])):
        damage = measure(counts, np.array([(5, 6)] * len(counts)))
        assert isinstance(damage, Damage)
        assert damage.index == index
        assert reason in damage.reason


def covers(text: str, pixels: int) -> bool:
    """Whether a string is run lengths of so many pixels, read one character after the other in 32 bits."""
    runs: list[int] = []
    value, length = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or length == 6:
            return False
        value |= (bits & 0x1F) << 5 * length
        length += 1
        if not bits & 0x20:
            value -= (1 << 5 * length) * bool(bits & 0x10)
            value += runs[-2] if len(runs) > 2 else 0
            runs.append((value + 2**31) % 2**32 - 2**31)
            value, length = 0, 0
    return length == 0 and min(runs, default=0) >= 0 and sum(runs) == pixels
