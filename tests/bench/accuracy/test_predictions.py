"""Results files become columns; every kind of bad input is an error that names its place, or the right number."""

import dataclasses
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bench.accuracy.predictions import (
    Predictions,
    decode_predictions,
    from_results,
    read_images,
    read_predictions,
)
from bench.data.ground_truth import GroundTruth, decode_ground_truth
from bench.data.image_ids import number, original
from tests.bench.accuracy.scenes import Scene, scenes

Dict = dict[str, Any]

BITMAP = np.zeros((20, 30), np.uint8, order="F")
BITMAP[2:12, 2:12] = 1
COUNTS: str = coco_mask.encode(BITMAP)["counts"].decode()
RLE = {"size": [20, 30], "counts": COUNTS}
RUNS = [42, *[10, 10] * 9, 10, 368]
BOX = [1, 2, 3, 4]


def annotations(*image_ids: int, size: tuple[int, int] = (20, 30), categories: tuple[Dict, ...] = ()) -> GroundTruth:
    images = [{"id": image_id, "height": size[0], "width": size[1]} for image_id in image_ids]
    content = {"images": images, "categories": list(categories or ({"id": 5}, {"id": 9}))}
    return decode_ground_truth(json.dumps(content).encode(), "truth.json")


TRUTH = annotations(3, 8)


def result(**changes: object) -> Dict:
    """A result; a change to `...` removes the field."""
    fields = {"image_id": 8, "category_id": 5, "score": 0.5, "segmentation": RLE, **changes}
    return {key: value for key, value in fields.items() if value is not ...}


def decoded(*results: Dict, allow_unknown: bool = False) -> Predictions:
    return decode_predictions(json.dumps(results).encode(), "results.json", [TRUTH], allow_unknown=allow_unknown)


def assert_equal(read: Predictions, made: Predictions) -> None:
    for field in ("image_id", "category_id", "score", "mask_area", "boxes"):
        np.testing.assert_array_equal(getattr(read, field), getattr(made, field))
    assert (read.counts, read.has_boxes, read.num_unknown) == (made.counts, made.has_boxes, made.num_unknown)


@settings(max_examples=40)
@given(st.booleans().flatmap(lambda boxes: scenes(boxes=boxes)))
def test_a_file_is_read_as_it_was_made(scene: Scene) -> None:
    content = json.dumps(scene.results).encode()
    assert_equal(decode_predictions(content, "results.json", [scene.truth]), scene.predictions)
    assert_equal(decode_predictions(gzip.compress(content), "results.json", [scene.truth]), scene.predictions)
    assert_equal(from_results(scene.results, [scene.truth]), scene.predictions)


def test_a_real_file_has_the_official_areas_and_boxes(coco_mini: Path) -> None:
    folder = coco_mini.parent.parent / "golden"
    path = folder / "instances_val2014_fakesegm100_results.json"
    if not path.is_file():
        pytest.skip(f"no real results: {path} is not there; set BENCH_TEST_DATA to the folder that holds golden/")
    truth = decode_ground_truth((folder / "instances_val2014_100.json").read_bytes(), "truth.json")
    predictions = read_predictions(path, [truth])
    masks = [each["segmentation"] for each in json.loads(path.read_bytes())]
    assert predictions.counts == tuple(mask["counts"].encode() for mask in masks)
    np.testing.assert_array_equal(predictions.mask_area, [coco_mask.area(mask) for mask in masks])
    np.testing.assert_array_equal(predictions.boxes, coco_mask.toBbox(masks))
    assert predictions.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_polygons_and_plain_runs_are_the_same_mask() -> None:
    with_empty_runs = [40, 0, 2, *[10, 10] * 9, 10, 368]
    predictions = decoded(
        result(),
        result(segmentation=[[2, 2, 12, 2, 12, 12, 2, 12]]),
        result(segmentation={"size": [20, 30], "counts": RUNS}),
        result(segmentation={"size": [20, 30], "counts": with_empty_runs}),
    )
    assert predictions.counts == (COUNTS.encode(),) * 4
    assert predictions.mask_area.tolist() == [100] * 4
    assert predictions.boxes.tolist() == [[2, 2, 10, 10]] * 4


