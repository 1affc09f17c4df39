"""The Pareto front."""

from hypothesis import given
from hypothesis import strategies as st

from reports.select.front import front

points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1)


@given(points, st.booleans())
def test_nothing_beats_the_front(found: list[tuple[int, int]], is_rate: bool) -> None:
    sign = 1 if is_rate else -1
    best = front([(float(x), float(y)) for x, y in found], is_rate=is_rate)
    for point in found:
        beaten = any(sign * x >= sign * point[0] and y >= point[1] and (x, y) != point for x, y in found)
        assert (point in best) == (not beaten)
