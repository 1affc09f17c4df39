"""Annotation files become columns whose masks are the official ones; what does not fit is named by its place."""

import gzip
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bench.data.coco import COCO_CATEGORY_IDS
from bench.data.findings import tell_once
from bench.data.ground_truth import GroundTruth, decode_ground_truth, read_ground_truth
from tests.bench.accuracy.scenes import Scene, scenes

Dict = dict[str, Any]

SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]


def an_object(**changes: object) -> Dict:
    """An annotation; a change to None removes the field."""
    fields = {"id": 1, "image_id": 8, "category_id": 5, "area": 99.5, "bbox": [2, 2, 9, 9], "segmentation": SQUARE}
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


def content(*objects: Dict, **changes: object) -> Dict:
    images = [{"id": 8, "height": 20, "width": 30}, {"id": 3, "height": 30, "width": 20}]
    categories = [{"id": 9, "name": "last"}, {"id": 5, "name": "first"}]
    return {"images": images, "annotations": list(objects), "categories": categories, **changes}


def decoded(value: object) -> GroundTruth:
    return decode_ground_truth(json.dumps(value).encode(), "file.json")


@settings(max_examples=40)
@given(scenes())
def test_a_file_is_read_as_it_was_made(scene: Scene) -> None:
    assert_equal(decoded(scene.annotations), scene.truth)


@settings(max_examples=40)
@given(scenes(lvis=True))
def test_an_lvis_file_is_read_as_it_was_made(scene: Scene) -> None:
    assert_equal(decoded(scene.annotations), scene.truth)


def assert_equal(read: GroundTruth, made: GroundTruth) -> None:
    for field in ("image_ids", "sizes", "category_ids", "image", "category", "area", "boxes", "crowd", "ignore"):
        np.testing.assert_array_equal(getattr(read, field), getattr(made, field))
    for field in ("negative", "not_exhaustive"):
        assert sorted(getattr(read, field).tolist()) == sorted(getattr(made, field).tolist())
    assert read.counts == made.counts
    assert (read.category_names, read.frequencies) == (made.category_names, made.frequencies)


@pytest.mark.parametrize("name", ["instances_val2014_100.json", "lvis_val_100.json"])
def test_masks_of_real_files_are_the_official_ones(coco_mini: Path, name: str) -> None:
    path = coco_mini.parent.parent / "golden" / name
    if not path.is_file():
        pytest.skip(f"no real annotations: {path} is not there; set BENCH_TEST_DATA to the folder that holds golden/")
    truth, official = read_ground_truth(path), COCO(path)
    objects = official.dataset["annotations"]
    assert truth.counts == tuple(official.annToRLE(each)["counts"] for each in objects)
    np.testing.assert_array_equal(truth.area, [each["area"] for each in objects])
    # LVIS v0.5 has objects whose box lies in the image before it was rotated.
    assert truth.boxes_replaced.sum() == {"i": 0, "l": 13}[name[0]]
    np.testing.assert_array_equal(truth.annotated_boxes, [each["bbox"] for each in objects])
    own = ~truth.boxes_replaced
    np.testing.assert_array_equal(truth.boxes[own], truth.annotated_boxes[own])
    np.testing.assert_array_equal(truth.scored_boxes, truth.annotated_boxes)
    np.testing.assert_array_equal(truth.image_ids[truth.image], [each["image_id"] for each in objects])
    np.testing.assert_array_equal(truth.category_ids[truth.category], [each["category_id"] for each in objects])
    assert truth.version == {"i": "COCO", "l": "LVIS v0.5"}[name[0]]
    assert truth.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_missing_comes_from_the_mask_or_is_zero() -> None:
    bare = an_object(id=None, area=None, bbox=None)
    flagged = an_object(iscrowd=1, ignore=1, image_id=3, category_id=9)
    truth = decoded(content(bare, flagged))
    assert truth.image_ids.tolist() == [3, 8]
    assert truth.sizes.tolist() == [[30, 20], [20, 30]]
    assert truth.category_names == ("first", "last")
    assert truth.frequencies == ("", "")
    assert truth.image.tolist() == [1, 0]
    assert truth.category.tolist() == [0, 1]
    assert truth.area.tolist() == [100, 99.5]
    assert truth.boxes.tolist() == [[2, 2, 10, 10], [2, 2, 9, 9]]
    assert truth.crowd.tolist() == truth.ignore.tolist() == [False, True]
    assert truth.negative.shape == truth.not_exhaustive.shape == (0, 2)


