"""Results in the shapes that tools write them are read where they have one meaning, and each is told once."""

import json
import logging
from typing import Any

import pytest

from bench.accuracy.results_file import ResultsFile, read_results
from bench.data.segmentation import RunLengths

Dict = dict[str, Any]

RLE = {"size": [4, 3], "counts": "04L"}
ONE: Dict = {"image_id": 8, "category_id": 5, "score": 0.5, "segmentation": RLE}
TWO: Dict = {**ONE, "image_id": 3, "score": 0.25}
SQUARE = [[0.0, 0.0, 2.0, 0.0, 2.0, 2.0]]


def read(document: object) -> ResultsFile:
    return read_results(json.dumps(document).encode(), "results.json")


AS_LISTED = read([ONE, TWO]).results


def test_the_usual_file_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert [each.score for each in AS_LISTED] == [0.5, 0.25]
    assert AS_LISTED[0].segmentation == RunLengths(size=(4, 3), counts="04L")
    assert read([]).results == []
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([[ONE], [], [TWO]], "3 lists of results are read as one"),
        ({"predictions": [ONE, TWO], "model": "a"}, '2 results are read from below "predictions"'),
        ({"8": [{**ONE, "image_id": 8}], "3": [TWO], "9": []}, "the results of 3 images are read from below their ids"),
        ({"annotations": [ONE, TWO], "images": []}, "a data set, whose 2 annotations with scores are the results"),
        ({"annotations": {"1": ONE, "2": TWO}}, "a data set, whose 2 annotations with scores are the results"),
        ({name: [ONE[name], TWO[name]] for name in ONE}, "2 results are read from columns"),
        ([{**ONE, "score": "0.5"}, TWO], "results with a score as text, read as the number: 1 (result 0"),
        (
            [{**ONE, "score": " 5e-1 "}, {**TWO, "score": ".25"}],
            "results with a score as text, read as the number: 2 (result 0",
        ),
        (
            [{**ONE, "segmentation": {"size": [4.0, 3.0], "counts": "04L"}}, TWO],
            "results with run lengths as floats as segmentation, read as meant: 1 (result 0 (image 8))",
        ),
    ],
)
def test_other_shapes_are_read_and_told(document: object, told: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = read(document).results
    assert [each.score for each in found] == [0.5, 0.25]
    assert [each.image_id for each in found] == [8, 3]
    assert [each.segmentation for each in found] == [each.segmentation for each in AS_LISTED]
    (message,) = caplog.messages
    assert told in message


def test_results_below_the_ids_of_images_get_these() -> None:
    bare = {name: ONE[name] for name in ("category_id", "score", "segmentation")}
    assert [each.image_id for each in read({"IMG_1": [bare], "IMG_2": [bare, bare]}).results] == [
        *["IMG_1"],
        *["IMG_2"] * 2,
    ]


def test_a_file_name_alone_is_the_id() -> None:
    bare = {name: ONE[name] for name in ("category_id", "score", "segmentation")}
    assert [each.image_id for each in read([ONE, {**bare, "file_name": "a/b.jpg"}]).results] == [8, "a/b.jpg"]


def test_one_result_a_line_is_a_list(caplog: pytest.LogCaptureFixture) -> None:
    lines = "\r\n".join(json.dumps(each) for each in (ONE, TWO)) + "\n\n"
    assert read_results(lines.encode(), "results.json").results == AS_LISTED
    assert "2 results, one on every line (JSON Lines)" in caplog.text
    assert read_results(json.dumps(ONE).encode(), "results.json").results == AS_LISTED[:1]


@pytest.mark.parametrize(
    "segmentation",
    [
        SQUARE[0],
        [[[0, 0], [2, 0], [2, 2]]],
        [[0, 0], [2, 0], [2, 2]],
        [SQUARE],
        [["0", "0", "2", "0", "2", "2"]],
    ],
)
def test_polygons_in_other_shapes_are_read(segmentation: object, caplog: pytest.LogCaptureFixture) -> None:
    found = read([ONE, {**TWO, "segmentation": segmentation}]).results
    assert found[1].segmentation == SQUARE
    assert "as segmentation, read as meant: 1 (result 1 (image 3))" in caplog.text


def test_a_mask_without_a_pixel_stays_one() -> None:
    found = read([{**ONE, "score": "0.5", "segmentation": nothing} for nothing in ([], [[]], None)]).results
    assert [each.segmentation for each in found] == [[], [], None]


def test_a_data_set_tells_file_names_and_classes() -> None:
    found = read(
        {
            "images": [{"id": "8", "file_name": "a/b.jpg"}, {"id": 9}],
            "categories": [{"id": 5, "name": "cat"}],
            "annotations": [ONE, {**ONE, "image_id": 9}, {**ONE, "file_name": "own.jpg"}],
        }
    )
    assert [each.file_name for each in found.results] == ["a/b.jpg", None, "own.jpg"]
    assert found.categories == {5: "cat"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "high"}, r"result 1 \(image 3\) has text where a number belongs: 'high' in its score; expected"),
        ({"score": ""}, "text where a number belongs: '' in its score"),
        ({"score": "inf"}, "text where a number belongs: 'inf' in its score"),
        ({"bbox": "\ud800"}, "surrogates not allowed"),
        ({"score": True}, r"result 1 \(image 3\) does not fit the format: Expected `float`, got `bool` - at `\$\[1\]"),
        ({"bbox": [1, 2, "3", "x"]}, "text where a number belongs: 'x' in its bbox"),
        ({"bbox": [[1, 2], [3, 4]]}, "does not fit the format: Expected `array` of length 4"),
        ({"segmentation": "text"}, r"result 1 \(image 3\): The segmentation is text \('text'\)"),
        ({"segmentation": {"size": [4, 3], "counts": {}}}, "an object with size, counts; expected run lengths"),
        ({"segmentation": [[1, 2, 3, float("nan")]]}, "NaN or infinite as its segmentation"),
    ],
)
def test_what_has_no_one_meaning_is_named(changes: Dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^results.json: .*{message}"):
        read([ONE, {**TWO, **changes}])