def test_numbers_of_numpy_and_bytes_are_taken_from_python() -> None:
    odd = result(
        image_id=np.int64(8),
        category_id=5.0,
        score=np.float32(0.5),
        segmentation={"size": np.array([20, 30]), "counts": COUNTS.encode()},
        bbox=np.array([1, 2, 3, 4], np.float32),
    )
    assert_equal(from_results((odd,), [TRUTH]), decoded(result(bbox=BOX)))
    with pytest.raises(TypeError, match="Results hold a set; expected numbers"):
        from_results([result(bbox={1, 2})], [TRUTH])


def test_boxes_of_the_file_leave_the_areas_of_masks_alone() -> None:
    predictions = decoded(result(bbox=BOX))
    assert predictions.has_boxes
    assert predictions.boxes.tolist() == [BOX]
    assert predictions.mask_area.tolist() == [100]


def test_boxes_alone_have_no_masks() -> None:
    predictions = decoded(result(bbox=BOX, segmentation=...), result(bbox=[0, 0, 5, 5], segmentation=None))
    assert predictions.counts == ()
    assert predictions.mask_area.tolist() == [12, 25]


@pytest.mark.parametrize("segmentation", [{"size": [20, 30], "counts": [600, 0]}, [], [[1, 1, 2, 2]]])
def test_a_mask_without_a_pixel_is_a_prediction(segmentation: object) -> None:
    predictions = decoded(result(segmentation=segmentation))
    assert predictions.counts == (coco_mask.encode(np.zeros_like(BITMAP))["counts"],)
    assert predictions.mask_area.tolist() == [0]
    assert predictions.boxes.tolist() == [[0, 0, 0, 0]]


def test_boxes_that_look_like_two_corners_are_told(caplog: pytest.LogCaptureFixture) -> None:
    decoded(result(bbox=[1, 2, 3, 4]), result(bbox=[0, 0, 30, 20]), result(bbox=[20, 10, 25, 15]))
    (message,) = caplog.messages
    assert (
        "1 of 3 boxes reach beyond their image as [x, y, width, height], as which they are read; as [x1, y1" in message
    )
    caplog.clear()
    decoded(result(bbox=[1, 2, 3, 4]), result(bbox=[28, 2, 3, 4]), result(bbox=[20, 10, 5, 5]))
    assert caplog.messages == [], "a box may leave its image, and the others are none of corners"


def test_ids_that_count_from_another_number_are_told() -> None:
    with pytest.raises(
        ValueError, match=r"expected one of 2, such as 3, 4 \(perhaps these ids count from 0, the annot"
    ):
        decode_predictions(json.dumps([result(image_id=2)]).encode(), "results.json", [annotations(3, 4)])
    with pytest.raises(ValueError, match=r"expected one of 2, such as 3, 8; give"):
        decoded(result(image_id=100))


def test_text_ids_are_those_of_the_annotations() -> None:
    image_ids = np.array([number("left"), number("right")])
    order = np.argsort(image_ids)
    truth = dataclasses.replace(annotations(3, 8), image_ids=image_ids[order])
    content = json.dumps([result(image_id="right"), result(image_id="left")]).encode()
    found = decode_predictions(content, "results.json", [truth])
    assert [original(each) for each in found.image_id.tolist()] == ["right", "left"]
    with pytest.raises(ValueError, match=r"result 0 \(image middle\) is on an image .*; expected one of 2, such as"):
        decode_predictions(json.dumps([result(image_id="middle")]).encode(), "results.json", [truth])


