"""Drawing objects on a picture: an outline, a light fill and a label each, for eyes of all kinds and any background.

Neighbours get different colours, of those that the colour-blind tell apart. Everything is drawn on the extent of an
object, so that a hundred small ones cost little.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from PIL import Image, ImageDraw, ImageFont

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
_CASING = 0.6
"""Darkness of a thin line around the outline, which parts it from a background of its colour."""
_SMALL = 100
"""Shortest side in pixels of pictures with such a line and outlines of 2 pixels, too much for others."""
_PIXELS_PER_LINE = 300
_PIXELS_PER_LETTER = 42
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
    seen = [_tight(shape) for shape in shapes if shape.mask.any()]
    if not seen:
        return image.copy()
    boxes = np.array([_box(shape) for shape in seen], np.float64)
    width = line_width(image.size)
    colours = [COLOURS[each] for each in coloured(boxes, [shape.group for shape in seen], near=4 * width)]
    order = np.argsort([-int(shape.mask.sum()) for shape in seen], kind="stable").tolist()
    layer = image.copy()
    for each in order:
        mask = Image.fromarray(seen[each].mask.view(np.uint8) * np.uint8(255))
        layer.paste(colours[each], (seen[each].left, seen[each].top), mask)
    pixels = np.array(Image.blend(image, layer, _FILL))
    casing = 0 if min(image.size) < _SMALL else max(1, width // 2)
    for each in order:
        _outline(pixels, seen[each], colours[each], width, casing)
    canvas = Image.fromarray(pixels)
    _labels(canvas, seen, boxes, colours, pad=max(2, width))
    return canvas


def line_width(size: tuple[int, int]) -> int:
    """Width of outlines on a picture of `size` (width, height), in pixels."""
    return max(1 if min(size) < _SMALL else 2, round(math.sqrt(size[0] * size[1]) / _PIXELS_PER_LINE))


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


def _tight(shape: Shape) -> Shape:
    """The same without empty rows and columns at the edges."""
    rows, columns = np.flatnonzero(shape.mask.any(1)), np.flatnonzero(shape.mask.any(0))
    mask = np.ascontiguousarray(shape.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return replace(shape, mask=mask, top=shape.top + int(rows[0]), left=shape.left + int(columns[0]))


def _box(shape: Shape) -> tuple[int, int, int, int]:
    height, width = shape.mask.shape
    return shape.left, shape.top, shape.left + width, shape.top + height


def _outline(
    pixels: UInt8[np.ndarray, "H W 3"], shape: Shape, colour: tuple[int, int, int], width: int, casing: int
) -> None:
    """Draw the edge inside of a mask, and a dark casing outside of it."""
    height, across = shape.mask.shape
    around = _windows(np.pad(shape.mask, 2 * casing), casing, np.logical_or)
    around[casing : casing + height, casing : casing + across] &= ~shape.mask
    row, column = np.nonzero(around)
    row, column = row + shape.top - casing, column + shape.left - casing
    there = (row >= 0) & (column >= 0) & (row < pixels.shape[0]) & (column < pixels.shape[1])
    row, column = row[there], column[there]
    pixels[row, column] = pixels[row, column] * (1 - _CASING)
    row, column = np.nonzero(shape.mask & ~_windows(np.pad(shape.mask, width), width, np.logical_and))
    pixels[row + shape.top, column + shape.left] = colour


def _windows(mask: Bool[np.ndarray, "H W"], radius: int, join: np.ufunc) -> Bool[np.ndarray, "h w"]:
    """Join the pixels of every square window of 2 `radius` + 1, those that lie within the mask alone.

    Windows of twice the size are joined from two, so that wide lines on large pictures cost little more.
    """
    for _ in range(2):
        length = 1
        while length < 2 * radius + 1:
            step = min(length, 2 * radius + 1 - length)
            mask = join(mask[step:], mask[:-step])
            length += step
        mask = mask.T
    return mask


def _labels(
    canvas: Image.Image,
    shapes: Sequence[Shape],
    boxes: Float64[np.ndarray, "N 4"],
    colours: Sequence[tuple[int, int, int]],
    pad: int,
) -> None:
    """Write names, the most important first, as far as there is room for them without covering each other."""
    pen, font = ImageDraw.Draw(canvas), _font(letter_height(canvas.size))
    room = _MOST_LABELLED * canvas.width * canvas.height
    taken = np.zeros((0, 4))
    for shape, box, colour in zip(shapes, boxes, colours, strict=True):
        text = f"{_shortened(shape.name)} {shape.note}"
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
    """Where a label may stand: above its object, inside at the top, below, inside at the bottom; in the picture."""
    left, top, right, bottom = box
    most_x, most_y = size[0] - across, size[1] - down
    if most_x < 0 or most_y < 0:
        return
    for x, y in ((left, top - down), (left, top), (left, bottom), (right - across, bottom - down)):
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
