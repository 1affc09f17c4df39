"""Boxes from a file arrive in input pixels, best first, or the file's mistake is named."""

import json
from pathlib import Path

import pytest
import torch

from bench.data.coco import CocoImages
from bench.data.input_size import resized
from bench.model.boxes_file import read_detections

IMAGES = CocoImages(
    ids=(3, 8),
    sizes={3: (100, 200), 8: (50, 50)},
    paths={},
    annotations={},
    category_ids=(5, 9),
    listed=frozenset({3, 8, 11}),
)
GOOD = {"image_id": 3, "category_id": 9, "bbox": [10, 20, 30, 40], "score": 0.5}


def write(path: Path, *detections: dict[str, object]) -> Path:
    path.write_text(json.dumps(detections))
    return path


def small(height: int, width: int) -> tuple[int, int]:
    return resized(height, width, 320, 320)


def test_boxes_are_converted_and_sorted(tmp_path: Path) -> None:
    path = write(
        tmp_path / "detections.json",
        GOOD,
        {**GOOD, "category_id": 5, "score": 0.9, "bbox": [0, 0, 200, 100]},
        {**GOOD, "category_id": 5, "score": 0.5},
        {**GOOD, "image_id": 11},
    )
    boxes = read_detections(path, IMAGES, small)
    assert list(boxes) == [3, 8]
    torch.testing.assert_close(boxes[3].boxes, torch.tensor([[0, 0, 320, 160], [16, 32, 64, 96.0], [16, 32, 64, 96]]))
    assert boxes[3].labels.tolist() == [0, 1, 0]  # ties stay in file order
    torch.testing.assert_close(boxes[3].scores, torch.tensor([0.9, 0.5, 0.5]))
    assert boxes[8].boxes.shape == (0, 4)


def test_both_axes_take_their_own_scale(tmp_path: Path) -> None:
    boxes = read_detections(
        write(tmp_path / "detections.json", GOOD), IMAGES, lambda height, width: (height * 2, width)
    )
    assert boxes[3].boxes.tolist() == [[10, 40, 40, 120]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 4}, "detection 1 is on image 4; expected an image of the annotation files; repair"),
        ({"category_id": 0}, "detection 1 has category 0; expected one of the 2 annotated"),
        ({"bbox": [1, 2, 0, 4]}, r"detection 1 has the box \[1.0, 2.0, 0.0, 4.0\]; expected"),
        ({"bbox": [1e300, 2, 3, 4]}, r"detection 1 has the box \[1e\+300, .*; expected .* image, which is 100 x 200"),
        ({"bbox": [0, 0, 1e9, 1e9]}, r"detection 1 has the box \[0.0, 0.0, 1000000000.0, .*; expected"),
        ({"bbox": [-2001, 0, 9, 9]}, r"detection 1 has the box \[-2001.0, "),
        ({"bbox": [0, 0, 1e308, 1.7e308]}, r"detection 1 has the box \[0.0, "),
        ({"score": 1e300}, r"detection 1 has the score 1e\+300; expected one that 32 bits can hold"),
        ({"bbox": [1, 2, 3]}, r"\$\[1\]\.bbox"),
        ({"score": float("nan")}, "which is not JSON"),
        ({"score": float("inf")}, "which is not JSON"),
        ({"score": "0.5"}, r"\$\[1\]\.score"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_detections(write(tmp_path / "detections.json", GOOD, {**GOOD, **change}), IMAGES, small)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    incomplete = {name: value for name, value in GOOD.items() if name != "score"}
    with pytest.raises(ValueError, match=r"missing required field `score`"):
        read_detections(write(tmp_path / "detections.json", incomplete), IMAGES, small)