def test_all_encodings_of_a_mask_give_the_same_run_lengths() -> None:
    bitmap = np.zeros((20, 30), np.uint8, order="F")
    bitmap[2:12, 2:12] = 1
    text = coco_mask.encode(bitmap)["counts"]
    runs = [42, *[10, 10] * 9, 10, 368]
    with_empty_runs = [40, 0, 2, *[10, 10] * 9, 10, 368]
    encodings = [runs, with_empty_runs, text.decode()]
    objects = [an_object(segmentation={"size": [20, 30], "counts": counts}) for counts in encodings]
    truth = decoded(content(an_object(), *(dict(each, id=i) for i, each in enumerate(objects, 2))))
    assert truth.counts == (text,) * 4


def test_ids_of_annotations_mean_nothing_but_doubles_are_told(caplog: pytest.LogCaptureFixture) -> None:
    odd = [an_object(id=0), an_object(id="a"), an_object(id=None), an_object(id=None)]
    assert len(decoded(content(*odd)).counts) == 4
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert len(decoded(content(an_object(id=0), an_object(id=0))).counts) == 2
    assert "uses annotation ids twice" in caplog.text


def test_areas_of_0_are_told_where_there_are_pixels(caplog: pytest.LogCaptureFixture) -> None:
    empty = {"size": [20, 30], "counts": [600]}
    tell_once.cache_clear()
    decoded(content(an_object(id=1, area=0, bbox=[0, 0, 0, 0], segmentation=empty), an_object(id=2, area=0.5)))
    assert not caplog.records
    truth = decoded(content(*(an_object(id=number, area=area) for number, area in enumerate([0, 99.5, 0.0]))))
    assert truth.area.tolist() == [0, 99.5, 0]
    (record,) = caplog.records
    assert "file.json: 2 objects have pixels and an annotated area of 0" in record.getMessage()


def test_a_file_needs_neither_annotations_nor_categories(tmp_path: Path) -> None:
    path = tmp_path / "image_info.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"images": content()["images"]}).encode()))
    truth = read_ground_truth(path)
    assert truth.image_ids.tolist() == [3, 8]
    assert truth.counts == ()
    assert truth.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_file_is_kept_and_nobody_can_change_it(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(content(an_object())))
    truth = read_ground_truth(path)
    assert read_ground_truth(path) is truth
    for name, column in vars(truth).items():
        if isinstance(column, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                getattr(truth, name)[...] = 0
    path.write_text(json.dumps(content(an_object(), an_object(id=2))))
    assert len(read_ground_truth(path).counts) == 2
    assert len(truth.counts) == 1


def test_the_lists_of_lvis_are_unique_rows() -> None:
    images = [
        {"id": 8, "height": 20, "width": 30, "neg_category_ids": [9, 5, 9], "not_exhaustive_category_ids": [5]},
        {"id": 3, "height": 20, "width": 30, "neg_category_ids": [9]},
    ]
    truth = decoded(content(images=images))
    assert truth.negative.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert truth.not_exhaustive.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("categories", "version"),
    [
        ([{"id": i, "name": "x"} for i in COCO_CATEGORY_IDS], "COCO"),
        ([{"id": i, "name": "x"} for i in COCO_CATEGORY_IDS[1:]], ""),
        ([{"id": i, "synset": f"{i}.n.01"} for i in COCO_CATEGORY_IDS[1:]], "cocofied LVIS"),
        ([{"id": i, "synset": f"{i}.n.01"} for i in range(1, 1231)], "LVIS v0.5"),
        ([{"id": i, "synset": f"{i}.n.01"} for i in range(1, 1204)], "LVIS v1"),
        ([{"id": i, "name": "x"} for i in range(1, 1204)], ""),
        ([], ""),
    ],
)
def test_the_data_set_is_told_by_its_categories(categories: list[Dict], version: str) -> None:
    assert decoded(content(categories=categories)).version == version


