"""Segmentations of COCO-format files (polygons, run lengths as list or string) -> bitmaps, or COCO's run lengths.

One image's become bitmaps (`rasterise`); those of a whole file become compressed run lengths that every library reads
alike, with areas and boxes (`encode`). What tools write in another shape becomes one of these (`normal_segmentation`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from bench.data.polygons import draw
from bench.data.run_lengths import Damage, measure

FLAT, PAIRS, NESTED, WRAPPED, TEXT, FLOATS = (
    "a flat polygon",
    "points as pairs",
    "a list too many",
    "a list around run lengths",
    "numbers as text",
    "run lengths as floats",
)
"""What `normal_segmentation` repairs, in words."""

_CODES = range(ord("0"), ord("o") + 1)
"""Codes of the characters of compressed run lengths."""

# What is farther outside was meant otherwise, and pycocotools counts fifths of a pixel in 32 bits.
FARTHEST = 1e5
"""How far from the origin a polygon may reach, in pixels."""


class RunLengths(msgspec.Struct, frozen=True):
    """A COCO run-length encoding: `size` (height, width), runs of 0 and 1 in column order, plain or as a string."""

    size: tuple[int, int]
    counts: list[int] | str


Segmentation = list[list[float]] | RunLengths


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Masks as compressed run lengths, their pixels and their bounding boxes (x, y, width, height)."""

    counts: tuple[bytes, ...]
    area: Float64[np.ndarray, "N"]
    boxes: Float64[np.ndarray, "N 4"]


def rasterise(segmentations: Sequence[Segmentation], height: int, width: int) -> NDArray[np.uint8]:
    """Draw segmentations as bitmaps [G H W] of 0 and 1.

    Raises ValueError for run lengths of another size or sum than the image (pycocotools would read beyond them, or
    hang) and for polygons with half a point. A polygon of fewer than three points encloses nothing.
    """
    if not segmentations:
        return np.zeros((0, height, width), np.uint8)
    counts = [compress(segmentation, height, width) for segmentation in segmentations]
    extents = measure(counts, np.tile(np.array([[height, width]]), (len(counts), 1)))
    if isinstance(extents, Damage):
        raise ValueError(f"Segmentation {extents.index} {extents.reason}")
    bitmaps = np.empty((len(counts), height, width), np.uint8)
    for bitmap, text in zip(bitmaps, counts, strict=True):  # one by one: all at once are there twice for a moment
        bitmap[:] = coco_mask.decode({"size": [height, width], "counts": text})
    return bitmaps


def encode(
    segmentations: Iterable[Segmentation], sizes: Int64[np.ndarray, "N 2"], place: Callable[[int], str]
) -> Masks:
    """Encode and check the masks of images of the given sizes (height, width); `place` names a mask in messages.

    Run lengths with empty runs inside are encoded again without them: pycocotools takes such masks, but its boxes and
    overlaps of them can be wrong. Raises ValueError for segmentations that are damaged or of another size.
    """
    counts = []
    for index, (segmentation, (height, width)) in enumerate(zip(segmentations, sizes.tolist(), strict=True)):
        try:
            counts.append(compress(segmentation, height, width))
        except ValueError as error:
            raise ValueError(f"{place(index)}: {error}") from error
    extents = measure(counts, sizes)
    if isinstance(extents, Damage):
        raise ValueError(f"{place(extents.index)} {extents.reason}")
    for index in np.flatnonzero(~extents.canonical).tolist():
        bitmap = coco_mask.decode({"size": sizes[index].tolist(), "counts": counts[index]})
        counts[index] = coco_mask.encode(bitmap)["counts"]
    return Masks(counts=tuple(counts), area=extents.area, boxes=extents.boxes)


def compress(segmentation: Segmentation, height: int, width: int) -> bytes:
    """Encode one segmentation as COCO's compressed run lengths, polygons as pycocotools' `annToRLE` draws them.

    A string is passed on unread, since `bench.data.run_lengths.measure` checks many at once: call it before
    pycocotools sees the result. Raises ValueError for the wrong size, damaged plain run lengths and polygons with half
    a point or far outside any image.
    """
    if isinstance(segmentation, RunLengths):
        _check_size(segmentation.size, height, width)
        _refuse_bytes(segmentation)
        if isinstance(segmentation.counts, str):
            return segmentation.counts.encode("utf-8", "surrogatepass")
        return _compress_list(segmentation.counts, height, width)
    for polygon in segmentation:
        if len(polygon) % 2:
            raise ValueError(f"A polygon has {len(polygon)} coordinates; expected x, y pairs; remove or repair it.")
        if polygon and max(max(polygon), -min(polygon)) > FARTHEST:
            raise ValueError(
                f"A polygon reaches from {min(polygon):g} to {max(polygon):g}; expected coordinates in pixels of the "
                f"{height} x {width} image; repair or remove it."
            )
    # pycocotools takes a list of four numbers for a box, not for a line.
    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return _compress_list([height * width], height, width)
    return draw(polygons, height, width)


def _check_size(size: tuple[int, int], height: int, width: int) -> None:
    if size != (height, width):
        hint = " (transposed?)" if size == (width, height) else ""
        raise ValueError(
            f"Run lengths are for {size[0]} x {size[1]} pixels{hint}; expected the image's "
            f"{height} x {width} (height x width); encode the mask again at the size of its image."
        )


