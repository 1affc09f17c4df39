"""The log of a training: one line of JSON for every step, also readable while it is being written."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One step, counted from 1: means over its images, the rate of neck and head, the norm before any limit.

    `unreadable` gives the reason for every image that was left out, by its id.
    """

    step: int
    losses: Mapping[str, float]
    total: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    unreadable: Mapping[str, str] = {}


class Log:
    """A file of lines that goes on after its first `num_bytes`; what a killed process wrote beyond them is cut off."""

    def __init__(self, path: Path, num_bytes: int) -> None:
        self._file = path.open("ab")
        if self._file.tell() > num_bytes:
            os.truncate(path, num_bytes)
        self._file.seek(0, os.SEEK_END)

    def write(self, line: Line) -> None:
        """Add a line, at once."""
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()

    @property
    def num_bytes(self) -> int:
        """Length of the file."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> list[Line]:
    """Read the complete lines of a log; the last one may be half written."""
    *lines, _ = path.read_bytes().split(b"\n")
    return [msgspec.json.decode(line, type=Line) for line in lines]