TWICE = [{"id": 8, "height": 20, "width": 30}, {"id": 8, "height": 20, "width": 31}]
HUGE = [{"id": 8, "height": 40000, "width": 40000}]
LISTED = [{"id": 8, "height": 20, "width": 30, "neg_category_ids": [7]}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (content(an_object(), an_object(image_id=4)), r"file.json: annotation 1 \(image 4\) is on an image that the"),
        (content(an_object(category_id=7)), r"annotation 0 \(image 8\) has category 7; expected one of the 2"),
        (content(images=TWICE), "lists image 8 twice .* 20 x 30 and 20 x 31"),
        (content(images=[TWICE[0]] * 2), "lists image 8 twice .* 20 x 30 and 20 x 30"),
        (content(images=HUGE), r"image 8 is 40000 x 40000; expected less than 2\*\*29 pixels"),
        (content(images=LISTED), "image 8 lists category 7 as absent or not exhaustive; expected one of the 2"),
        (content(images=[{"id": 8, "height": 0, "width": 30}]), r">= 1, got 0 - at `\$.images\[0\].height`; expected"),
        (content(categories=[{"id": 5}, {"id": 5}]), "lists category 5 twice"),
        (
            content(an_object(category_id="x")),
            r"annotation 0 \(image 8\) .*text 'x' where a number.*category_id`",
        ),
        (
            content(an_object(image_id="8.jpg")),
            r"annotation 0 \(image 8.jpg\) is on an image that the file does not list",
        ),
        (
            content(an_object(), an_object(segmentation=None)),
            r"annotation 1 \(image 8\) has no polygon and no run lengths",
        ),
        (content(an_object(segmentation=[])), r"annotation 0 \(image 8\) has no polygon"),
        (
            content(an_object(segmentation="RLE")),
            r"annotation 0 \(image 8\): The segmentation is text",
        ),
        (
            content(an_object(), an_object(segmentation=[[1, 2, "3", "x", 5, 6]])),
            r"annotation 1 \(image 8\): The segmentation holds text \('x'\) where a number belongs",
        ),
        (content(an_object(segmentation=[[1, 1, 4, float("inf"), 4, 4]])), "NaN or infinite as its segmentation"),
        (
            content(an_object(segmentation=[[1, 2, 3, 4, 5, 6, 7]])),
            r"annotation 0 \(image 8\): A polygon has 7 coordinates",
        ),
        (content(an_object(segmentation=[[1, 1, 1e9, 1, 1, 9]])), r"\(image 8\): A polygon reaches from 1 to 1e\+09"),
        (content(an_object(segmentation={"size": [30, 20], "counts": [600]})), r"\(image 8\): .*transposed\?"),
        (content(an_object(segmentation={"size": [30, 20], "counts": "P1"})), r"\(image 8\): .*transposed\?"),
        (content(an_object(segmentation={"size": [20, 30], "counts": [9]})), r"\(image 8\): .*cover 9 pixels"),
        (content(an_object(segmentation={"size": [20, 30], "counts": "~"})), r"0 \(image 8\) .*the characters '0'"),
        (content(an_object(area=float("nan"))), r"annotation 0 \(image 8\) has nan as its area, which is not JSON"),
        (
            content(an_object(), an_object(area=-0.5)),
            r"annotation 1 \(image 8\) has the area -0.5; expected",
        ),
        (content(an_object(bbox=[1, 2, 3])), r"annotation 0 \(image 8\) does not fit.*bbox"),
        ([], r"file.json \(a results file\?\) does not fit"),
        ({"annotations": []}, "required field `images`"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoded(value)


@pytest.mark.parametrize("text", ["{", "not JSON", '{"images": [}', '{"images": []}, {}'])
def test_other_files_are_told(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file.json is not .*JSON"):
        decode_ground_truth(text.encode(), "file.json")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_ground_truth(tmp_path / "missing.json")
    with pytest.raises(ValueError, match="expected a complete gzip file"):
        decode_ground_truth(gzip.compress(b'{"images": []}')[:-9], "file.json")


@pytest.mark.parametrize("text", ['{"info": %s}', '{"images": %s}', '{"images": [], "annotations": [[5], %s]}'])
def test_deep_nesting_is_no_format(text: str) -> None:
    deep = text % ("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match=r"file.json.* does not fit the format: .*"):
        decode_ground_truth(deep.encode(), "file.json")
