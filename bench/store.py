"""A directory of records: `<machine>/<recipe>/<subject>/<probe>-<key8>.json`, arrays and files beside them.

A record appears whole or not at all: everything is written under a temporary name, synchronised and renamed, the
record last. A good record is never touched again. Measuring a cell once more adds `<probe>-<key8>-2.json`, and so on;
the newest counts: of a cell on one machine the last number, else by the clocks. A record with an error is replaced by
the next attempt. Imports no torch.
"""

import difflib
import glob
import io
import logging
import re
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import numpy as np

from bench.files import checksum_of, write_whole
from bench.lock import locked
from bench.record import Record, decode, encode

_RECORD_NAME = re.compile(r"(?P<cell>(?P<probe>\w+)-(?P<key>[0-9a-f]{8}))(-(?P<number>\d+))?\.json")

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]|^\.|%(?=[0-9A-Fa-f]{2})")
"""What a name must not have as that of a file or folder: a way out of its folder, or what `_safe` makes of that."""

_UNREADABLE = (ValueError, OSError, RecursionError)
"""What reading a file that is no record can end with; the last one for thousands of brackets."""

_MOST_BYTES_OF_ARRAYS = 2**32
"""Of the arrays of a record; match tables of all of COCO have a hundredth."""

_LONGEST_FAULT = 500
"""Letters of what is wrong with a file, which may repeat what is in it."""

_MOST_BYTES = 2**22
"""Of a record, ten times what the longest ones have."""

_PATIENCE = 60.0
"""Seconds to wait for a process that is writing a record, which takes far less."""

_NUM_CLOSE = 3
"""How many of the known cells an error names."""

_log = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[Any]]


class _NotArrays(Exception):
    """A file is not the arrays of its record; says why."""


