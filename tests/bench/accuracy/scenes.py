"""Random tiny data sets with predictions, as COCO or LVIS dicts for the official libraries and as columns for ours.

Objects and predictions overlap in every degree, also by accident: copies of objects, shifted and cut ones, wrong
classes and inventions, with many equal scores. What the official libraries disagree about is left out here and tested
by name in test_matching: annotation id 0, empty masks, `ignore`, images of one pixel, areas on the bound of a size
range, and crowds under the rules of LVIS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from bench.accuracy.predictions import Predictions
from bench.data.ground_truth import GroundTruth

Dict = dict[str, Any]
Bitmap = NDArray[np.uint8]

_BOUNDS = (32**2, 96**2)
_LETTERS = "rcf"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A data set and predictions on it. `annotations` and `results` are what the JSON files would hold.

    The official libraries write into such dicts: give them a deep copy. Columns are made when they are asked for: their
    run-time checks draw random numbers, which hypothesis forbids while it makes an example.
    """

    annotations: Dict
    results: list[Dict]

    @cached_property
    def truth(self) -> GroundTruth:
        return ground_truth(self.annotations)

    @cached_property
    def predictions(self) -> Predictions:
        return predictions(self.results)


def scene(
    rng: int | np.random.Generator,
    *,
    lvis: bool = False,
    num_images: int = 3,
    num_categories: int = 3,
    max_objects: int = 5,
    max_copies: int = 3,
    max_inventions: int = 3,
    side: tuple[int, int] = (20, 130),
    score_decimals: int = 1,
    boxes: bool = False,
) -> Scene:
    """Make up a scene: `max_objects` and `max_inventions` per image, `max_copies` predictions per object.

    `side` is the range of heights and widths, `boxes` gives the results a field `bbox` that differs from the mask's.
    """
    rng = np.random.default_rng(rng)
    image_ids = rng.choice(1000, num_images, replace=False) + 1
    category_ids = np.sort(rng.choice(90, num_categories, replace=False)) + 1
    images, objects, results = [], [], []
    for image_id in image_ids:
        height, width = (int(length) for length in rng.integers(*side, size=2))
        images.append({"id": int(image_id), "height": height, "width": width})
        bitmap, category = _shape(rng, height, width), int(rng.choice(category_ids))
        for _ in range(rng.integers(max_objects + 1)):
            if rng.random() < 0.85:  # or the same object once more, to which all overlaps are the same
                bitmap, category = _shape(rng, height, width), int(rng.choice(category_ids))
            crowd = int(not lvis and rng.random() < 0.15)
            objects.append(_object(rng, bitmap, int(image_id), category, crowd))
            for _ in range(rng.integers(max_copies + 1)):
                guess = int(rng.choice(category_ids)) if rng.random() < 0.1 else category
                results.append(_result(rng, _changed(rng, bitmap), int(image_id), guess, score_decimals, boxes))
        for _ in range(rng.integers(max_inventions + 1)):
            guess = int(rng.choice(category_ids))
            results.append(_result(rng, _shape(rng, height, width), int(image_id), guess, score_decimals, boxes))
        if lvis:
            images[-1] |= _federated_lists(rng, category_ids, objects, int(image_id))
    objects = [objects[i] | {"id": place + 1} for place, i in enumerate(rng.permutation(len(objects)))]
    results = [results[i] for i in rng.permutation(len(results))]
    categories = [{"id": int(category), "name": f"class {category}"} for category in category_ids]
    if lvis:
        categories = [category | {"frequency": str(rng.choice(list(_LETTERS)))} for category in categories]
    annotations = {"info": {}, "images": images, "annotations": objects, "categories": categories}
    return Scene(annotations=annotations, results=results)


def scenes(*, lvis: bool = False, boxes: bool = False, side: tuple[int, int] = (20, 130)) -> st.SearchStrategy[Scene]:
    """Scenes of few and of many objects, with and without equal scores."""
    return st.builds(
        lambda seed, **sizes: scene(seed, lvis=lvis, boxes=boxes, side=side, **sizes),
        st.integers(0, 2**32 - 1),
        num_images=st.integers(1, 4),
        num_categories=st.integers(1, 4),
        max_objects=st.integers(0, 8),
        max_copies=st.integers(0, 4),
        max_inventions=st.integers(0, 4),
        score_decimals=st.sampled_from([1, 6]),
    )


def encode(bitmap: Bitmap) -> Dict:
    """Compressed run lengths as JSON has them."""
    encoded = coco_mask.encode(np.asfortranarray(bitmap))
    return {"size": list(bitmap.shape), "counts": encoded["counts"].decode()}


