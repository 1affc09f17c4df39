"""Poses: every object has a size within the limits, lies nearly inside of the image, and is never the same twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.glyphs.font import CATEGORIES, outline
from bench.glyphs.shape import SIZES, clutter, posed

SIDE = 320


def extent(rings: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate(rings)
    return points.min(axis=0), points.max(axis=0)


@given(st.integers(0, 2**32), st.integers(0, len(CATEGORIES) - 1))
def test_objects_have_a_size_within_the_limits_and_lie_nearly_inside(seed: int, label: int) -> None:
    low, high = extent(posed(np.random.default_rng(seed), outline(label), SIDE))
    size = high - low
    assert SIZES[0] - 1e-9 <= size.max() <= SIZES[1] + 1e-9
    assert (low >= -0.15 * size - 1e-9).all()
    assert (high <= SIDE + 0.15 * size + 1e-9).all()


def test_small_objects_are_most_frequent_and_large_ones_occur() -> None:
    rng = np.random.default_rng(0)
    sizes = [np.ptp(np.concatenate(posed(rng, outline(0), SIDE)), axis=0).max() for _ in range(300)]
    shares, _ = np.histogram(sizes, [48, 96, 144, 192, 240.001])
    assert (np.diff(shares) < 0).all()
    assert shares[-1] > 15


@given(st.integers(0, 2**32))
def test_clutter_is_a_polygon_near_the_image(seed: int) -> None:
    rings = clutter(np.random.default_rng(seed), SIDE)
    low, high = extent(rings)
    assert 3 <= len(rings[0]) <= 7
    assert (high > 0).all()
    assert (low < SIDE).all()
    assert 20 - 1e-9 <= (high - low).max() <= 90 + 1e-9


def test_poses_follow_from_the_generator_and_differ_in_shape() -> None:
    first, again, other = (posed(np.random.default_rng(seed), outline(3), SIDE) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    normal = [(ring[0] - extent(ring)[0]) / np.ptp(np.concatenate(ring), axis=0) for ring in (first, other)]
    assert np.abs(normal[0] - normal[1]).max() > 0.05
