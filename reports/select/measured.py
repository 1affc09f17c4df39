"""A record as tables and figures take it: its values as numbers that know where they are from."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from bench.names import METRICS
from bench.record import Record, Scalar, Subject, Value
from bench.store import Array, Entry
from reports import paper
from reports.cells import Number, Source

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A record without an error, and the entry of the store that holds it, if one does.

    Equal to nothing but itself.
    """

    record: Record
    entry: Entry | None = None

    @property
    def subject(self) -> Subject:
        """What was measured."""
        return self.record.subject

    @property
    def protocol(self) -> dict[str, Scalar]:
        """How it was measured."""
        return self.record.protocol

    @property
    def probe(self) -> str:
        """Name of the probe that measured."""
        return self.record.probe

    @property
    def machine(self) -> str:
        """Short name of the machine."""
        return self.record.machine.name

    @property
    def started(self) -> str:
        """When it was measured, UTC in ISO 8601."""
        return self.record.started

    @property
    def recipe(self) -> str | None:
        """The recipe that it was measured for; None for a record that lies in no store."""
        return None if self.entry is None else self.entry.recipe

    @cached_property
    def source(self) -> Source:
        """What cells say of the record that they are from."""
        place = None if self.entry is None else self.entry.place
        return Source(record=place, protocol=self.protocol, machine=self.machine, started=self.started)

    def number(self, name: str, **at: str | int) -> Number | None:
        """The value of a name at exactly this place, with its interval; None where it was not measured."""
        found = self._by_place.get((name, frozenset(at.items())))
        return None if found is None else self._number(found)

    def numbers(self, name: str, axis: str, **at: str | int) -> dict[str | int, Number]:
        """The values of a name along an axis, all else at this place, by their places on the axis, in their order."""
        along = [value for value in self.record.where(name, **at) if value.at.keys() == {*at, axis}]
        return {value.at[axis]: self._number(value) for value in along}

    def has(self, name: str, **at: str | int) -> bool:
        """Whether there is a value of a name at this place or below it: with these axes, and perhaps others."""
        return bool(self.record.where(name, **at))

    def axes(self, axis: str) -> tuple[str | int, ...]:
        """The places of an axis that the values have, each once."""
        return self.record.axes(axis)

    def arrays(self) -> Mapping[str, Array]:
        """The arrays that the record keeps beside it; none where there are none, or their file is gone or damaged."""
        return self._arrays(None)

    @cached_property
    def resampled(self) -> dict[str, Float64[np.ndarray, "B"]]:
        """The compared metrics on resampled images, as the record keeps them, by metric; read when first asked for."""
        # Not all arrays: match tables lie beside these, and reading them took most of the time of a large report.
        names = {f"resampled_{metric}": metric for metric in METRICS}
        return {names[name]: np.asarray(array, dtype=np.float64) for name, array in self._arrays(names).items()}

    def _arrays(self, only: Collection[str] | None) -> Mapping[str, Array]:
        """Arrays of the record; a file that is damaged is named, and a report goes on without it."""
        if self.entry is None or self.entry.samples_path is None:
            return {}
        try:
            return self.entry.arrays(only=only)
        except ValueError as error:
            _log.warning("%s What needs them is left out.", error)
            return {}

    @property
    def storage(self) -> str:
        """Another backend or kernel than EffSeg's own, as on the command line; empty for all other heads."""
        found = ":".join(part for part in (self.subject.backend, self.subject.kernel) if part is not None)
        return "" if found == "sps" else found

    @property
    def head(self) -> str:
        """How tables call the head, with its way of storage where that is not its own."""
        name = paper.HEADS.get(str(self.subject.head), str(self.subject.head))
        return f"{name} ({self.storage})" if self.storage else name

    @property
    def module(self) -> str:
        """How tables call EffSeg's processing module; empty for the other heads."""
        return "" if self.subject.module is None else paper.MODULES.get(self.subject.module, self.subject.module)

    @property
    def backend(self) -> str:
        """How tables call a backend without a head, with its kernel."""
        name = paper.BACKENDS.get(str(self.subject.backend), str(self.subject.backend))
        return f"{name}:{self.subject.kernel}" if self.subject.kernel else name

    @cached_property
    def _by_place(self) -> dict[tuple[str, frozenset[tuple[str, str | int]]], Value]:
        return {(value.name, frozenset(value.at.items())): value for value in self.record.values}

    def _number(self, value: Value) -> Number:
        return Number(value.value, interval=value.interval, source=self.source)


def measured(found: Iterable[Entry | Record]) -> list[Measured]:
    """Records that have values, the oldest first; those of a store know where they lie."""
    made = [
        Measured(record=each.record, entry=each) if isinstance(each, Entry) else Measured(record=each) for each in found
    ]
    return sorted((each for each in made if each.record.error is None), key=lambda each: each.started)


def failures(found: Iterable[Entry | Record]) -> Sequence[Record]:
    """Records of what ended with an error."""
    records = (each.record if isinstance(each, Entry) else each for each in found)
    return [record for record in records if record.error is not None]