def ground_truth(annotations: Dict) -> GroundTruth:
    """Columns of a dict whose masks are compressed run lengths; fields that are missing are 0 or empty."""
    images = sorted(annotations["images"], key=lambda image: image["id"])
    image_ids = [image["id"] for image in images]
    categories = sorted(annotations["categories"], key=lambda category: category["id"])
    category_ids = [category["id"] for category in categories]
    objects = annotations["annotations"]

    def listed(key: str) -> NDArray[np.int64]:
        pairs = [(i, category_ids.index(c)) for i, image in enumerate(images) for c in image.get(key, [])]
        return np.array(pairs, np.int64).reshape(-1, 2)

    return GroundTruth(
        name="scene",
        sha256="",
        version="",
        image_ids=np.array(image_ids, np.int64),
        sizes=np.array([(image["height"], image["width"]) for image in images], np.int64).reshape(-1, 2),
        category_ids=np.array(category_ids, np.int64),
        category_names=tuple(category["name"] for category in categories),
        frequencies=tuple(category.get("frequency", "") for category in categories),
        image=np.array([image_ids.index(each["image_id"]) for each in objects], np.int64),
        category=np.array([category_ids.index(each["category_id"]) for each in objects], np.int64),
        area=np.array([each["area"] for each in objects], np.float64),
        boxes=np.array([each["bbox"] for each in objects], np.float64).reshape(-1, 4),
        annotated_boxes=np.array([each["bbox"] for each in objects], np.float64).reshape(-1, 4),
        boxes_replaced=np.zeros(len(objects), bool),
        crowd=np.array([bool(each.get("iscrowd", 0)) for each in objects], np.bool_),
        ignore=np.array([bool(each.get("ignore", 0)) for each in objects], np.bool_),
        counts=tuple(each["segmentation"]["counts"].encode() for each in objects),
        negative=listed("neg_category_ids"),
        not_exhaustive=listed("not_exhaustive_category_ids"),
    )


def predictions(results: Sequence[Dict]) -> Predictions:
    """Columns of results whose masks are compressed run lengths."""
    masks = [result["segmentation"] for result in results]
    has_boxes = bool(results) and "bbox" in results[0]
    boxes = [result["bbox"] if has_boxes else coco_mask.toBbox(result["segmentation"]) for result in results]
    return Predictions(
        name="scene",
        sha256="",
        image_id=np.array([result["image_id"] for result in results], np.int64),
        category_id=np.array([result["category_id"] for result in results], np.int64),
        score=np.array([result["score"] for result in results], np.float64),
        counts=tuple(mask["counts"].encode() for mask in masks),
        mask_area=np.array([coco_mask.area(mask) for mask in masks], np.float64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        has_boxes=has_boxes,
    )


def _object(rng: np.random.Generator, bitmap: Bitmap, image_id: int, category_id: int, crowd: int) -> Dict:
    """An annotation. Its area is not that of the mask, so that copies differ in size, and never on a bound."""
    mask = encode(bitmap)
    return {
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": crowd,
        "segmentation": mask,
        "area": (float(bitmap.sum()) + 0.5) * float(rng.choice([1, 1, 2.3])),
        "bbox": coco_mask.toBbox(mask).tolist(),
    }


def _result(
    rng: np.random.Generator, bitmap: Bitmap, image_id: int, category_id: int, score_decimals: int, boxes: bool
) -> Dict:
    mask = encode(bitmap)
    result = {
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": mask,
        "score": round(float(rng.random()), score_decimals),
    }
    if boxes:
        result["bbox"] = (coco_mask.toBbox(mask) + rng.choice([0, 0, 0.3, 2.1], 4)).tolist()
    return result


def _federated_lists(
    rng: np.random.Generator, category_ids: NDArray[np.int64], objects: list[Dict], image: int
) -> Dict:
    """Classes looked for in vain, and those of the image's classes of which not all objects are annotated."""
    present = {each["category_id"] for each in objects if each["image_id"] == image}
    return {
        "neg_category_ids": [int(c) for c in category_ids if c not in present and rng.random() < 0.6],
        "not_exhaustive_category_ids": [int(c) for c in category_ids if c in present and rng.random() < 0.3],
    }


def _shape(rng: np.random.Generator, height: int, width: int) -> Bitmap:
    """A rectangle, an ellipse, a ring or a cloud of pixels somewhere in the image, often cut off by its border."""
    rows, columns = np.mgrid[:height, :width]
    centre = rng.random(2) * (height, width)
    radii = 1 + rng.random(2) * (height, width) * 0.6
    across = np.stack([np.abs(rows - centre[0]) / radii[0], np.abs(columns - centre[1]) / radii[1]])
    distance = np.hypot(*across)
    kind = rng.integers(4)
    if kind == 0:
        inside = across.max(0) <= 1
    elif kind == 1:
        inside = distance <= 1
    elif kind == 2:
        inside = (distance <= 1) & (distance > 0.6)
    else:
        inside = (distance <= 1) & (rng.random((height, width)) < 0.9)
    return _countable(inside.astype(np.uint8))


def _changed(rng: np.random.Generator, bitmap: Bitmap) -> Bitmap:
    """The same mask, a shifted one, or one without a part."""
    kind = rng.integers(4)
    if kind == 0:
        return bitmap
    if kind == 1:
        cut = bitmap.copy()
        cut[: rng.integers(bitmap.shape[0] // 2 + 1)] = 0
        return _countable(cut)
    height, width = bitmap.shape
    down, right = (int(rng.integers(-most, most + 1)) for most in (min(4, height - 1), min(4, width - 1)))
    moved = np.zeros_like(bitmap)
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = bitmap[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return _countable(moved)


def _countable(bitmap: Bitmap) -> Bitmap:
    """At least one pixel, and no number of pixels that is the bound of a size range."""
    if bitmap.any() and bitmap.sum() not in _BOUNDS:
        return bitmap
    other = bitmap.copy()
    other[0, 0] ^= 1
    return other
