"""The annotator: few corners near the outline, small holes and specks left out, large holes kept by a seam."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool

from bench.data.segmentation import rasterise
from bench.glyphs.annotator import coarse_polygons, polygon_area, polygon_box, simplified


def annotated(mask: np.ndarray, seed: int = 0) -> tuple[np.ndarray, ...]:
    return coarse_polygons(np.random.default_rng(seed), mask.astype(np.uint8) * 16)


def rasterised(polygons: tuple[np.ndarray, ...], mask: np.ndarray) -> Bool[np.ndarray, "H W"]:
    return rasterise([[ring.ravel().tolist() for ring in polygons]], *mask.shape)[0] > 0


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def disc(side: int, radius: float, *, hole: float = 0, middle: float | None = None) -> np.ndarray:
    rows, columns = np.indices((side, side))
    distance = np.hypot(*(axis - (side / 2 if middle is None else middle) for axis in (rows, columns)))
    return (distance <= radius) & (distance >= hole)


@given(st.integers(0, 2**32), st.integers(3, 60), st.floats(0.1, 3))
def test_no_point_is_farther_from_the_polygon_than_the_tolerance(seed: int, num_points: int, tolerance: float) -> None:
    ring = np.random.default_rng(seed).uniform(0, 20, (num_points, 2))
    corners = simplified(ring, tolerance)
    places = [np.flatnonzero((ring == corner).all(axis=1))[0] for corner in corners]
    assert places == sorted(places)
    assert len(corners) >= 3
    for start, end in zip(places, [*places[1:], places[0] + num_points], strict=True):
        first, last = ring[start], ring[end % num_points]
        for place in range(start, end):
            along, away = last - first, ring[place % num_points] - first
            across = abs(along[0] * away[1] - along[1] * away[0]) / (np.hypot(*along) or 1)
            assert across <= tolerance + 1e-9


def test_straight_edges_need_no_points() -> None:
    side = np.arange(10.0)
    ring = np.concatenate([[[x, 0.0] for x in side], [[10.0, y] for y in side], [[10 - x, 10.0] for x in side]])
    assert simplified(np.concatenate([ring, [[0.0, 10 - y] for y in side]]), 0.1).tolist() == [
        [0, 0],
        [10, 0],
        [10, 10],
        [0, 10],
    ]


def test_a_disc_gets_a_few_corners_near_its_outline() -> None:
    mask = disc(120, 50)
    polygons = annotated(mask)
    assert len(polygons) == 1
    assert 8 <= len(polygons[0]) <= 30
    assert 0.93 < overlap(rasterised(polygons, mask), mask) < 0.995


def test_annotators_differ_in_care() -> None:
    mask = disc(220, 100)
    assert len({len(annotated(mask, seed)[0]) for seed in range(8)}) > 1


@pytest.mark.parametrize(("hole", "kept"), [(6, False), (20, True)])
def test_large_holes_are_kept_and_small_ones_filled(hole: float, kept: bool) -> None:
    mask = disc(120, 50, hole=hole)
    polygons = annotated(mask)
    drawn = rasterised(polygons, mask)
    assert len(polygons) == 1
    assert drawn[60, 60] == (not kept)
    assert polygon_area(polygons) == pytest.approx(drawn.sum(), rel=0.03)
    assert overlap(drawn, mask) > 0.93


def test_several_holes_are_kept() -> None:
    mask = disc(200, 90)
    for middle in (65, 135):
        mask &= ~disc(200, 22, middle=middle)
    polygons = annotated(mask)
    drawn = rasterised(polygons, mask)
    assert len(polygons) == 1
    assert not drawn[65, 65]
    assert not drawn[135, 135]
    assert overlap(drawn, mask) > 0.93


def test_specks_are_forgotten_and_parts_kept() -> None:
    mask = disc(120, 30, middle=35) | disc(120, 12, middle=100)
    assert len(annotated(mask)) == 2
    mask[5, 110] = True
    assert len(annotated(mask)) == 2


def test_an_object_of_one_pixel_is_drawn() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[4, 5] = True
    (ring,) = annotated(mask)
    assert np.abs(ring.mean(axis=0) - (5.5, 4.5)).max() < 1


def test_outlines_end_at_the_border_of_the_image() -> None:
    mask = np.ones((40, 30), np.bool_)
    (ring,) = annotated(mask)
    assert np.abs(ring.min(axis=0)).max() < 2.5
    assert np.abs(ring.max(axis=0) - (30, 40)).max() < 2.5


def test_boxes_and_areas_are_those_of_the_corners() -> None:
    squares = [np.array([[1, 2], [4, 2], [4, 6], [1, 6]], np.float64), np.array([[8.126, 3], [9, 3], [9, 4.0]])]
    assert polygon_box(squares) == (1, 2, 8, 4)
    assert polygon_box(squares[1:]) == (8.13, 3, 0.87, 1)
    assert polygon_area(squares) == pytest.approx(12 + 0.437)
