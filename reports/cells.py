"""Numbers and texts of tables that know which record they are from.

A `Number` is a float and a `Text` a string, so that whatever computes or compares need not know of them; what is
computed from a `Number` is a plain float again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.record import Scalar


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a value is from: `record` is the path of its record relative to the results directory.

    None for a record that lies in no store. `started` is when it was measured, UTC in ISO 8601.
    """

    record: str | None
    protocol: Mapping[str, Scalar]
    machine: str
    started: str

    def words(self) -> str:
        """The protocol in words, without what does not apply."""
        told = [f"{name} {_short(value)}" for name, value in self.protocol.items() if name != "probe"]
        told = [each for each in told if not each.endswith(" None")]
        return f"{self.protocol.get('probe', 'measured')}: {'; '.join([*told, self.machine, self.started[:10]])}"


class Number(float):
    """A measured number, with its 95 % interval or the quartiles that its record states, and its source."""

    def __new__(
        cls, value: float, *, interval: tuple[float, float] | None = None, source: Source | None = None
    ) -> "Number":
        """Make the float itself."""
        return super().__new__(cls, value)

    def __init__(
        self, value: float, *, interval: tuple[float, float] | None = None, source: Source | None = None
    ) -> None:
        """Keep what it is from."""
        self.interval = interval
        self.source = source

    def over(self, scale: float) -> "Number":
        """The same number in another unit."""
        interval = None if self.interval is None else (self.interval[0] / scale, self.interval[1] / scale)
        return Number(self / scale, interval=interval, source=self.source)


class Text(str):
    """Words of a table about one record, such as the interval of a value."""

    def __new__(cls, text: str, *, source: Source | None = None) -> "Text":
        """Make the string itself."""
        return super().__new__(cls, text)

    def __init__(self, text: str, *, source: Source | None = None) -> None:
        """Keep what it is from."""
        self.source = source


class Bounds(Text):
    """The interval of a number that stands beside or above it: for people, since the `Number` itself has it."""


def over(value: float | None, scale: float) -> float | None:
    """A value in another unit; a `Number` stays one."""
    return value.over(scale) if isinstance(value, Number) else None if value is None else value / scale


def mean(values: Sequence[float]) -> float | None:
    """The mean of what was measured several times, with the interval and the source of the first; None of nothing."""
    if not values:
        return None
    first = values[0]
    interval = first.interval if isinstance(first, Number) else None
    return Number(sum(values) / len(values), interval=interval, source=source_of(first))


def source_of(value: object) -> Source | None:
    """Where a value is from, if it knows."""
    return value.source if isinstance(value, (Number, Text)) else None


def record_of(value: object) -> str | None:
    """Path of the record of a cell, relative to the results directory."""
    source = source_of(value)
    return None if source is None else source.record


def title_of(value: object) -> str | None:
    """Text of a cell on demand: its interval, and its protocol in words."""
    interval = value.interval if isinstance(value, Number) else None
    source = source_of(value)
    told = [] if interval is None else ["interval {:.4g} to {:.4g}".format(*interval)]
    told += [] if source is None else [source.words()]
    return "; ".join(told) or None


def _short(value: Scalar) -> str:
    # A checksum's first digits tell files apart; the record has all of it.
    return value[:15] if isinstance(value, str) and value.startswith("sha256:") else str(value)
