"""Predicted objects as columns, from a COCO results file, checked strictly."""

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from jaxtyping import Bool, Float64, Int64

from bench import json_file
from bench.accuracy.joining import category_ids, image_ids
from bench.accuracy.results_file import Result, WholeId, read_results
from bench.data.coco import COCO_CATEGORY_IDS
from bench.data.ground_truth import GroundTruth
from bench.data.image_ids import Id, number, original
from bench.data.segmentation import Masks, encode

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions in the order of the file. `image_id` and `category_id` are the file's ids.

    `counts[i]` is the mask as COCO's compressed run lengths at the size of its image; `mask_area` its pixels.
    `boxes` are (x, y, width, height): the file's, or the mask's bounding box; `box_area` is width * height of these.
    `has_boxes` says that they are the file's. `num_unknown` predictions were left out because no annotation file given
    knows their image or category. `sha256` is that of the file's content.

    Results may be boxes alone: then `counts` is empty, and `mask_area` is that of the box, as in pycocotools.
    """

    name: str
    sha256: str
    image_id: Int64[np.ndarray, "D"]
    category_id: Int64[np.ndarray, "D"]
    score: Float64[np.ndarray, "D"]
    counts: tuple[bytes, ...]
    mask_area: Float64[np.ndarray, "D"]
    boxes: Float64[np.ndarray, "D 4"]
    has_boxes: bool
    num_unknown: int = 0


def read_predictions(
    path: Path, truths: Sequence[GroundTruth], *, allow_unknown: bool = False, class_agnostic: bool = False
) -> Predictions:
    """Read a results file, JSON or gzip. Raises ValueError as `decode_predictions`, or for an unreadable file."""
    return decode_predictions(
        json_file.read(path), str(path), truths, allow_unknown=allow_unknown, class_agnostic=class_agnostic
    )


def from_results(
    results: Sequence[Mapping[str, object]],
    truths: Sequence[GroundTruth],
    *,
    name: str = "results",
    allow_unknown: bool = False,
    class_agnostic: bool = False,
) -> Predictions:
    """Take results from Python, as a results file has them: run lengths may be bytes, numbers and lists numpy's.

    The checksum is that of the file that Python's json writes of them. Raises ValueError as `decode_predictions`.
    """
    content = json.dumps(list(results), default=_plain).encode()
    return decode_predictions(content, name, truths, allow_unknown=allow_unknown, class_agnostic=class_agnostic)


def decode_predictions(
    content: bytes,
    name: str,
    truths: Sequence[GroundTruth],
    *,
    allow_unknown: bool = False,
    class_agnostic: bool = False,
) -> Predictions:
    """Read a results file's content; `name` is what messages call it, `truths` know the images and categories.

    Next to a cocofied LVIS file all 80 classes of COCO are known, also those that LVIS lacks: models predict them, and
    they count towards the cap. With `allow_unknown` predictions of unknown images and categories are left out and
    counted; with `class_agnostic` no category is needed, or unknown. Run lengths may also be plain, or polygons
    instead. Images and categories may be meant by name: `bench.accuracy.joining`; what else is read, and said so:
    `bench.accuracy.results_file`. Raises ValueError for content that is not such a file, unknown images and categories,
    damaged masks or masks of another size, numbers that are not finite, and fields that only some results have, naming
    the result by its place and its image.
    """
    sizes = _sizes(truths)
    file = read_results(content, name)
    results, place = file.results, file.place
    _require_whole([each.image_id for each in results], "image id", place)
    image_id = image_ids(
        [each.image_id for each in results], truths, name=name, file_names=[each.file_name for each in results]
    )
    category_id = category_ids(file, truths, class_agnostic=class_agnostic)
    known = _known(image_id, category_id, truths, class_agnostic)
    if not allow_unknown and not known.all():
        raise ValueError(_explain_unknown(int(np.argmin(known)), image_id, category_id, sizes, place))
    has_masks, has_boxes = _fields(results, place)

    rows = np.flatnonzero(known).tolist()
    given = np.array([results[row].bbox for row in rows] if has_boxes else [], np.float64).reshape(-1, 4)
    of_images = np.array([sizes[each] for each in image_id[known].tolist()], np.int64).reshape(-1, 2)
    if has_boxes:
        _warn_of_corners(given, of_images, name)
    if has_masks:
        # `or []` never happens: it tells the type checker what `_fields` has found out.
        encoded = encode([results[row].segmentation or [] for row in rows], of_images, lambda index: place(rows[index]))
    else:
        encoded = Masks(counts=(), area=given[:, 2] * given[:, 3], boxes=given)
    return Predictions(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        image_id=image_id[known],
        category_id=category_id[known],
        score=np.array([results[row].score for row in rows], np.float64),
        counts=encoded.counts,
        mask_area=encoded.area,
        boxes=given if has_boxes else encoded.boxes,
        has_boxes=has_boxes,
        num_unknown=len(results) - len(rows),
    )


def read_images(path: Path) -> list[int]:
    """Read the ids of the images that a model was run on, as their numbers: a JSON list, `images.json` by a record.

    Raises ValueError for a file that is no such list, holds no id at all, or cannot be read.
    """
    name = str(path)
    content = json_file.text(json_file.read(path), name)
    try:
        given = msgspec.json.decode(content, type=Annotated[list[WholeId | str], msgspec.Meta(min_length=1)])
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{name} is no list of images: {error}; expected a JSON list of image ids, such as [139, 285]; "
            "give the images.json that belongs to the predictions, or write one."
        ) from error
    return [number(each) for each in given]


def _sizes(truths: Sequence[GroundTruth]) -> dict[int, tuple[int, int]]:
    """Size (height, width) of every known image. Raises ValueError for no annotation file and for two that disagree."""
    if not truths:
        raise ValueError(
            "Predictions are read without an annotation file; expected at least one, which knows the images; give it."
        )
    known: dict[int, tuple[int, int]] = {}
    for truth in truths:
        for image_id, (height, width) in zip(truth.image_ids.tolist(), truth.sizes.tolist(), strict=True):
            before = known.setdefault(image_id, (height, width))
            if before != (height, width):
                raise ValueError(
                    f"{truth.name} says image {original(image_id)} is {height} x {width}, another annotation file says "
                    f"{before[0]} x {before[1]}; expected files about the same images; check the pair."
                )
    return known


def _require_whole(values: Sequence[Id | float], kind: str, place: Callable[[int], str]) -> None:
    for index, value in enumerate(values):
        if isinstance(value, float) and not (value.is_integer() and abs(value) < 2**53):
            raise ValueError(f"{place(index)} has {kind} {value}; expected a whole number; repair or remove it.")


def _known(
    image_id: Int64[np.ndarray, "D"],
    category_id: Int64[np.ndarray, "D"],
    truths: Sequence[GroundTruth],
    class_agnostic: bool,
) -> Bool[np.ndarray, "D"]:
    """Say which predictions are on images and of categories that an annotation file knows."""
    on_known = np.isin(image_id, np.concatenate([truth.image_ids for truth in truths]))
    if class_agnostic:
        return on_known
    known_categories = [truth.category_ids for truth in truths]
    if any(truth.version.startswith("cocofied LVIS") for truth in truths):
        known_categories.append(np.array(COCO_CATEGORY_IDS))
    return on_known & np.isin(category_id, np.concatenate(known_categories))


def _explain_unknown(
    index: int,
    image_id: Int64[np.ndarray, "D"],
    category_id: Int64[np.ndarray, "D"],
    sizes: Collection[int],
    place: Callable[[int], str],
) -> str:
    if int(image_id[index]) not in sizes:
        problem = (
            f"is on an image that no annotation file given lists; expected one of {len(sizes)}"
            f"{_examples(image_id, sizes)}"
        )
    else:
        problem = (
            f"has category {category_id[index]}, which no annotation file given lists; expected their ids, not labels"
        )
    return (
        f"{place(index)} {problem}; give the annotation file that belongs to it, or say "
        "`allow_unknown`: unknown ones are left out and counted."
    )


def _examples(image_id: Int64[np.ndarray, "D"], sizes: Collection[int]) -> str:
    """What the known images are called, and whether the ids are off by one."""
    known = ", ".join(str(original(each)) for each in list(sizes)[:3])
    for step, counted in ((1, "from 0, the annotations from 1"), (-1, "from 1, the annotations from 0")):
        if len(sizes) > 1 and all(each + step in sizes for each in np.unique(image_id).tolist()):
            return f", such as {known} (perhaps these ids count {counted})"
    return f", such as {known}" if known else ""


def _fields(results: Sequence[Result], place: Callable[[int], str]) -> tuple[bool, bool]:
    """Say whether results have masks and whether boxes. Raises ValueError where only some do, or none has either."""
    masked = [each.segmentation is not None for each in results]
    boxed = [each.bbox is not None for each in results]
    for field, present in (("segmentation", masked), ("bbox", boxed)):
        if any(present) and not all(present):
            raise ValueError(
                f"{place(present.index(False))} has no {field}, others have; expected it in all results or in none; "
                "repair or remove it."
            )
    if results and not (masked[0] or boxed[0]):
        raise ValueError(f"{place(0)} has neither segmentation nor bbox; expected masks; write them into the file.")
    for index, each in enumerate(results):
        if each.bbox is not None and min(each.bbox[2:]) < 0:
            raise ValueError(
                f"{place(index)} has the box {list(each.bbox)}; expected [x, y, width, height] without negative sides; "
                "repair or remove it."
            )
    return any(masked), any(boxed)


def _warn_of_corners(boxes: Float64[np.ndarray, "D 4"], sizes: Int64[np.ndarray, "D 2"], name: str) -> None:
    """Boxes of two corners: each fits its image as (x1, y1, x2, y2), and some leave it as (x, y, width, height)."""
    limits = sizes[:, ::-1] + 1.0
    as_corners = ((boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= limits)).all(axis=1)
    beyond = (boxes[:, :2] + boxes[:, 2:] > limits).any(axis=1)
    if as_corners.all() and beyond.any():
        _log.warning(
            "%s: %d of %d boxes reach beyond their image as [x, y, width, height], as which they are read; as "
            "[x1, y1, x2, y2] every one is inside. If they are meant so, write x2 - x1 and y2 - y1 in the last places.",
            name,
            beyond.sum(),
            len(boxes),
        )


def _plain(value: object) -> object:
    """What Python's json cannot write, as what it can: bytes, mappings, and whatever numpy and torch call numbers."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(
        f"Results hold a {type(value).__name__}; expected numbers, strings, lists and mappings; convert it."
    )
