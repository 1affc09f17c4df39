"""Records as one tidy table: a row for every value, with subject, protocol and machine beside it."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pandas as pd

from bench.record import Record, Subject
from bench.store import Store

_SUBJECT = ("head", "backend", "kernel", "module", "backbone", "preset", "schedule", "seed", "weights")

COLUMNS = (
    *Subject.__struct_fields__,
    "probe",
    "protocol",
    "machine",
    "commit",
    "started",
    "name",
    "value",
    "unit",
    "low",
    "high",
)


def load(results: Path) -> pd.DataFrame:
    """Read the newest record of every cell of a store; see `frame`."""
    return frame(entry.record for entry in Store(results))


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per value, oldest record first. Records with an error have no rows.

    `low` and `high` are the value's interval, where it has one. `protocol` holds the record's dict; `machine` is the
    machine's short name.
    """
    rows = [row for record in sorted(records, key=lambda record: record.started) for row in _rows(record)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def labels(frame: pd.DataFrame) -> list[str]:
    """A name for the subject of every row: its head or backend, and what tells it apart from the others."""
    subjects = frame[list(_SUBJECT)].astype(object).where(frame[list(_SUBJECT)].notna(), "")
    telling = ["head" if subjects["head"].ne("").any() else "backend"]
    for field in _SUBJECT:
        if len(subjects[[*telling, field]].drop_duplicates()) > len(subjects[telling].drop_duplicates()):
            telling.append(field)
    return [" ".join(str(part) for part in row if part != "") for row in subjects[telling].itertuples(index=False)]


def _rows(record: Record) -> Iterable[dict[str, object]]:
    subject = msgspec.structs.asdict(record.subject)
    for name, value in record.values.items():
        low, high = record.intervals.get(name, (None, None))
        yield {
            **subject,
            "probe": record.probe,
            "protocol": record.protocol,
            "machine": record.machine.name,
            "commit": record.code.commit,
            "started": record.started,
            "name": name,
            "value": float(value),
            "unit": record.units[name],
            "low": low,
            "high": high,
        }
