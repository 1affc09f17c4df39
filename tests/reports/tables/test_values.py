"""The table of a recipe that the paper has no table for."""

import pandas as pd
import pytest

from bench.record import Record, Subject
from reports.select.frame import frame
from reports.tables.values import values
from tests.reports.invented import invented


def measured(head: str, probe: str, found: dict[str, float], *, second: int = 0, weights: str = "random") -> Record:
    of = Subject(head=head, backbone="r50_fpn", preset="small", weights=weights)
    return invented(of, {"probe": probe, "version": 1}, found, unit="u", second=second)


@pytest.fixture
def known() -> pd.DataFrame:
    return frame(
        [
            measured("a", "mine", {"score": 0.5}),
            measured("a", "mine", {"score": 0.75}, second=1),
            measured("b", "mine", {"score": 0.25, "macs": 123_456e6}),
            measured("b", "accuracy", {"ap": 40.0}),
        ]
    )


def test_every_value_has_a_row_and_every_subject_a_column(known: pd.DataFrame) -> None:
    table = values("mine", known)
    assert [column.name for column in table.columns] == ["Probe", "Value", "Unit", "a", "b"]
    assert table.texts() == [["mine", "score", "u", "0.75", "0.25"], ["mine", "macs", "u", "", "123.5 G"]]
    assert table.rows[1][4] == 123_456e6, "unrounded, whatever is shown"
    assert table.has_numbers


def test_subjects_are_named_by_what_tells_them_apart() -> None:
    trained = measured("a", "mine", {"ap": 1.0}, weights="sha256:1")
    table = values("mine", frame([trained, measured("a", "mine", {"score": 1.0})]))
    assert [column.name for column in table.columns[3:]] == ["a sha256:1", "a random"]


@pytest.mark.parametrize("name", ["ap", "ap50", "apb_s", "ap_star", "ar100", "arb_s", "ar_star100_l"])
def test_accuracy_of_random_weights_is_not_shown(name: str) -> None:
    table = values("mine", frame([measured("a", "mine", {name: 1.0, "area": 2.0, "apples": 3.0})]))
    assert [row[1] for row in table.texts()] == ["area", "apples"]


def test_nothing_measured_is_an_empty_table() -> None:
    assert not values("mine", frame([])).has_numbers