_DAMAGED = (
    *(_NotArrays, ValueError, OSError, EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading a damaged file of arrays can end with; RuntimeError for one with a password."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A record and where it lies."""

    recipe: str
    path: Path
    record: Record

    @property
    def cell(self) -> str:
        """The cell that it is of, as `list` prints it: `recipe/subject/probe`."""
        return f"{self.recipe}/{self.record.subject.name}/{self.record.probe}"

    @property
    def place(self) -> str:
        """Path of the record relative to the directory of the store."""
        return "/".join(self.path.parts[-4:])

    @property
    def samples_path(self) -> Path | None:
        """The npz file beside the record; None where the probe kept none, or the file is gone."""
        path = None if self.record.samples is None else self.path.with_name(self.record.samples)
        return path if path is not None and path.is_file() else None

    def arrays(self, *, only: Collection[str] | None = None) -> dict[str, Array]:
        """Per-sample values by name, `only` those of these names; none where the probe kept none.

        Raises ValueError where the file is gone, damaged or not that of the record, which has its checksum; records of
        before 0.5 have none.
        """
        if self.record.samples is None:
            return {}
        path = self.path.with_name(self.record.samples)
        try:
            return _read_arrays(path, self.record.files.get(path.name), only)
        except _DAMAGED as error:
            raise ValueError(
                f"The arrays of {self.path} cannot be read from {path.name}: {error}; expected the file that was "
                "written with the record; restore it, or measure the cell again."
            ) from error


class Store:
    """Records below one directory, which need not exist yet. Iterates over the newest entry of every cell.

    A folder has the name of its recipe or subject. Only what a file's name must not have, such as a slash in the name
    of a head, is written as in addresses of the web.

    Processes may write at once: each waits for the others. Files that are no readable record are skipped; the log names
    each once, and how many there are when all are read. They are not overwritten, since a newer version of the project
    may have written them.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._skipped: dict[Path, str] = {}
        self._ahead: set[Path] = set()

    @property
    def skipped(self) -> Mapping[Path, str]:
        """The files that were no readable records, as far as they were come across, and what is wrong with each."""
        return dict(sorted(self._skipped.items()))

    def __iter__(self) -> Iterator[Entry]:
        newest: dict[tuple[str, str, str], Entry] = {}
        known = len(self._skipped)
        for entry in self._entries("*/*/*/*.json"):
            cell = _record_name(entry.path)["cell"]
            newest[(entry.recipe, entry.path.parent.name, cell)] = entry
        if len(self._skipped) > known:
            _log.warning("Skipped in %s: %d files that are no readable records.", self.directory, len(self._skipped))
        yield from newest.values()

    def cell(self, name: str) -> list[Entry]:
        """The newest entry of every way in which a cell was measured, newest first; `name` as `list` prints it.

        Raises ValueError where there is none.
        """
        entries = list(self)
        found = sorted((entry for entry in entries if entry.cell == name), key=lambda entry: entry.record.started)
        if not found:
            raise ValueError(_no_cell(name, self.directory, sorted({entry.cell for entry in entries})))
        return found[::-1]

    def newest(self, recipe: str, subject: str, probe: str, key: str) -> Entry | None:
        """The newest record of a cell, good or not, from whichever machine: the key says if that matters."""
        folder = glob.escape(f"{_safe(recipe)}/{_safe(subject)}")
        entries = list(self._entries(f"*/{folder}/{probe}-{key}*.json"))
        return entries[-1] if entries else None

    def add(
        self,
        recipe: str,
        key: str,
        record: Record,
        samples: Mapping[str, Array] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Entry:
        """Write a record with its arrays and files, whose names and checksums are filled in here.

        Raises OSError where one cannot be written, and ValueError where another process writes for too long.
        """
        folder = self.directory / record.machine.name / _safe(recipe) / _safe(record.subject.name)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(self.directory, patience=_PATIENCE):
            return self._add(folder, recipe, key, record, samples or {}, files or {})

    def _add(
        self,
        folder: Path,
        recipe: str,
        key: str,
        record: Record,
        samples: Mapping[str, Array],
        files: Mapping[str, bytes],
    ) -> Entry:
        stem = _free_stem(folder, f"{record.probe}-{key}")
        contents = {_safe(f"{stem}.{name}"): content for name, content in files.items()}
        if samples:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **samples)
            record = msgspec.structs.replace(record, samples=f"{stem}.npz")
            contents[f"{stem}.npz"] = buffer.getvalue()
        for name, content in contents.items():
            write_whole(folder / name, content)
        checksums = {name: checksum_of(content) for name, content in contents.items()}
        record = msgspec.structs.replace(record, files=checksums)
        path = folder / f"{stem}.json"
        write_whole(path, encode(record, indent=2) + b"\n")
        return Entry(recipe=recipe, path=path, record=record)

    def _entries(self, pattern: str) -> Iterator[Entry]:
        """Readable records, oldest first."""
        entries = []
        for path in sorted(self.directory.glob(pattern)):
            if not _RECORD_NAME.fullmatch(path.name):
                continue
            try:
                record = _read(path)
            except _UNREADABLE as error:
                fault = str(error)[:_LONGEST_FAULT].rstrip(".")
                if path not in self._skipped:
                    _log.warning("%s is no readable record and is skipped: %s. Delete it, or restore it.", path, fault)
                self._skipped[path] = fault
                continue
            entries.append(Entry(recipe=unquote(path.parent.parent.name), path=path, record=record))
            if record.started > _tomorrow() and path not in self._ahead:
                self._ahead.add(path)
                _log.warning(
                    "%s says that it was measured on %s, and today is before that: it counts as newer than what other "
                    "machines measured. Correct the clock, or measure the cell again (--force).",
                    path,
                    record.started[:10],
                )
        yield from _oldest_first(entries)


def _oldest_first(entries: Sequence[Entry]) -> list[Entry]:
    """Entries by when they were measured; of a cell in one folder, by their numbers, whatever the clock said."""
    latest: dict[tuple[Path, str], str] = {}
    placed = []
    for entry in sorted(entries, key=lambda entry: _number(entry.path)):
        cell = (entry.path.parent, _record_name(entry.path)["cell"])
        latest[cell] = max(latest.get(cell, ""), entry.record.started)
        placed.append((latest[cell], _number(entry.path), entry))
    return [entry for *_, entry in sorted(placed, key=lambda each: each[:2])]


def _tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


def _read(path: Path) -> Record:
    """Read a record. Raises ValueError for what is none, also for a pipe or a device: reading one may never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is no regular file; a record is one; remove it.")
    if status.st_size > _MOST_BYTES:
        raise ValueError(f"{path.name} has {status.st_size:,} bytes; a record has {_MOST_BYTES:,} at most; remove it.")
    return decode(path.read_bytes())


def _read_arrays(path: Path, checksum: str | None, only: Collection[str] | None) -> dict[str, Array]:
    """Read arrays by name, and only as much as a probe may leave. Raises one of _DAMAGED."""
    if not path.is_file():
        raise _NotArrays("it is not there")
    content = path.read_bytes()
    if checksum not in (None, checksum_of(content)):
        raise _NotArrays("by its checksum it is of another record")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        num_bytes = sum(each.file_size for each in archive.infolist())
    if num_bytes > _MOST_BYTES_OF_ARRAYS:
        raise _NotArrays(f"it unpacks to {num_bytes:,} bytes, and {_MOST_BYTES_OF_ARRAYS:,} are the most")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if only is None or name in only}


def _no_cell(name: str, directory: Path, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=_NUM_CLOSE) or known[:_NUM_CLOSE]
    more = f" ({len(known)} in all)" if len(known) > len(close) else ""
    expected = f"one such as {', '.join(close)}{more}" if close else "one that `run` has measured, and there is none"
    return (
        f"There is no cell {name} in {directory}; expected {expected}; check the name, or measure it: "
        f"run_bench.py run {name.partition('/')[0]}."
    )


def _safe(name: str) -> str:
    """The name as one of a file or folder: itself, but for what is unsafe, as in `a%2Fb`; `unquote` gives it back."""
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _record_name(path: Path) -> re.Match[str]:
    match = _RECORD_NAME.fullmatch(path.name)
    assert match is not None
    return match


def _number(path: Path) -> int:
    return int(_record_name(path)["number"] or 1)


def _free_stem(folder: Path, cell: str) -> str:
    """`cell`, or `cell-2`, ...: the name after the last one, or the last one itself where it has an error."""
    found = [path for path in folder.glob(f"{glob.escape(cell)}*.json") if _RECORD_NAME.fullmatch(path.name)]
    last = max((path for path in found if _record_name(path)["cell"] == cell), key=_number, default=None)
    if last is not None and _failed(last):
        return last.stem
    number = 1 if last is None else _number(last) + 1
    return cell if number == 1 else f"{cell}-{number}"


def _failed(path: Path) -> bool:
    try:
        return _read(path).error is not None
    except _UNREADABLE:
        return False
