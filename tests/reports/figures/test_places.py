"""Places of labels beside points."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure as Drawing

from reports.figures.places import Labelled, label_points


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.2, 0.8)), min_size=1, max_size=4))
def test_labels_stay_in_their_panel(points: list[tuple[float, float]]) -> None:
    axes = Drawing().subplots()
    axes.set(xlim=(-0.3, 1.3), ylim=(0, 1))
    found = [Labelled(text="PointRend++", x=x, y=y, low=y - 0.1, high=y + 0.1) for x, y in points]
    label_points(axes, found, (3.0, 2.0))
    places = [each.xy for each in axes.texts]
    assert all(0 < x < 1 and 0 < y < 1 for x, y in places)


def test_points_on_top_of_each_other_have_labels_that_do_not_touch() -> None:
    axes = Drawing().subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    label_points(axes, [Labelled(text="Head", x=0.5, y=0.5, low=0.4, high=0.6)] * 2, (3.0, 2.0))
    first, second = (each.xy for each in axes.texts)
    assert abs(first[1] - second[1]) * 2.0 > 0.13 or abs(first[0] - second[0]) * 3.0 > 4 * 0.066


def test_a_label_without_room_is_led_to_and_keeps_off_lines() -> None:
    axes = Drawing().subplots()
    axes.set(xlim=(1, 100), ylim=(0, 1), xscale="log")
    crowd = [Labelled(text="Transfiner++", x=10, y=0.5, low=0.5, high=0.5)] * 9
    label_points(axes, crowd, (3.0, 2.0), [(1.0, 0.5), (100.0, 0.5)])
    places = [(x * 3.0, y * 2.0) for x, y in (each.xy for each in axes.texts)]
    apart = [abs(a[0] - b[0]) > 12 * 0.066 or abs(a[1] - b[1]) > 0.13 for a, b in combinations(places, 2)]
    assert all(apart)
    assert all(abs(y - 1.0) > 0.13 / 2 for _, y in places)
    assert axes.lines