def test_no_predictions_are_valid() -> None:
    predictions = decoded()
    assert (len(predictions.score), predictions.counts, predictions.has_boxes) == (0, (), False)


def test_unknown_images_and_categories_can_be_left_out_and_are_counted() -> None:
    results = [result(image_id=4, segmentation={"size": [1, 1], "counts": "~"}), result(), result(category_id=1)]
    predictions = decoded(*results, allow_unknown=True)
    assert predictions.num_unknown == 2
    assert predictions.counts == (COUNTS.encode(),)
    assert decoded(*results[2:], allow_unknown=True).counts == ()
    with pytest.raises(ValueError, match=r"result 1 \(image 8\) .*cut off"):
        decoded(results[0], result(segmentation=CUT), allow_unknown=True)


def test_every_annotation_file_adds_to_what_is_known() -> None:
    other = annotations(4, 8, categories=({"id": 1},))
    content = json.dumps([result(image_id=4, category_id=5), result(image_id=3, category_id=1)]).encode()
    assert len(decode_predictions(content, "results.json", [TRUTH, other]).score) == 2
    with pytest.raises(ValueError, match=r"truth.json says image 8 is 30 x 20, another annotation file says 20 x 30"):
        decode_predictions(content, "results.json", [TRUTH, annotations(8, size=(30, 20))])
    with pytest.raises(ValueError, match="without an annotation file"):
        decode_predictions(content, "results.json", [])


def test_a_cocofied_file_knows_all_classes_of_coco() -> None:
    truth = annotations(8, categories=({"id": 1, "synset": "person.n.01"},))
    assert truth.version == "cocofied LVIS"
    assert len(from_results([result(category_id=58)], [truth]).score) == 1  # hot dog, which LVIS v0.5 lacks
    with pytest.raises(ValueError, match="has category 12"):
        from_results([result(category_id=12)], [truth])


