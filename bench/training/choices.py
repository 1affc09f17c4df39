"""What a training on somebody's own data should be like: chosen from the data alone, each choice with its reason.

Sized for a laptop without a GPU, and for a detector that learned from inputs of 320 x 320: what is chosen grows from
there, so far as small objects need it, and up to a limit of cost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.augment import MultiScale
from bench.data.coco import CocoImages, CocoObject

_SMALLEST_INPUT, _LARGEST_INPUT, _STEP = 320, 384, 32
_WANTED_PIXELS = 12
"""A tenth of the objects may be smaller than this in the input: they cover one cell of the pyramid's finest level."""
_HARDLY_VISIBLE = 6
_EPOCHS = 8
_FEWEST_VIEWS, _MOST_VIEWS = 600, 2_400
_QUERIES_PER_OBJECT = 3
_FEWEST_QUERIES, _MOST_QUERIES = 100, 600
_USUAL_DETECTIONS = 100


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a data set is like. Sizes of objects are the square roots of the areas of their boxes, in pixels.

    `long_side` is the median of the pictures' longer sides. A tenth of the objects are smaller than `small_object`, and
    a tenth are smaller than `small_share` of the longer side of their picture. 95 % of the pictures have `usual_most`
    objects or fewer, the fullest one has `most_objects`.
    """

    num_images: int
    num_objects: int
    long_side: int
    small_object: float
    small_share: float
    usual_most: int
    most_objects: int

    @classmethod
    def of(cls, files: CocoImages) -> "Facts":
        """Look at the pictures' sizes and the objects' boxes, and at no picture. There must be an object."""
        sides = {image_id: max(files.sizes[image_id]) for image_id in files.ids}
        counts = [len(files.annotations.get(image_id, ())) for image_id in files.ids]
        sizes = [
            (_size(each), sides[image_id]) for image_id in files.ids for each in files.annotations.get(image_id, ())
        ]
        pixels, of_sides = np.array(sizes, dtype=np.float64).T
        return cls(
            num_images=len(files.ids),
            num_objects=len(sizes),
            long_side=int(np.median(list(sides.values()))),
            small_object=float(np.percentile(pixels, 10)),
            small_share=float(np.percentile(pixels / of_sides, 10)),
            usual_most=int(np.percentile(counts, 95, method="higher")),
            most_objects=max(counts),
        )


def _size(of: CocoObject) -> float:
    _, _, width, height = of.bbox or (0, 0, 1, 1)
    return math.sqrt(max(width * height, 1))


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How to train on own data. Pictures are fitted into `input_size` x `input_size`.

    The common detector is shown `detector_views` pictures, each head `head_views`. `reasons` are sentences, one for
    each choice.
    """

    input_size: int
    augmentation: MultiScale
    detector_views: int
    head_views: int
    num_queries: int
    num_detections: int
    reasons: tuple[str, ...]


def choose(facts: Facts, *, views: int | None = None, input_size: int | None = None) -> Choices:
    """Choose for a data set; `views` of the detector, of which each head gets half, and `input_size` may be given.

    Raises ValueError for given ones that are out of range.
    """
    _check(views, input_size)
    size = input_size or _input_size(facts)
    shown = views or _views(facts, size)
    smallest = _lowest_short(facts, size)
    queries, detections = _queries(facts), _detections(facts)
    return Choices(
        input_size=size,
        augmentation=_augmentation(size, smallest),
        detector_views=shown,
        head_views=math.ceil(shown / 2),
        num_queries=queries,
        num_detections=detections,
        reasons=(
            *_reasons_of_size(facts, size, given=input_size is not None),
            f"resized to {smallest} to {size}, every second picture cut first: objects are seen at several sizes"
            + ("." if smallest < 0.7 * size else ", and the small ones not made much smaller."),
            _reason_of_views(facts, shown, given=views is not None),
            f"{queries} queries and {detections} detections a picture: 95 % of the pictures have up to "
            f"{facts.usual_most} objects, the fullest has {facts.most_objects}.",
        ),
    )


def _check(views: int | None, input_size: int | None) -> None:
    if views is not None and views < 1:
        raise ValueError(f"There would be {views} views; expected at least 1; give no number to have it chosen.")
    if input_size is not None and not 64 <= input_size <= 2048:
        raise ValueError(
            f"The input would be {input_size} pixels wide; expected 64 to 2048; give none to have it chosen from "
            "the data."
        )


def _input_size(facts: Facts) -> int:
    """About the smallest input in which all but a tenth of the objects have the wanted size, within limits."""
    wanted = _WANTED_PIXELS / facts.small_share
    return min(max(_STEP * round(wanted / _STEP), _SMALLEST_INPUT), _LARGEST_INPUT)


def _views(facts: Facts, size: int) -> int:
    """Some epochs, but enough to learn anything, and as many as a laptop computes in minutes: cost goes by area."""
    most = _MOST_VIEWS * _SMALLEST_INPUT**2 / size**2
    return round(min(max(_EPOCHS * facts.num_images, _FEWEST_VIEWS), most))


def _lowest_short(facts: Facts, size: int) -> int:
    """How far pictures are shrunk in training: as in the paper to 0.6, less where small objects would vanish."""
    share = min(max(0.7 * _WANTED_PIXELS / (facts.small_share * size), 0.6), 0.9)
    return 16 * math.floor(share * size / 16)


def _augmentation(size: int, smallest: int) -> MultiScale:
    """The paper's at its proportions: 800 pixels become `size`."""
    return MultiScale(
        shorts=range(smallest, size + 1, 16),
        long=size,
        crop_from=tuple(round(share * size) for share in (0.5, 0.625, 0.75)),
        crop_sides=(round(0.48 * size), round(0.75 * size)),
    )


def _queries(facts: Facts) -> int:
    """A multiple of the objects, because several queries compete for each; at least one for every object."""
    usual = 50 * math.ceil(_QUERIES_PER_OBJECT * facts.usual_most / 50)
    return max(min(max(usual, _FEWEST_QUERIES), _MOST_QUERIES), facts.most_objects)


def _detections(facts: Facts) -> int:
    wanted = 10 * math.ceil(1.25 * facts.most_objects / 10)
    return min(max(wanted, _USUAL_DETECTIONS), _queries(facts)) if wanted > _USUAL_DETECTIONS else _USUAL_DETECTIONS


def _reasons_of_size(facts: Facts, size: int, *, given: bool) -> Sequence[str]:
    """Why the input has its size, and what to do where that is not enough."""
    pixels = facts.small_share * size
    said = [
        f"input {size}: {'as asked for; ' if given else ''}a tenth of the objects are below {facts.small_object:.0f} "
        f"px in pictures of {facts.long_side} px, in the input below {pixels:.0f} px (wanted: {_WANTED_PIXELS}; "
        f"without --input-size from {_SMALLEST_INPUT} to {_LARGEST_INPUT}, for the cost)."
    ]
    if pixels < _HARDLY_VISIBLE:
        said.append(
            f"The small objects can hardly be seen in the input: cut the pictures into tiles, or give --input-size "
            f"{min(_STEP * math.ceil(_WANTED_PIXELS / facts.small_share / _STEP), 2048)}, which costs more."
        )
    return said


def _reason_of_views(facts: Facts, shown: int, *, given: bool) -> str:
    each = shown / facts.num_images
    why = "as asked for" if given else f"{_EPOCHS} times each, {_FEWEST_VIEWS} at least, and what a laptop can"
    return (
        f"views {shown} for the detector, {math.ceil(shown / 2)} for each head: {facts.num_images} pictures with "
        f"{facts.num_objects} objects, each picture {each:.1f} times ({why})."
    )
