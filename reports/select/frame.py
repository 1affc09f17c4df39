"""Records as one tidy table: a row for every value, with subject, protocol and machine beside it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from bench.record import Record, Subject
from bench.store import Entry, Store
from reports.cells import Number, Source

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
    "recipe",
    "samples",
    "source",
)


def load(results: Path) -> pd.DataFrame:
    """Read the newest record of every cell of a store; see `frame_of_entries`."""
    return frame_of_entries(Store(results))


def frame_of_entries(entries: Iterable[Entry]) -> pd.DataFrame:
    """The frame of records that lie in a store: with the recipe, and the path of the npz file beside the record.

    `samples` is None where there is no such file; `source` says where a value is from. The frame does not hold the
    arrays: only a table of differences needs some of them, and match tables of a large data set are large.
    """
    return _frame((entry.record, entry.recipe, _samples(entry), place(entry)) for entry in entries)


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per value, oldest record first. Records with an error have no rows.

    `low` and `high` are the value's interval, where it has one. `protocol` holds the record's dict; `machine` is the
    machine's short name. Records alone have no `recipe` and no `samples`.
    """
    return _frame((record, None, None, None) for record in records)


def rows_of(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Every row by the names of its columns; what is missing is None.

    The same as `to_dict("records")`, but that takes longer than all else that is done with the rows of a large store.
    """
    names = list(frame.columns)
    values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    return (dict(zip(names, row, strict=True)) for row in values)


def number(row: Mapping[Any, Any]) -> Number:
    """The value of a row of the frame, with its interval and where it is from."""
    interval = None if pd.isna(row["low"]) else (float(row["low"]), float(row["high"]))
    return Number(float(row["value"]), interval=interval, source=row["source"])


def labels(frame: pd.DataFrame) -> list[str]:
    """A name for the subject of every row: its head or backend, and what tells it apart from the others."""
    subjects = frame[list(_SUBJECT)].astype(object).where(frame[list(_SUBJECT)].notna(), "")
    telling = ["head" if subjects["head"].ne("").any() else "backend"]
    for field in _SUBJECT:
        if len(subjects[[*telling, field]].drop_duplicates()) > len(subjects[telling].drop_duplicates()):
            telling.append(field)
    return [" ".join(str(part) for part in row if part != "") for row in subjects[telling].itertuples(index=False)]


def _frame(found: Iterable[tuple[Record, str | None, Path | None, str | None]]) -> pd.DataFrame:
    oldest_first = sorted(found, key=lambda each: each[0].started)
    rows = [
        {**row, "recipe": recipe, "samples": samples}
        for record, recipe, samples, place in oldest_first
        for row in _rows(record, place)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def place(entry: Entry) -> str:
    """Path of the record relative to the directory of the store."""
    return "/".join(entry.path.parts[-4:])


def source_of(record: Record, place: str | None) -> Source:
    """What cells say of the record that they are from, whose path is `place`."""
    return Source(record=place, protocol=record.protocol, machine=record.machine.name, started=record.started)


def _samples(entry: Entry) -> Path | None:
    if entry.record.samples is None:
        return None
    path = entry.path.with_name(entry.record.samples)
    return path if path.is_file() else None


def _rows(record: Record, place: str | None) -> Iterable[dict[str, object]]:
    source = source_of(record, place)
    of_record = {
        **msgspec.structs.asdict(record.subject),
        "probe": record.probe,
        "protocol": record.protocol,
        "machine": source.machine,
        "commit": record.code.commit,
        "started": record.started,
        "source": source,
    }
    for name, value in record.values.items():
        low, high = record.intervals.get(name, (None, None))
        yield {**of_record, "name": name, "value": float(value), "unit": record.units[name], "low": low, "high": high}
