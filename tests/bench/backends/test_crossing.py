"""Crossings of a cost ratio with 1: exact power laws are found exactly, intervals cover, nothing is invented."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.backends.crossing import crossing_interval, first_crossing, num_crossings

PLACES = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0])


@given(crossing=st.floats(1.01, 99.0), power=st.floats(0.3, 3.0), falls=st.booleans())
def test_a_power_law_crosses_where_it_does(crossing: float, power: float, falls: bool) -> None:
    log_ratios = (-power if falls else power) * np.log(PLACES / crossing)
    assert num_crossings(log_ratios) == 1
    assert first_crossing(PLACES, log_ratios) == pytest.approx(crossing)


@given(level=st.floats(0.01, 3.0), cheaper=st.booleans())
def test_no_crossing_is_invented(level: float, cheaper: bool) -> None:
    log_ratios = np.full(len(PLACES), -level if cheaper else level)
    assert num_crossings(log_ratios) == 0
    assert first_crossing(PLACES, log_ratios) is None


def test_equal_at_the_end_crosses_there() -> None:
    """Multiply-adds of a sparse method are those of Dense where all cells are active, and only there."""
    log_ratios = np.log(PLACES / 100)
    assert num_crossings(log_ratios) == 1
    assert first_crossing(PLACES, log_ratios) == pytest.approx(100)


def test_descending_places_are_walked_from_their_first() -> None:
    log_ratios = np.log(np.array([0.5, 0.8, 1.5, 0.9, 2.0]))
    places = np.array([100.0, 50.0, 25.0, 10.0, 5.0])
    assert num_crossings(log_ratios) == 3
    found = first_crossing(places, log_ratios)
    assert found is not None
    assert 25 < found < 50


@pytest.mark.parametrize("descending", [False, True])
def test_interval_covers_and_narrows(descending: bool) -> None:
    places = PLACES[::-1] if descending else PLACES
    widths = []
    for noise in (0.3, 0.03):
        draw = np.random.default_rng(0)
        middle = (-1 if descending else 1) * np.log(places / 30)
        log_ratios = [of_place + draw.normal(0, noise, 9) for of_place in middle]
        low, high = crossing_interval(places, log_ratios, np.random.default_rng(1))
        assert low <= 30 <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_an_interval_ends_where_the_data_cannot_tell() -> None:
    """The last place is as often above 1 as below: many resamples do not cross, and count as the end."""
    log_ratios = [np.full(8, -1.0), np.full(8, -0.5), np.array([-0.2, 0.2] * 4)]
    low, high = crossing_interval(np.array([10.0, 50.0, 100.0]), log_ratios, np.random.default_rng(0))
    assert 50 < low < 100
    assert high == pytest.approx(100)


def test_the_same_generator_gives_the_same_interval() -> None:
    log_ratios = [np.random.default_rng(i).normal(np.log(place / 30), 0.2, 7) for i, place in enumerate(PLACES)]
    first, second = (crossing_interval(PLACES, log_ratios, np.random.default_rng(3)) for _ in range(2))
    assert first == second
