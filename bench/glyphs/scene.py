"""One image with its objects, from two numbers: whatever is random in it follows from the seed and the index alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, UInt8

from bench.glyphs.annotator import coarse_polygons
from bench.glyphs.font import CATEGORIES, outline
from bench.glyphs.raster import SAMPLES, Filled, bounding_box, coverage, fill
from bench.glyphs.shape import clutter, posed
from bench.glyphs.texture import clouds, surface

VERSION = 1
"""Raise it when the same seed and index give another image or annotation."""

SIDE = 320

_OBJECTS = (2, 6)
_CLUTTER = (0, 4)
_LEAST_VISIBLE = 0.35
_TRIES = 12
_CONTRAST = 60.0
_SHADING = 50.0
_NOISE = 8.0
_BLUR = 0.2

_GROUND = -1


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """An object as it is seen: `label` is a position in CATEGORIES.

    `mask` has the pixels of which the object covers more than half, so masks of one image never overlap; `box` is its
    (x, y, width, height), `area` its pixels. `polygons` are the coarse annotation, rings of points (x, y).
    """

    label: int
    mask: Bool[np.ndarray, "H W"]
    box: tuple[int, int, int, int]
    area: int
    polygons: tuple[Float64[np.ndarray, "_ 2"], ...]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An image, RGB of 8 bits, and its objects in the order in which they were painted; later ones hide earlier ones.

    Every glyph in the image is annotated: there are no others, and no hidden ones.
    """

    image: UInt8[np.ndarray, "H W 3"]
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True, kw_only=True)
class _Thing:
    """A thing in the image, with `label` None for clutter, and the least number of its samples that must be seen."""

    label: int | None
    filled: Filled
    least: float


def scene(seed: int, index: int) -> Scene:
    """Make an image of 320 x 320 with up to six objects; the first use of a class reads its outline from the font.

    The drawing and the annotator have random numbers of their own. Raises ValueError where the font lacks a class.
    """
    rng = np.random.default_rng([seed, index, 0])
    things, owner = _arranged(rng)
    annotator = np.random.default_rng([seed, index, 1])
    objects = tuple(
        _seen(annotator, thing.label, thing.filled, owner[thing.filled.samples] == place)
        for place, thing in enumerate(things)
        if thing.label is not None
    )
    return Scene(image=_image(rng, things), objects=objects)


def _arranged(rng: np.random.Generator) -> tuple[list[_Thing], Int8[np.ndarray, "Y X"]]:
    """Lay objects and clutter on top of each other; say of every sample which of them is seen there.

    What would hide too much of an object, or lies too far outside of the image, is drawn anew, and given up in the end.
    """
    labels: list[int | None] = [None] * int(rng.integers(*_CLUTTER, endpoint=True))
    labels += rng.integers(len(CATEGORIES), size=rng.integers(*_OBJECTS, endpoint=True)).tolist()
    things: list[_Thing] = []
    owner = np.full((SAMPLES * SIDE, SAMPLES * SIDE), _GROUND, np.int8)
    num_seen = np.zeros(0, np.int64)
    for place in rng.permutation(len(labels)).tolist():
        for _ in range(_TRIES):
            thing = _drawn(rng, labels[place])
            inside, window = thing.filled.inside, owner[thing.filled.samples]
            num_hidden = np.bincount(window[inside] - _GROUND, minlength=len(things) + 1)[1:]
            still_seen = np.append(num_seen - num_hidden, inside.sum())
            if all(still_seen >= [each.least for each in [*things, thing]]):
                window[inside] = len(things)
                things.append(thing)
                num_seen = still_seen
                break
    return things, owner


def _drawn(rng: np.random.Generator, label: int | None) -> _Thing:
    whole = fill(clutter(rng, SIDE) if label is None else posed(rng, outline(label), SIDE))
    least = 0.0 if label is None else _LEAST_VISIBLE * float(whole.inside.sum())
    return _Thing(label=label, filled=whole.clip(SIDE, SIDE), least=least)


def _seen(annotator: np.random.Generator, label: int, filled: Filled, inside: Bool[np.ndarray, "Y X"]) -> SceneObject:
    """Annotate what is seen of an object, the samples `inside` its window."""
    num_seen = coverage(inside)
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[filled.pixels] = num_seen > SAMPLES**2 / 2
    # The annotator works in the window, and on the image with two decimals, as COCO's did.
    corner = np.array([filled.left, filled.top])
    polygons = [np.round(np.clip(ring + corner, 0, SIDE), 2) for ring in coarse_polygons(annotator, num_seen)]
    return SceneObject(
        label=label,
        mask=mask,
        box=bounding_box(mask),
        area=int(mask.sum()),
        polygons=tuple(polygons),
    )


def _image(rng: np.random.Generator, things: Sequence[_Thing]) -> UInt8[np.ndarray, "H W 3"]:
    """Paint the things on a ground, light them, blur the whole and add noise."""
    image = surface(rng, SIDE, SIDE, rng.uniform(30, 225, 3), _CONTRAST)
    for thing in things:
        window = image[thing.filled.pixels]
        opacity = coverage(thing.filled.inside)[..., None] / np.float32(SAMPLES**2)
        colour = _distinct_colour(rng, window.mean(axis=(0, 1)))
        window += opacity * (surface(rng, window.shape[0], window.shape[1], colour, _CONTRAST) - window)
    image += np.float32(_SHADING) * (clouds(rng, SIDE, SIDE, SIDE / 2) - np.float32(0.5))[..., None]
    image = _blurred(image, float(rng.uniform(0, _BLUR)))
    image += np.float32(rng.uniform(0, _NOISE)) * rng.standard_normal(image.shape, np.float32)
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def _distinct_colour(rng: np.random.Generator, beneath: Float32[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    """Draw a colour that is not that of what lies beneath: the farthest of three."""
    colours = rng.uniform(20, 235, (3, 3))
    return colours[np.argmax(np.square(colours - beneath).sum(axis=1))]


def _blurred(image: Float32[np.ndarray, "H W 3"], share: float) -> Float32[np.ndarray, "H W 3"]:
    """Let every pixel give a share of itself to its four neighbours; those beyond the border are like those inside."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    columns = padded + np.float32(share) * (np.roll(padded, 1, 1) + np.roll(padded, -1, 1) - 2 * padded)
    rows = columns[1:-1] + np.float32(share) * (columns[2:] + columns[:-2] - 2 * columns[1:-1])
    return rows[:, 1:-1]
