"""Files of boxes, joined with pictures by name or id."""

from pathlib import Path

import msgspec
import pytest

from bench.data.given_pictures import GivenPicture
from bench.inference.given_boxes import BoxesFile, read_boxes

BOX = [1.0, 2.0, 10.0, 20.0]


def read(tmp_path: Path, content: object, *names: str) -> BoxesFile:
    path = tmp_path / "boxes.json"
    path.write_bytes(msgspec.json.encode(content))
    return read_boxes(path, [GivenPicture(path=Path(name), name=name) for name in names])


@pytest.mark.parametrize(
    "entry",
    [
        {"image_id": 139},
        {"image_id": 139.0},
        {"image_id": "000000000139"},
        {"file_name": "000000000139.jpg"},
        {"file_name": "images/000000000139.jpg", "image_id": 5},
        {"file_name": "val\\000000000139.jpg"},
    ],
)
def test_a_detection_finds_its_picture(tmp_path: Path, entry: dict[str, object]) -> None:
    found = read(tmp_path, [{**entry, "category_id": 3, "bbox": BOX, "score": 0.5}], "000000000139.jpg", "other.jpg")
    assert list(found.of) == ["000000000139.jpg"]
    boxes = found.of["000000000139.jpg"].boxes
    assert boxes.boxes.tolist() == [[1, 2, 11, 22]]
    assert boxes.class_ids is not None
    assert boxes.scores is not None
    assert (boxes.class_ids.tolist(), boxes.scores.tolist()) == ([3], [0.5])


def test_annotations_find_pictures_by_file_name_and_say_their_sizes(tmp_path: Path) -> None:
    content = {
        "images": [
            {"id": 1, "file_name": "b/x.jpg", "height": 30, "width": 40},
            {"id": "two", "file_name": "y.jpg"},
            {"id": 3, "file_name": "elsewhere.jpg"},
        ],
        "annotations": [
            {"image_id": 1, "category_id": 3, "bbox": BOX},
            {"image_id": 3, "category_id": 3, "bbox": BOX},
            {"image_id": 1, "category_id": 3, "bbox": [0, 0, 0, 5]},
            {"image_id": 1, "category_id": 3},
        ],
    }
    found = read(tmp_path, content, "a/x.jpg", "b/x.jpg", "y.jpg")
    assert found.of.keys() == {"b/x.jpg", "y.jpg"}
    assert found.of["b/x.jpg"].size == (30, 40)
    assert found.of["b/x.jpg"].boxes.scores is None
    assert len(found.of["b/x.jpg"].boxes.boxes) == 1
    assert len(found.of["y.jpg"].boxes.boxes) == 0
    assert found.of["y.jpg"].size is None
    assert (found.elsewhere, found.without_area) == (1, 2)


def test_a_name_that_two_pictures_have_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of the 2 pictures, of which the first is a/x\.jpg"):
        read(tmp_path, [{"image_id": "x", "bbox": BOX}], "a/x.jpg", "b/x.jpg")


def test_without_classes_there_are_none(tmp_path: Path) -> None:
    found = read(tmp_path, [{"image_id": "x", "bbox": BOX}, {"image_id": "x", "bbox": BOX, "category_id": 1}], "x.jpg")
    assert found.of["x.jpg"].boxes.class_ids is None


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    for content in ({"boxes": []}, [{"bbox": [1, 2, 3]}], 7):
        with pytest.raises(ValueError, match="does not fit the format"):
            read(tmp_path, content, "x.jpg")
