"""The classes and their ideal shapes: twenty pictographs of the font that matplotlib ships, as closed outlines."""

import functools
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float64, UInt8
from matplotlib.ft2font import FT2Font, LoadFlags


@dataclass(frozen=True, kw_only=True)
class Category:
    """A class: its id in annotation files, its name, and the character that it looks like."""

    id: int
    name: str
    character: str


# Filled silhouettes that stay what they are when small holes are filled; line drawings and near-duplicates are left
# out. The ids are none of COCO's, so that predictions of a model of COCO are refused instead of scored.
_PICTOGRAPHS = {
    "airplane": "\N{AIRPLANE}",
    "umbrella": "\N{UMBRELLA}",
    "star": "\N{BLACK STAR}",
    "knight": "\N{BLACK CHESS KNIGHT}",
    "telephone": "\N{BLACK TELEPHONE}",
    "scissors": "\N{BLACK SCISSORS}",
    "snowflake": "\N{SNOWFLAKE}",
    "anchor": "\N{ANCHOR}",
    "club": "\N{BLACK CLUB SUIT}",
    "queen": "\N{BLACK CHESS QUEEN}",
    "flower": "\N{BLACK FLORETTE}",
    "notes": "\N{BEAMED EIGHTH NOTES}",
    "rook": "\N{BLACK CHESS ROOK}",
    "hammers": "\N{HAMMER AND PICK}",
    "swords": "\N{CROSSED SWORDS}",
    "wheelchair": "\N{WHEELCHAIR SYMBOL}",
    "heart": "\N{FLORAL HEART}",
    "sun": "\N{BLACK SUN WITH RAYS}",
    "alembic": "\N{ALEMBIC}",
    "hand": "\N{BLACK RIGHT POINTING INDEX}",
}

CATEGORIES: tuple[Category, ...] = tuple(
    Category(id=101 + place, name=name, character=character)
    for place, (name, character) in enumerate(_PICTOGRAPHS.items())
)
"""The classes. An object's label is a position in this tuple."""

_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
_CURVE_STEPS = 6
_LONGEST_EDGE = 0.03
_MOVE, _LINE, _CURVE = 1, 2, 3


@functools.cache
def outline(label: int) -> tuple[Float64[np.ndarray, "N 2"], ...]:
    """Closed rings (x right, y down) of a class, to be filled by the nonzero rule; treat them as read-only.

    The middle is at the origin and the longer side of the bounding box is 1. Points are at most 0.03 apart, so that
    whatever bends the outline bends straight edges too. The outline is read from the font itself, without hinting,
    because matplotlib's text functions first search the machine for fonts.
    Raises ValueError where the font lacks the character: it would be drawn as a box, as all missing ones are.
    """
    category, font = CATEGORIES[label], FT2Font(str(_FONT))
    if font.get_char_index(ord(category.character)) == 0:
        raise ValueError(
            f"The font {_FONT} has no {category.name} (U+{ord(category.character):04X}); expected the DejaVu Sans "
            "that matplotlib ships; install matplotlib again."
        )
    font.load_char(ord(category.character), flags=LoadFlags.NO_SCALE | LoadFlags.NO_HINTING)
    points, codes = font.get_path()
    rings = [ring * (1, -1) for ring in _rings(points, codes)]
    everything = np.concatenate(rings)
    low, high = everything.min(axis=0), everything.max(axis=0)
    return tuple(_dense((ring - (low + high) / 2) / (high - low).max()) for ring in rings)


def _rings(points: Float64[np.ndarray, "P 2"], codes: UInt8[np.ndarray, "P"]) -> list[Float64[np.ndarray, "_ 2"]]:
    """Follow a path of lines and quadratic curves, the only ones of TrueType, as polygons."""
    steps = (np.arange(_CURVE_STEPS) + 1)[:, None] / _CURVE_STEPS
    rings: list[list[Float64[np.ndarray, "_ 2"]]] = []
    place = 0
    while place < len(codes):
        if codes[place] == _MOVE:
            rings.append([points[place : place + 1]])
        elif codes[place] == _LINE:
            rings[-1].append(points[place : place + 1])
        elif codes[place] == _CURVE:
            start, control, end = rings[-1][-1][-1], points[place], points[place + 1]
            rings[-1].append((1 - steps) ** 2 * start + 2 * steps * (1 - steps) * control + steps**2 * end)
            place += 1
        place += 1
    return [np.concatenate(parts) for parts in rings]


def _dense(ring: Float64[np.ndarray, "N 2"]) -> Float64[np.ndarray, "M 2"]:
    """Put points on the edges of a ring so that none is longer than the limit."""
    steps = np.roll(ring, -1, axis=0) - ring
    pieces = np.maximum(np.ceil(np.hypot(*steps.T) / _LONGEST_EDGE).astype(np.int64), 1)
    edge = np.repeat(np.arange(len(ring)), pieces)
    piece = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return ring[edge] + steps[edge] * (piece / pieces[edge])[:, None]
