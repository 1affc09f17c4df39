"""Surfaces: as bright as asked, with a visible texture of every kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.glyphs.texture import clouds, surface

GREY = np.array([120.0, 100.0, 80.0])


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60))
def test_surfaces_stay_within_the_contrast(seed: int, height: int, width: int) -> None:
    made = surface(np.random.default_rng(seed), height, width, GREY, 30.0)
    assert made.shape == (height, width, 3)
    assert np.abs(made - GREY).max() <= 30.001


def test_surfaces_have_texture() -> None:
    rng = np.random.default_rng(0)
    deviations = [surface(rng, 80, 80, GREY, 60.0).std(axis=(0, 1)).max() for _ in range(40)]
    assert np.median(deviations) > 8


@pytest.mark.parametrize("cell", [3.0, 7.5, 200.0])
def test_clouds_are_linear_between_random_values(cell: float) -> None:
    made = clouds(np.random.default_rng(0), 90, 50, cell)
    assert made.min() >= 0
    assert made.max() <= 1
    assert made.std() > 0.03
    bends = np.abs(np.diff(made, n=2, axis=0)).max(axis=1) > 1e-5
    assert bends.sum() <= 2 * (90 // cell + 1)
