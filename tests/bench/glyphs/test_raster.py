"""Filling: the samples inside of an outline, by another library's test of points, and where the window lies."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path
from pycocotools import mask as coco_mask

from bench.glyphs.raster import SAMPLES, Filled, bounding_box, coverage, fill


def polygon(seed: int, num_corners: int, middle: float = 10, radius: float = 9) -> np.ndarray:
    """A ring around the middle, or beside it, with corners at arbitrary places."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.random(num_corners)) * 2 * np.pi
    return middle + radius * rng.uniform(0.3, 1, (num_corners, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def sample_points(filled: Filled) -> np.ndarray:
    rows, columns = np.indices(filled.inside.shape) + 0.5
    return np.stack([filled.left + columns / SAMPLES, filled.top + rows / SAMPLES], axis=-1).reshape(-1, 2)


@given(st.integers(0, 2**32), st.integers(3, 12), st.floats(-20, 20), st.booleans())
def test_samples_inside_are_those_inside_of_the_polygon(seed: int, corners: int, middle: float, mirrored: bool) -> None:
    ring = polygon(seed, corners, middle)
    filled = fill([ring[::-1] if mirrored else ring])
    expected = Path(ring).contains_points(sample_points(filled))
    # Both may err by a rounding where an edge passes through a sample.
    assert (filled.inside.ravel() != expected).sum() <= 1


def test_a_ring_inside_is_a_hole_only_where_it_runs_the_other_way() -> None:
    outer = np.array([[0, 0], [8, 0], [8, 8], [0, 8]], np.float64)
    inner = outer / 2 + 2
    np.testing.assert_array_equal(coverage(fill([outer, inner]).inside), np.full((8, 8), 16))
    holed = coverage(fill([outer, inner[::-1]]).inside)
    assert holed.sum() == 16 * (64 - 16)
    assert not holed[2:6, 2:6].any()


def test_pixels_are_covered_by_the_share_that_is_inside() -> None:
    square = np.array([[0.5, 0.25], [2, 0.25], [2, 2], [0.5, 2]])
    np.testing.assert_array_equal(coverage(fill([square]).inside), [[6, 12], [8, 16]])


@given(st.integers(0, 2**32), st.integers(-12, 22), st.integers(-12, 22))
def test_clipping_is_what_a_canvas_would_show(seed: int, left: int, top: int) -> None:
    filled = fill([polygon(seed, 8) + np.array([left, top])])
    canvas = np.zeros((100 * SAMPLES, 100 * SAMPLES), np.bool_)
    around = 30
    rows, columns = ((start + around) * SAMPLES for start in (filled.top, filled.left))
    height, width = filled.inside.shape
    canvas[rows : rows + height, columns : columns + width] = filled.inside
    image = canvas[around * SAMPLES :, around * SAMPLES :][: 15 * SAMPLES, : 20 * SAMPLES]
    clipped = filled.clip(15, 20)
    ours = np.zeros_like(image)
    ours[clipped.samples] = clipped.inside
    np.testing.assert_array_equal(ours, image)
    pixels = np.zeros((15, 20), np.uint8)
    pixels[clipped.pixels] = coverage(clipped.inside)
    np.testing.assert_array_equal(pixels, image.reshape(15, SAMPLES, 20, SAMPLES).sum((1, 3)))


@given(st.integers(0, 2**32))
def test_boxes_are_those_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 13)) < rng.choice([0.02, 0.5])
    mask[rng.integers(9), rng.integers(13)] = True
    expected = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask.view(np.uint8))))
    assert bounding_box(mask) == tuple(expected.tolist())
