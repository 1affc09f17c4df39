"""Drawing objects on a picture: an outline, a light fill and a label each, for eyes of all kinds and any background.

Neighbours get different colours, of those that the colour-blind tell apart. Everything is drawn on the extent of an
object, so that a hundred small ones cost little.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito's, without black."""

_FILL = 0.35
"""Share of the colour in the fill."""
_CASING = (0, 0, 0)
_CASING_ALPHA = 150
"""The outline is bright, so a thin dark line around it parts it from a bright background."""
_PIXELS_PER_LINE = 300
_PIXELS_PER_LETTER = 38
_LEAST_LETTER = 11
_MOST_LABELLED = 0.12
"""Share of the picture that labels may cover: where there are many objects, those of low scores have none."""
_FEW = 8
"""So many objects have a label each, however small they are."""
_LONGEST_NAME = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """An object to draw: a mask whose first pixel is at (`top`, `left`) of the picture, a name and a note behind it.

    Shapes of one `group`, such as a class, share a colour where they are no neighbours.
    """

    mask: Bool[np.ndarray, "h w"]
    top: int
    left: int
    name: str
    note: str
    group: int


def draw(image: Image.Image, shapes: Sequence[Shape]) -> Image.Image:
    """Draw shapes, the most important first, on a copy of an RGB image. Pixels outside of them stay as they are.

    Where shapes overlap, the smaller one's fill is seen, and the outlines of both.
    """
    seen = [shape for shape in shapes if shape.mask.any()]
    if not seen:
        return image.copy()
    boxes = np.array([_extent(shape) for shape in seen], np.float64)
    width = line_width(image.size)
    colours = [COLOURS[each] for each in coloured(boxes, [shape.group for shape in seen], near=4 * width)]
    order = np.argsort([-int(shape.mask.sum()) for shape in seen], kind="stable").tolist()
    layer = image.copy()
    for each in order:
        layer.paste(colours[each], (seen[each].left, seen[each].top), Image.fromarray(_bytes(seen[each].mask)))
    canvas = Image.blend(image, layer, _FILL)
    for each in order:
        _outline(canvas, seen[each], colours[each], width)
    _labels(canvas, seen, boxes, colours, width)
    return canvas


def line_width(size: tuple[int, int]) -> int:
    """Width of outlines on a picture of `size` (width, height), in pixels."""
    return max(1, round(math.sqrt(size[0] * size[1]) / _PIXELS_PER_LINE))


def letter_height(size: tuple[int, int]) -> int:
    """Size of the letters on a picture of `size` (width, height), in pixels."""
    wanted = math.sqrt(size[0] * size[1]) / _PIXELS_PER_LETTER
    return max(_LEAST_LETTER, round(min(wanted, min(size) / 8)))


def coloured(boxes: Float64[np.ndarray, "N 4"], groups: Sequence[int], *, near: float) -> list[int]:
    """A colour for every box (xyxy), by number: its group's, or the next one that no neighbour has.

    Neighbours are less than `near` pixels apart. Where they have all colours, the one is taken that fewest have.
    """
    found: list[int] = []
    for place, (left, top, right, bottom) in enumerate(boxes):
        before = boxes[:place]
        touching = (
            (before[:, 0] < right + near)
            & (before[:, 2] > left - near)
            & (before[:, 1] < bottom + near)
            & (before[:, 3] > top - near)
        )
        used = np.bincount(np.array(found, np.int64)[touching], minlength=len(COLOURS))
        turns = [(groups[place] + turn) % len(COLOURS) for turn in range(len(COLOURS))]
        found.append(min(turns, key=lambda colour: int(used[colour])))
    return found


def _extent(shape: Shape) -> tuple[int, int, int, int]:
    """The box (xyxy) of a shape's pixels."""
    rows, columns = np.flatnonzero(shape.mask.any(1)), np.flatnonzero(shape.mask.any(0))
    return (
        shape.left + int(columns[0]),
        shape.top + int(rows[0]),
        shape.left + int(columns[-1]) + 1,
        shape.top + int(rows[-1]) + 1,
    )


def _bytes(mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    return mask.astype(np.uint8) * np.uint8(255)


def _outline(canvas: Image.Image, shape: Shape, colour: tuple[int, int, int], width: int) -> None:
    """Draw the edge inside of a mask, and the dark casing around it."""
    casing = max(1, width // 2)
    margin = width + casing
    mask = Image.fromarray(np.pad(_bytes(shape.mask), margin))
    # A box of the mean holds 255 where it lies inside, and more than 0 where it touches the mask.
    inside = mask.filter(ImageFilter.BoxBlur(width)).point(_FULL)
    around = mask.filter(ImageFilter.BoxBlur(casing)).point(_TOUCHED)
    corner = (shape.left - margin, shape.top - margin)
    canvas.paste(_CASING, corner, ImageChops.subtract(around, mask).point(_CASED))
    canvas.paste(colour, corner, ImageChops.subtract(mask, inside))


_FULL = [255 * (value == 255) for value in range(256)]
_TOUCHED = [255 * (value > 0) for value in range(256)]
_CASED = [_CASING_ALPHA * (value > 0) for value in range(256)]


def _labels(
    canvas: Image.Image,
    shapes: Sequence[Shape],
    boxes: Float64[np.ndarray, "N 4"],
    colours: Sequence[tuple[int, int, int]],
    width: int,
) -> None:
    """Write names, the most important first, as far as there is room for them without covering each other."""
    pen, font = ImageDraw.Draw(canvas), _font(letter_height(canvas.size))
    room = _MOST_LABELLED * canvas.width * canvas.height
    taken = np.zeros((0, 4))
    for shape, box, colour in zip(shapes, boxes, colours, strict=True):
        text = f"{_shortened(shape.name)} {shape.note}"
        pad = max(2, width)
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        across, down = right - left + 2 * pad, bottom - top + 2 * pad
        small = (box[2] - box[0]) * (box[3] - box[1]) < across * down
        if across * down > room or (small and len(shapes) > _FEW):
            continue
        for x, y in _places(box, across, down, canvas.size):
            label = np.array([x, y, x + across, y + down])
            overlaps = (np.minimum(taken[:, 2:], label[2:]) > np.maximum(taken[:, :2], label[:2])).all(1)
            if not overlaps.any():
                pen.rectangle((x, y, x + across - 1, y + down - 1), fill=colour)
                pen.text((x + pad - left, y + pad - top), text, fill=_readable(colour), font=font)
                taken = np.concatenate([taken, label[None]])
                room -= across * down
                break


def _places(
    box: Float64[np.ndarray, "4"], across: float, down: float, size: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Where a label may stand: above its object, below, inside at the top or the bottom; always in the picture."""
    left, top, right, bottom = box
    most_x, most_y = size[0] - across, size[1] - down
    if most_x < 0 or most_y < 0:
        return
    for x, y in ((left, top - down), (left, bottom), (left, top), (right - across, bottom - down)):
        if 0 <= y <= most_y:
            yield round(min(max(x, 0), most_x)), round(y)


def _readable(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever is the farther from a colour in luminance (ITU-R BT.709)."""
    red, green, blue = ((channel / 255) ** 2.2 for channel in colour)
    return (0, 0, 0) if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else (255, 255, 255)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."


@cache
def _font(height: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # only for its font, which has more than Latin letters

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", height)
