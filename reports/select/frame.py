"""Records as one tidy pandas frame: a row for every value, with subject, protocol and machine beside it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import pandas as pd

from bench.names import AXES
from bench.record import Record, Subject
from bench.store import Entry
from reports.select.measured import Measured, measured

BEFORE_AXES = (
    "recipe",
    *Subject.__struct_fields__,
    "probe",
    "machine",
    "commit",
    "started",
    "name",
)
AFTER_AXES = ("value", "unit", "low", "high", "protocol", "samples", "record")
"""The columns, between which every axis of the values has one."""


def frame(found: Iterable[Entry | Record]) -> pd.DataFrame:
    """One row per value, of the oldest record first. Records with an error have no rows.

    Beside what the record says of the value, each axis has a column, empty for the values without it; `low` and `high`
    are the interval, where there is one. `protocol` holds the record's dict, `machine` the machine's short name.
    `record` is the path of the record in its store and `samples` that of the npz file beside it: None for records that
    lie in none.
    """
    records = measured(found)
    rows = [row for each in records for row in _rows(each)]
    axes = _axes(records)
    made = pd.DataFrame(rows, columns=[*BEFORE_AXES, *axes, *AFTER_AXES])
    for axis in axes:
        if all(isinstance(row[axis], int) for row in rows if axis in row):
            made[axis] = made[axis].astype("Int64")  # otherwise a stage that some values lack would be a 1.0
    return made


def _axes(records: Sequence[Measured]) -> list[str]:
    """The axes that the values have: those of the project first, in the order of their names, then others."""
    found = dict.fromkeys(axis for each in records for value in each.record.values for axis in value.at)
    return [*(axis for axis in AXES if axis in found), *(axis for axis in found if axis not in AXES)]


def _rows(each: Measured) -> Iterator[dict[str, Any]]:
    record, entry = each.record, each.entry
    of_record = {
        "recipe": each.recipe,
        **msgspec.structs.asdict(record.subject),
        "probe": record.probe,
        "machine": each.machine,
        "commit": record.code.commit,
        "started": record.started,
        "protocol": record.protocol,
        "samples": None if entry is None else entry.samples_path,
        "record": None if entry is None else entry.place,
    }
    for value in record.values:
        low, high = value.interval or (None, None)
        yield {
            **of_record,
            "name": value.name,
            **value.at,
            "value": float(value.value),
            "unit": value.unit,
            "low": low,
            "high": high,
        }