CUT = {"size": [20, 30], "counts": COUNTS[:-1] + "o"}
SHORT = {"size": [20, 30], "counts": COUNTS[:-2]}
LONG = {"size": [20, 30], "counts": COUNTS + "1"}
ILLEGAL = {"size": [20, 30], "counts": "a~"}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (result(score=float("nan")), "has nan as its score, which is not JSON; expected finite numbers; repair"),
        (result(score=float("inf")), "has inf as its score"),
        (result(segmentation=[[1, 1, 4, float("nan"), 4, 4]]), "NaN or infinite as its segmentation"),
        (result(score=None), "does not fit the format: Expected `float`, got `null`"),
        (result(score=...), "does not fit the format: Object missing required field `score`"),
        (
            result(image_id=4),
            r"is on an image that no annotation file given lists; .*say `allow_unknown`",
        ),
        (result(category_id=1), "has category 1, which no annotation file given lists; expected .*; give"),
        (result(image_id="eight"), "is on an image that no annotation file given lists"),
        (result(score="high"), "has text where a number belongs: 'high' in its score; expected a finite number"),
        (result(score="nan"), "has text where a number belongs: 'nan' in its score"),
        (result(bbox=[1, 2, 3, "wide"]), "text where a number belongs: 'wide' in its bbox"),
        (result(category_id="cat"), "text where a number belongs: its category_id 'cat' is no class"),
        (result(image_id=8.5), "has image id 8.5; expected a whole number"),
        (result(image_id=10**20), "does not fit the format: Expected `int` <="),
        (result(category_id=None), "has no category_id; expected .* say `class_agnostic`"),
        (result(segmentation=CUT), "end within a number; the string is cut off"),
        (result(segmentation=SHORT), "cover .* pixels; expected .* all 600"),
        (result(segmentation=LONG), "cover .* pixels; expected .* all 600"),
        (result(segmentation=ILLEGAL), "expected the characters '0' to 'o'"),
        (result(segmentation={"size": [30, 20], "counts": COUNTS}), r"30 x 20 pixels \(transposed\?\)"),
        (result(segmentation={"size": [20, 31], "counts": COUNTS}), "20 x 31 pixels; expected the image's 20 x 30"),
        (result(segmentation={"size": [20, 30], "counts": [601]}), "cover 601 pixels"),
        (result(segmentation={"size": [20, 30], "counts": [601, -1]}), "non-negative"),
        (result(segmentation={"counts": COUNTS}), "an object with counts; expected run lengths"),
        (result(segmentation=[1, [4, 1], 4, 4]), "no one meaning; expected polygons"),
        (result(segmentation=...), "has no segmentation, others have"),
        (result(bbox=BOX), "has no bbox, others have"),
        (result(bbox=[1, 2, 3]), "length 4"),
    ],
)
def test_bad_results_are_named_by_their_place(second: Dict, message: str) -> None:
    index = 0 if second.get("bbox") == BOX else 1
    image_id = result()["image_id"] if index == 0 else second["image_id"]
    with pytest.raises(ValueError, match=rf"^results.json: result {index} \(image {image_id}\):? .*{message}"):
        decoded(result(), second, result())
    with pytest.raises(ValueError, match=message):
        from_results([result(), second], [TRUTH])


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (result(segmentation=...), "has neither segmentation nor bbox"),
        (result(bbox=[1, 2, -3, 4]), r"has the box \[1.0, 2.0, -3.0, 4.0\]; expected .* without negative sides"),
    ],
)
def test_results_need_masks_or_boxes(only: Dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"result 0 \(image 8\) {message}"):
        decoded(only)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps([result()])[:-5], "results.json is not complete JSON: Input data was truncated"),
        ("", "results.json is empty; expected JSON; write or download it again"),
        ("[,]", "results.json is not JSON: JSON is malformed: .*; expected one JSON document; correct it"),
        (
            '{"images": [], "annotations": []}',
            "results.json is a data set without annotations; expected a results file",
        ),
        ('{"images": [], "categories": []}', "results.json is an annotation file without annotations"),
        ('{"annotations": [{"image_id": 8}]}', "an annotation file: none of its 1 annotations has a score"),
        (
            json.dumps({"annotations": [result(), {"image_id": 8}]}),
            r"1 of its 2 annotations have no score, first annotation 1 \(image 8\); expected predictions",
        ),
        ('{"a": 1}', "results.json is a JSON object with a; expected a results file"),
        ("7", "results.json is 7; expected a results file"),
        ('[{"image_id": 8, "category_id": 5, "score": 1e400}]', r"result 0 \(image 8\) has inf as its score"),
        ('[{"image_id": 8}, {"image_id": [}]', r"result 0 \(image unknown\) .*missing required field"),
        ("[5]", r"result 0 \(image unknown\) does not fit"),
    ],
)
def test_other_files_are_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_predictions(text.encode(), "results.json", [TRUTH])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing.json cannot be read: No such file"):
        read_predictions(tmp_path / "missing.json", [TRUTH])
    path = tmp_path / "results.json.gz"
    path.write_bytes(gzip.compress(json.dumps([result()]).encode())[:-9])
    with pytest.raises(ValueError, match=r"results.json.gz is damaged"):
        read_predictions(path, [TRUTH])


def test_images_of_a_run_are_a_list_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "images.json"
    path.write_text("[8, -3, 5]")
    assert read_images(path) == [8, -3, 5]
    path.write_bytes(gzip.compress(b"[8]"))
    assert read_images(path) == [8]
    path.write_text('["8", "IMG_7"]')
    assert [original(each) for each in read_images(path)] == [8, "IMG_7"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "[8, 5", "[8.5]", "[true]", "[NaN]", "8", "[" * 100_000])
def test_other_lists_of_images_are_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "images.json"
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_images(path)
    path.write_text(text)
    with pytest.raises(ValueError, match=r"images.json is no list of images: .*; expected a JSON list of image ids"):
        read_images(path)
