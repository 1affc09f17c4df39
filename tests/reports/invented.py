"""Records of invented numbers, for tests of what is shown."""

from collections.abc import Mapping

from bench.record import Code, Machine, Record, Scalar, Subject, Value
from bench.schema1 import split


def rows(
    probe: str,
    values: Mapping[str, float],
    *,
    unit: str = "",
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[Value, ...]:
    """Values by the glued names of schema 1, which are short to write; they come apart as those of old records do."""
    found = []
    for glued, value in values.items():
        name, at = split(probe, glued)
        found.append(Value(name=name, value=value, unit=unit, at=at, interval=(intervals or {}).get(glued)))
    return tuple(found)


def invented(
    subject: Subject,
    protocol: Mapping[str, Scalar],
    values: Mapping[str, float],
    *,
    unit: str = "",
    intervals: Mapping[str, tuple[float, float]] | None = None,
    second: int = 0,
    cpu: str = "epyc",
) -> Record:
    """A record of values of one unit, measured at some second of the same minute."""
    return Record(
        subject=subject,
        protocol=dict(protocol),
        machine=Machine(cpu=cpu, cores=2, threads=2, clock_mhz=None, memory_bytes=None, os="os", python="3", torch="2"),
        code=Code(commit=None, dirty=None),
        values=rows(str(protocol["probe"]), values, unit=unit, intervals=intervals),
        started=f"2026-01-01T00:00:{second:02}.000000+00:00",
        seconds=1.0,
    )
