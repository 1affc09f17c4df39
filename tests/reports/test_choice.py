"""Nothing that was measured is left unshown."""

import pytest

from bench.record import Code, Machine, Record, Subject
from reports.choice import all_tables, tables_of
from reports.frame import frame
from reports.layout import Table


def measured(probe: str, **values: float) -> Record:
    return Record(
        subject=Subject(head="mask_rcnn", backbone="r50_fpn", preset="paper"),
        protocol={"probe": probe, "version": 1},
        machine=Machine(cpu="c", cores=1, threads=1, clock_mhz=None, memory_bytes=None, os="o", python="3", torch="2"),
        code=Code(commit=None, dirty=None),
        values=values,
        units=dict.fromkeys(values, "u"),
        started="2026-01-01T00:00:00.000000+00:00",
        seconds=1.0,
    )


def names(tables: list[Table]) -> list[str]:
    return [str(row[1]) for table in tables for row in table.rows if len(row) > 2]


@pytest.mark.parametrize("recipe", ["heads", "oracle", "sparsity", "break_even", "certify", "my_package:mine"])
def test_a_probe_without_a_place_in_the_tables_gets_one(recipe: str) -> None:
    tables = tables_of(recipe, frame([measured("trace", stage1_active_fraction=0.5)]))
    assert names(tables) == ["stage1_active_fraction"]


def test_a_report_shows_every_probe_once() -> None:
    tables = all_tables(frame([measured("trace", stage1_active_fraction=0.5), measured("params", params_head=2.9e6)]))
    assert [table.title.partition(":")[0] for table in tables] == ["Table 4", "Other values"]
    assert names(tables[-1:]) == ["stage1_active_fraction"]


def test_nothing_measured_is_no_table() -> None:
    assert all_tables(frame([])) == []
    assert tables_of("oracle", frame([])) == []