def _compress_list(counts: list[int], height: int, width: int) -> bytes:
    if sum(counts) != height * width or min(counts) < 0:
        raise ValueError(
            f"Run lengths cover {sum(counts)} pixels; expected non-negative runs that cover all {height * width}; "
            "encode the mask again, this encoding is damaged."
        )
    compressed: bytes = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]
    return compressed


def normal_segmentation(value: object) -> tuple[Segmentation | None, str]:
    """Take a segmentation as Python reads it from JSON, in whatever shape it has exactly one meaning.

    Gives None where there is no mask (nothing, no polygon), else polygons or run lengths, and what was repaired in
    words, "" where nothing was: one flat polygon, points as pairs, a list too many, numbers as text, run lengths as
    floating-point numbers. Raises ValueError for all else, and for numbers that are not finite.
    """
    if value is None or value == [] or (isinstance(value, list) and all(each == [] for each in value)):
        return None, ""
    if isinstance(value, dict):
        return _normal_run_lengths(value)
    if not isinstance(value, list):
        raise ValueError(
            f"The segmentation is {_kind(value)}; expected polygons or run lengths; write it as COCO does."
        )
    if isinstance(value[0], dict) and "counts" in value[0] and len(value) == 1:
        found, repair = _normal_run_lengths(value[0])
        return found, repair or WRAPPED
    polygons, repair = _as_polygons(value)
    texts = any(isinstance(each, str) for polygon in polygons for each in polygon)
    return [[_number(each) for each in polygon] for polygon in polygons], repair or TEXT * texts


def _as_polygons(value: list[object]) -> tuple[list[list[object]], str]:
    """A list of polygons, each one flat, and what was repaired. Raises ValueError for lists of several depths."""
    if all(_is_scalar(each) for each in value):
        return [value], FLAT
    if len(value) >= 3 and all(_is_point(each) for each in value):
        return [_joined(value)], PAIRS
    polygons = [each for each in value if each != []]
    if all(_is_flat(each) for each in polygons):
        return [list(each) for each in polygons if isinstance(each, list)], ""
    if all(isinstance(each, list) and all(_is_point(point) for point in each) for each in polygons):
        return [_joined(each) for each in polygons if isinstance(each, list)], PAIRS
    if len(value) == 1 and isinstance(value[0], list) and all(_is_flat(each) for each in value[0]):
        return [list(each) for each in value[0] if isinstance(each, list)], NESTED
    raise ValueError(
        "The segmentation mixes numbers, lists and objects in a way that has no one meaning; expected polygons, "
        "[[x, y, x, y, ...], ...], or run lengths; write it as COCO does."
    )


def _normal_run_lengths(value: dict[str, object]) -> tuple[RunLengths, str]:
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and isinstance(counts, str | list)):
        raise ValueError(
            f"The segmentation is an object with {', '.join(map(str, value)) or 'nothing'}; expected run lengths, "
            '{"size": [height, width], "counts": ...}; write it as COCO does.'
        )
    numbers = [*size, *(counts if isinstance(counts, list) else [])]
    height, width, *runs = (_whole(each) for each in numbers)
    found = RunLengths(size=(height, width), counts=counts if isinstance(counts, str) else runs)
    _refuse_bytes(found)
    texts, floats = (any(isinstance(each, kind) for each in numbers) for kind in (str, float))
    return found, TEXT if texts else FLOATS * floats


def _refuse_bytes(segmentation: RunLengths) -> None:
    """Raise ValueError for compressed run lengths that were bytes and became something else on the way into the file.

    Whoever wrote them that way may have lost characters: a backslash is one of theirs.
    """
    counts = segmentation.counts
    if isinstance(counts, str):
        if counts[:2] in ("b'", 'b"'):
            raise ValueError(
                f"Run lengths are {counts[:8]}..., the text of Python's bytes; expected the characters alone; "
                "write counts.decode() into the file, not str(counts)."
            )
    elif len(counts) > 2 and all(each in _CODES for each in counts) and sum(counts) != math.prod(segmentation.size):
        raise ValueError(
            f"Run lengths are {str(counts[:4])[:-1]}, ...], which look like codes of characters: compressed run "
            "lengths whose bytes became a list; expected text; write counts.decode() into the file."
        )


def _joined(points: object) -> list[object]:
    return [each for point in points for each in _coordinates(point)] if isinstance(points, list) else []


def _coordinates(point: object) -> list[object]:
    return [point["x"], point["y"]] if isinstance(point, dict) else list(point) if isinstance(point, list) else []


def _is_point(value: object) -> bool:
    """Whether it is [x, y], or an object with x and y."""
    if isinstance(value, dict):
        return {*value} == {"x", "y"} and _is_flat([*value.values()])
    return _is_flat(value) and isinstance(value, list) and len(value) == 2


def _is_flat(value: object) -> bool:
    return isinstance(value, list) and all(_is_scalar(each) for each in value)


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _number(value: object) -> float:
    try:
        found = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(
            f"The segmentation holds {_kind(value)} where a number belongs; expected finite numbers; "
            "repair or remove it."
        )
    return found


def _whole(value: object) -> int:
    found = value if _is_scalar(value) and isinstance(value, int) else _number(value)
    if found != int(found):
        raise ValueError(f"Run lengths hold {found}; expected whole numbers of pixels; encode the mask again.")
    return int(found)


def _kind(value: object) -> str:
    """A value in words, short enough for a message."""
    if isinstance(value, str):
        return f"text ({value[:20]!r})"
    return f"{value}" if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"
