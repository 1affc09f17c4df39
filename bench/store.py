"""A directory of records: `<machine>/<recipe>/<subject>/<probe>-<key8>.json`, arrays and files beside them.

A record appears whole or not at all: everything is written under a temporary name, synchronised and renamed, the
record last. A good record is never touched again. Measuring a cell once more adds `<probe>-<key8>-2.json`, and so on;
the newest counts. A record with an error is replaced by the next attempt. Imports no torch.
"""

import difflib
import glob
import io
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import numpy as np

from bench.files import checksum_of, write_whole
from bench.record import Record, decode, encode

_RECORD_NAME = re.compile(r"(?P<cell>(?P<probe>\w+)-(?P<key>[0-9a-f]{8}))(-\d+)?\.json")

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]|^\.|%(?=[0-9A-Fa-f]{2})")
"""What a name must not have as that of a file or folder: a way out of its folder, or what `_safe` makes of that."""

_UNREADABLE = (ValueError, OSError, RecursionError)
"""What reading a file that is no record can end with; the last one for thousands of brackets."""

_NUM_CLOSE = 3
"""How many of the known cells an error names."""

_log = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[Any]]


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

    def arrays(self) -> dict[str, Array]:
        """Per-sample values by name; none where the probe kept none."""
        if self.record.samples is None:
            return {}
        with np.load(self.path.with_name(self.record.samples), allow_pickle=False) as arrays:
            return dict(arrays)


class Store:
    """Records below one directory, which need not exist yet. Iterates over the newest entry of every cell.

    A folder has the name of its recipe or subject. Only what a file's name must not have, such as a slash in the name
    of a head, is written as in addresses of the web.

    One process at a time may write a cell. Files that are no readable record are skipped; the log names each once, and
    how many there are when all are read. They are not overwritten, since a newer version of the project may have
    written them.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._skipped: dict[Path, str] = {}

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
        """Write a record with its arrays and files, whose names and checksums are filled in here."""
        folder = self.directory / record.machine.name / _safe(recipe) / _safe(record.subject.name)
        folder.mkdir(parents=True, exist_ok=True)
        stem = _free_stem(folder, f"{record.probe}-{key}")
        if samples:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **samples)
            record = msgspec.structs.replace(record, samples=f"{stem}.npz")
            write_whole(folder / f"{stem}.npz", buffer.getvalue())
        checksums = {}
        for name, content in (files or {}).items():
            file_name = _safe(f"{stem}.{name}")
            write_whole(folder / file_name, content)
            checksums[file_name] = checksum_of(content)
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
                record = decode(path.read_bytes())
            except _UNREADABLE as error:
                fault = str(error).rstrip(".")
                if path not in self._skipped:
                    _log.warning("%s is no readable record and is skipped: %s. Delete it, or restore it.", path, fault)
                self._skipped[path] = fault
                continue
            entries.append(Entry(recipe=unquote(path.parent.parent.name), path=path, record=record))
        yield from sorted(entries, key=lambda entry: entry.record.started)


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


def _free_stem(folder: Path, cell: str) -> str:
    """`cell`, or `cell-2`, ...: the first name that holds no record, or one with an error."""
    number = 1
    while True:
        stem = cell if number == 1 else f"{cell}-{number}"
        path = folder / f"{stem}.json"
        if not path.exists() or _failed(path):
            return stem
        number += 1


def _failed(path: Path) -> bool:
    try:
        return decode(path.read_bytes()).error is not None
    except _UNREADABLE:
        return False
