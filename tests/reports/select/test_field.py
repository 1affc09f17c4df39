"""A column that shows a recorded value: in its unit, with its interval, and not at all where nobody measured it."""

from bench.record import Subject
from reports.cells import Number
from reports.select.field import Field, measured_of
from reports.select.measured import Measured, measured
from tests.reports.invented import invented

MACS = Field(heading="GMACs", name="macs", at={"cells": "active"}, scale=1e9, digits=2, best="lowest")


def found() -> Measured:
    protocol = {"probe": "backend_cost", "version": 1}
    values = {"stage1_sfm_macs_active": 5e9, "stage1_bytes": 8}
    made = invented(Subject(backend="sps"), protocol, values, intervals={"stage1_sfm_macs_active": (4e9, 6e9)})
    (each,) = measured([made])
    return each


def test_the_column_is_written_as_the_field_says() -> None:
    column = MACS.column()
    assert (column.name, column.digits, column.best) == ("GMACs", 2, "lowest")
    assert column.show(1.234) == "1.23"


def test_the_number_is_in_its_unit_and_knows_where_it_is_from() -> None:
    number = MACS.number(found(), stage=1, operation="sfm")
    assert isinstance(number, Number)
    assert number == 5.0
    assert number.interval == (4.0, 6.0)
    assert number.source is not None
    assert number.source.machine == "epyc-2c"


def test_what_is_not_there_is_none() -> None:
    assert MACS.number(found(), stage=2, operation="sfm") is None
    assert MACS.number(found()) is None, "the place must be the whole one"
    assert MACS.number(None) is None


def test_a_field_that_no_record_has_is_left_out() -> None:
    all_cells = Field(heading="all", name="macs", at={"cells": "all"})
    assert list(measured_of([MACS, all_cells], [found()])) == [MACS]
    assert not list(measured_of([MACS], []))
