"""Records of which something cannot be made: named, left out, and all else is made."""

from collections.abc import Sequence

import pytest

from bench.record import Subject
from reports.select import guard
from reports.select.guard import Guard
from reports.select.measured import Measured, measured
from tests.reports.invented import invented

FOUND = measured(
    invented(Subject(head=f"head{number}"), {"probe": "params", "version": 1}, {"n": number}) for number in range(9)
)


@pytest.fixture(autouse=True)
def _as_in_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CAUGHT", (Exception,))


def inverses(found: Sequence[Measured]) -> list[float]:
    return [1 / (each.record.get("n").value % 5) for each in found]


def test_records_at_fault_are_named_and_the_rest_is_used(caplog: pytest.LogCaptureFixture) -> None:
    made = Guard()
    assert made.make("It", inverses, FOUND, []) == [1, 1 / 2, 1 / 3, 1 / 4, 1, 1 / 2, 1 / 3]
    assert [str(path) for path in made.left_out] == ["head0-none-seed0", "head5-none-seed0"]
    assert all("It cannot be made of it: ZeroDivisionError" in reason for reason in made.left_out.values())
    assert caplog.text.count("is left out") == 2
    assert made.make("It", inverses, [], []) == []


def test_records_that_do_not_agree_give_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def one(found: Sequence[Measured]) -> list[Measured]:
        (each,) = found
        return [each]

    assert Guard().make("It", one, FOUND, []) == []
    assert "It cannot be made of the 9 records that it is about: ValueError" in caplog.text
