"""Boxes of another detector, read from a file in COCO's detection format: the "detections from a file" of a run.

The format is that of a results file: a list of `{image_id, category_id, bbox, score}`, `bbox` (x, y, width, height) in
original pixels. This is the file boundary: behind it boxes are xyxy in input pixels and labels 0-based.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import torch

from bench import json_file
from bench.data.coco import CocoImages
from bench.data.image_ids import number
from bench.model.segmenter import Boxes

_FARTHEST = 10.0
"""How many sides of an image a box may reach beyond it: of one much larger, RoIAlign takes samples without end."""

_LARGEST_SCORE = 1e30
"""Beyond which it may be infinite in 32 bits."""


def is_far(box: Sequence[float], size: tuple[int, int]) -> bool:
    """Whether a box (xyxy) reaches so far beyond an image of `size` (height, width) that it cannot be meant."""
    left, top, right, bottom = box
    height, width = size
    return max(-left, right - width) > _FARTHEST * width or max(-top, bottom - height) > _FARTHEST * height


class _Detection(msgspec.Struct, frozen=True, gc=False):
    image_id: int | float | str
    category_id: int
    bbox: tuple[float, float, float, float]
    score: float


def read_detections(
    path: Path, images: CocoImages, input_size: Callable[[int, int], tuple[int, int]]
) -> dict[int, Boxes]:
    """Read the detections of every image of the run, by image id, best score first, ties in file order.

    `input_size` maps an original (height, width) to that of the model's input. An image without detections has an
    empty entry. Detections on images that an annotation file lists but the run leaves out are left out too; those on
    other images are an error, as are unknown categories, boxes without area and boxes far outside of their image.
    Raises ValueError for these and for a file that does not fit the format, naming the place.
    """
    label = {category_id: label for label, category_id in enumerate(images.category_ids)}
    by_image: dict[int, list[_Detection]] = {image_id: [] for image_id in images.ids}
    content = json_file.read(path)
    detections = json_file.decode(content, str(path), msgspec.json.Decoder(list[_Detection]), "detection")
    for index, detection in enumerate(detections):
        problem = _problem(detection, images, label)
        if problem:
            raise ValueError(f"{path}: detection {index} {problem}; repair or remove it.")
        image_id = number(detection.image_id)
        if image_id in by_image:
            by_image[image_id].append(detection)
    return {
        image_id: _given(detections, label, images.sizes[image_id], input_size(*images.sizes[image_id]))
        for image_id, detections in by_image.items()
    }


def _problem(detection: _Detection, images: CocoImages, label: dict[int, int]) -> str | None:
    """Say what is wrong with a detection and what was expected."""
    if number(detection.image_id) not in images.listed:
        return f"is on image {detection.image_id}; expected an image of the annotation files"
    if detection.category_id not in label:
        return f"has category {detection.category_id}; expected one of the {len(label)} annotated (COCO ids, from 1)"
    if min(detection.bbox[2:]) <= 0:
        return f"has the box {list(detection.bbox)}; expected [x, y, width, height] with a positive width and height"
    left, top, width, height = detection.bbox
    size = images.sizes.get(number(detection.image_id))
    if size is not None and is_far((left, top, left + width, top + height), size):
        return (
            f"has the box {list(detection.bbox)}; expected [x, y, width, height] in pixels of its image, which is "
            f"{size[0]} x {size[1]} (height x width)"
        )
    if abs(detection.score) > _LARGEST_SCORE:
        return f"has the score {detection.score}; expected one that 32 bits can hold, such as a probability"
    return None


def _given(
    detections: list[_Detection], label: dict[int, int], original: tuple[int, int], target: tuple[int, int]
) -> Boxes:
    """Convert detections of one image from `original` (height, width) pixels to those of the `target` size."""
    ordered = sorted(detections, key=lambda detection: -detection.score)
    boxes = torch.tensor([detection.bbox for detection in ordered], dtype=torch.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes *= torch.tensor([target[1] / original[1], target[0] / original[0]] * 2, dtype=torch.float64)
    return Boxes(
        boxes=boxes.float(),
        labels=torch.tensor([label[detection.category_id] for detection in ordered], dtype=torch.int64),
        scores=torch.tensor([detection.score for detection in ordered], dtype=torch.float32),
    )
