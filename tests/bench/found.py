"""What a measurement or a record holds, by name, for tests that look at single values."""

from bench.contract import Measurement
from bench.record import Record, Value


def rows_at(found: Measurement | Record, **at: str | int) -> dict[str, Value]:
    """The values at exactly this place; without one, those of the whole."""
    return {value.name: value for value in found.values if value.at == at}


def numbers_at(found: Measurement | Record, **at: str | int) -> dict[str, int | float]:
    """The numbers at exactly this place; without one, those of the whole."""
    return {name: value.value for name, value in rows_at(found, **at).items()}
