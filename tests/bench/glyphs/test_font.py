"""The classes: twenty shapes that the font really has, drawn as FreeType draws them."""

import itertools
import unicodedata

import numpy as np
import pytest
from jaxtyping import Bool
from matplotlib.ft2font import FT2Font, LoadFlags

from bench.data.coco import COCO_CATEGORY_IDS
from bench.glyphs import CATEGORIES, font
from bench.glyphs.font import Category, outline
from bench.glyphs.raster import bounding_box, coverage, fill

LABELS = range(len(CATEGORIES))


def drawn(label: int, size: float = 60) -> Bool[np.ndarray, "H W"]:
    return coverage(fill([size * ring + size for ring in outline(label)]).inside) > 8


def test_there_are_twenty_classes_and_none_is_of_coco() -> None:
    assert len({category.name for category in CATEGORIES}) == len({category.character for category in CATEGORIES}) == 20
    ids = [category.id for category in CATEGORIES]
    assert ids == sorted(set(ids))
    assert not {*ids} & {*COCO_CATEGORY_IDS}


@pytest.mark.parametrize("label", LABELS)
def test_outlines_are_centred_of_length_one_and_dense(label: int) -> None:
    rings = outline(label)
    points = np.concatenate(rings)
    low, high = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose(low + high, 0, atol=1e-12)
    assert (high - low).max() == pytest.approx(1)
    for ring in rings:
        assert np.hypot(*(np.roll(ring, -1, axis=0) - ring).T).max() <= 0.03 + 1e-12


@pytest.mark.parametrize("label", LABELS)
def test_outlines_are_filled_as_freetype_fills_them(label: int) -> None:
    face = FT2Font(str(font._FONT))
    face.set_size(300, 72)
    face.set_text(CATEGORIES[label].character, flags=LoadFlags.NO_HINTING)
    face.draw_glyphs_to_bitmap(antialiased=True)
    theirs = np.asarray(face.get_image())
    left, top, width, height = bounding_box(theirs > 0)
    theirs = theirs[top : top + height, left : left + width] > 127
    points = np.concatenate(outline(label))
    size = max(theirs.shape) / np.ptp(points, axis=0).max()
    ours = coverage(fill([size * (ring - points.min(axis=0)) for ring in outline(label)]).inside) > 8
    assert np.abs(np.subtract(ours.shape, theirs.shape)).max() <= 1
    height, width = np.minimum(ours.shape, theirs.shape)
    ours, theirs = ours[:height, :width], theirs[:height, :width]
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.95


def test_no_two_classes_look_the_same() -> None:
    canvases = np.zeros((len(CATEGORIES), 61, 61), np.bool_)
    for label in LABELS:
        mask = drawn(label)
        canvases[label, : mask.shape[0], : mask.shape[1]] = mask
    for first, second in itertools.combinations(canvases, 2):
        assert (first & second).sum() / (first | second).sum() < 0.8


@pytest.mark.parametrize("label", LABELS)
def test_shapes_survive_that_their_small_holes_are_filled(label: int) -> None:
    """Hollow shapes would be other objects in the coarse annotation."""
    mask = drawn(label, 120)
    share = mask.sum() / (mask.shape[0] * mask.shape[1])
    assert 0.15 < share < 0.75


def test_a_character_that_the_font_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Category(id=1, name="chains", character="\N{CHAINS}")
    monkeypatch.setattr(font, "CATEGORIES", (missing,))
    outline.cache_clear()
    assert unicodedata.name(missing.character) == "CHAINS"
    with pytest.raises(ValueError, match=r"has no chains \(U\+26D3\)"):
        outline(0)
