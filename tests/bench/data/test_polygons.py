"""Polygons are drawn as pycocotools draws them, wherever they are, and what is outside takes no memory."""

from collections.abc import Iterator

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bench.data import polygons
from bench.data.polygons import draw


def outlines(rng: np.random.Generator, side: int) -> Iterator[list[float]]:
    """Of 3 to 10 corners, inside an image, partly or mostly outside; as they come, in tenths, fifths, halves, whole."""
    for reach in (0, 1, 5, 40):
        for fraction in (1, 2, 5, 10, None):
            corners = rng.uniform(-reach * side, (reach + 1) * side, (rng.integers(3, 11), 2))
            if fraction is not None:
                corners = np.rint(corners * fraction) / fraction
            if rng.integers(4) == 0:
                corners[1] = corners[0]
            yield corners.ravel().tolist()


@pytest.mark.parametrize("at_once", [20, 2**20])
def test_they_are_pycocotools_masks(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    rng = np.random.default_rng(at_once)
    monkeypatch.setattr(polygons, "_CROSSINGS_AT_ONCE", at_once)
    for most in (0, 1000):
        monkeypatch.setattr(polygons, "_MOST_POINTS", most)
        for _ in range(4):
            height, width = rng.integers(1, 50, 2).tolist()
            drawn = list(outlines(rng, max(height, width)))
            for some in (*([each] for each in drawn), drawn[:3]):
                expected = coco_mask.merge(coco_mask.frPyObjects(some, height, width))["counts"]
                assert draw(some, height, width) == expected, (some, height, width)


def test_what_is_far_outside_is_drawn_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    star = rng.uniform(-20_000, 20_000, 24).round(1).tolist()
    expected = coco_mask.merge(coco_mask.frPyObjects([star], 300, 400))["counts"]
    monkeypatch.setattr(polygons, "_MOST_POINTS", 0)
    assert draw([star], 300, 400) == expected


def test_pycocotools_gets_no_outline_that_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """This one has 200 million points, of 32 bytes each."""
    star = [sign * 100_000.0 for number in range(200) for sign in (number % 2 or -1, number % 3 - 1)]
    objects = coco_mask.frPyObjects

    def small(given: object, height: int, width: int) -> object:
        assert isinstance(given, dict), "run lengths, which are as long as the image needs"
        return objects(given, height, width)

    monkeypatch.setattr(coco_mask, "frPyObjects", small)
    mask = coco_mask.decode({"size": [30, 40], "counts": draw([star], 30, 40)})
    assert 0 < mask.sum() < mask.size
