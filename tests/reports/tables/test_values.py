"""The table of a recipe that the paper has no table for."""

import msgspec
import pytest

from bench.record import Record, Scalar, Subject, Value
from reports.select.measured import Measured, measured
from reports.tables.values import values
from tests.reports.invented import invented


def record(
    head: str, probe: str, found: dict[str, float], *, second: int = 0, weights: str = "random", **conditions: Scalar
) -> Record:
    of = Subject(head=head, backbone="r50_fpn", preset="small", weights=weights)
    return invented(of, {"probe": probe, "version": 1} | conditions, found, unit="u", second=second)


@pytest.fixture
def known() -> list[Measured]:
    return measured(
        [
            record("a", "mine", {"score": 0.5}),
            record("a", "mine", {"score": 0.75}, second=1),
            record("b", "mine", {"score": 0.25, "macs": 123_456e6}),
            record("b", "accuracy", {"ap": 40.0}),
        ]
    )


def test_every_value_has_a_row_and_every_subject_a_column(known: list[Measured]) -> None:
    table = values("mine", known)
    assert [column.name for column in table.columns] == ["Probe", "Value", "Unit", "a", "b"]
    assert table.texts() == [["mine", "score", "u", "0.75", "0.25"], ["mine", "macs", "u", "", "123.5 G"]]
    assert table.rows[1][4] == 123_456e6, "unrounded, whatever is shown"
    assert table.has_numbers


def test_subjects_are_named_by_what_tells_them_apart() -> None:
    trained = record("effseg", "mine", {"ap": 1.0}, weights="sha256:123456789")
    table = values("mine", measured([trained, record("effseg", "other", {"score": 1.0})]))
    assert [column.name for column in table.columns[3:]] == ["EffSeg 12345678", "EffSeg random"]


def test_accuracy_of_random_weights_is_not_shown() -> None:
    found = {"ap": 1.0, "objects": 2.0}
    trained = record("a", "accuracy", found, weights="sha256:1")
    assert not values("mine", measured([record("a", "accuracy", found)])).has_numbers
    assert [row[1] for row in values("mine", measured([trained])).texts()] == ["ap", "objects"]


def test_a_place_is_said_in_words_and_an_unknown_axis_too() -> None:
    found = [
        Value(name="ms", value=1.0, unit="ms", at={"stage": 1, "operation": "sfm"}),
        Value(name="ms", value=2.0, unit="ms", at={"colour": "red"}),
        Value(name="ms", value=3.0, unit="ms", at={"colour": "blue", "stage": 1}),
    ]
    table = values("mine", measured([msgspec.structs.replace(record("a", "mine", {}), values=tuple(found))]))
    assert table.texts() == [
        ["mine", "ms (stage 1, operation sfm)", "ms", "1"],
        ["mine", "ms (colour red)", "ms", "2"],
        ["mine", "ms (colour blue, stage 1)", "ms", "3"],
    ]
    assert table.caption[1:] == ("On an axis that no other table knows: colour (2 values).",)


def test_what_was_measured_otherwise_is_left_out_and_said() -> None:
    old, new = record("a", "mine", {"score": 1.0}, dtype="bfloat16"), record("b", "mine", {"score": 2.0}, second=1)
    table = values("mine", measured([old, new]))
    assert [column.name for column in table.columns[3:]] == ["b"]
    assert table.caption[1:] == ("Left out of mine, because measured otherwise than the newest: a (dtype).",)


def test_nothing_measured_is_an_empty_table() -> None:
    assert not values("mine", []).has_numbers
