"""The table of somebody's own data: one row per head, and what separates every two of them."""

from pathlib import Path

import msgspec
import pytest

from bench.record import Record
from reports.layout import Table
from reports.select.measured import measured
from reports.tables.own import tables
from tests.reports.embedded_records import accuracy, keep, record, trained


def own(made: Record) -> Record:
    return msgspec.structs.replace(made, subject=msgspec.structs.replace(made.subject, schedule="own"))


RECORDS = [
    own(made)
    for place, head in enumerate(("effseg", "mask_rcnn"))
    for made in (
        accuracy(trained(head), 50 - 4 * place, probe="accuracy"),
        accuracy(trained(head), 60 - 4 * place),
        record(trained(head), "params", {"params_head": 2e5 + place}),
        record(trained(head), "speed", {"latency_ms_median": 80, "images": 10}),
    )
]
BOXES = own(record(trained("effseg"), "box_accuracy", {"box_ap": 61.0}, intervals={"box_ap": (58.0, 64.0)}))


@pytest.fixture
def made(tmp_path: Path) -> list[Table]:
    return tables(measured(keep(tmp_path, *RECORDS, BOXES, recipe="own")))


def test_one_row_has_all_that_a_choice_needs(made: list[Table]) -> None:
    headline = made[0]
    assert headline.title == "Which head for my data"
    names = [column.name for column in headline.columns]
    metrics = [f"{name}{of}" for of in ("", " true boxes") for name in ("AP", "APB")]
    assert [name for name in names if name != "95%"] == ["Head", *metrics, "head M", "ms"]
    assert [row[0] for row in headline.rows] == ["Mask R-CNN++", "EffSeg"]
    assert headline.rows[1][1] == 48.0
    assert headline.rows[1][2] == "45.5-50.5"
    assert any("AP of the detector's boxes themselves: 61.0 (58.0-64.0)" in line for line in headline.caption)


def test_every_two_heads_are_compared(made: list[Table]) -> None:
    for table, points in ((made[1], 4.0), (made[2], 4.0)):
        (row,) = table.rows
        assert row[0] == "EffSeg - Mask R-CNN++"
        assert row[1] == points


def test_one_head_is_a_table_too(tmp_path: Path) -> None:
    one = [each for each in RECORDS if each.subject.head == "effseg"]
    headline, *differences = tables(measured(keep(tmp_path, *one, recipe="own")))
    assert len(headline.rows) == 1
    assert not any(each.has_numbers for each in differences)


def test_modules_are_told_apart(tmp_path: Path) -> None:
    several = [own(accuracy(trained("effseg", module=module), 50.0, probe="accuracy")) for module in ("sfm", "conv")]
    headline, detected, _ = tables(measured(keep(tmp_path, *several, recipe="own")))
    assert [row[0] for row in headline.rows] == ["EffSeg Conv", "EffSeg SFM"]
    assert [row[0] for row in detected.rows] == ["EffSeg SFM - EffSeg Conv"]


def test_nothing_measured_is_no_table() -> None:
    assert not any(each.has_numbers for each in tables([]))
