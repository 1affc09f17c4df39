"""Text ids are whole numbers inside the project, the same in every file, and text again outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.image_ids import natural, number, original


@pytest.mark.parametrize(("given_id", "expected"), [(7, 7), (7.0, 7), ("7", 7), ("-7", -7), (0, 0), ("0", 0)])
def test_numbers_are_themselves(given_id: int | float | str, expected: int) -> None:
    assert number(given_id) == original(number(given_id)) == expected


@pytest.mark.parametrize("text", ["", "IMG_1", "007", "1.0", "-0", "+1", " 1", "\u0661", "9" * 30, "\ud800"])
def test_other_texts_are_texts(text: str) -> None:
    assert -(2**63) <= number(text) < -(2**62)
    assert original(number(text)) == text


@given(st.text(), st.text())
def test_texts_differ_as_their_numbers_do(one: str, other: str) -> None:
    assert (number(one) == number(other)) == (one == other)


def test_half_an_id_is_none() -> None:
    with pytest.raises(ValueError, match="not whole"):
        number(1.5)


def test_images_are_in_the_order_that_people_expect() -> None:
    ids = [number(each) for each in ("b", 10, "a", 9, -1, "10a")]
    assert [original(each) for each in sorted(ids, key=natural)] == [-1, 9, 10, "10a", "a", "b"]
