"""A column of a table that shows a recorded value: where in a record it stands, and how it is written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reports.cells import Number
from reports.layout import Column
from reports.select.measured import Measured


@dataclass(frozen=True, kw_only=True)
class Field:
    """A value by its name and place; what is shown is the recorded value / `scale`.

    `probe` tells apart values of the same name by different probes, where a table has several. `digits`, `best` and
    `show_as` are those of `Column`.
    """

    heading: str
    name: str
    at: Mapping[str, str | int] = field(default_factory=dict)
    probe: str | None = None
    digits: int = 1
    best: Literal["highest", "lowest"] | None = None
    scale: float = 1.0
    show_as: Callable[[float], str] | None = None

    def column(self) -> Column:
        """The column, named by the heading."""
        return Column(name=self.heading, digits=self.digits, best=self.best, show_as=self.show_as)

    def number(self, found: Measured | None, **at: str | int) -> Number | None:
        """The value of a record as it is shown; `at` says more of its place. None where it was not measured."""
        number = None if found is None else found.number(self.name, **{**at, **self.at})
        return None if number is None else number.over(self.scale)

    def is_in(self, found: Measured) -> bool:
        """Whether a record has the value at this place or below it."""
        return found.has(self.name, **self.at)


def measured_of(fields: Iterable[Field], found: Iterable[Measured]) -> Sequence[Field]:
    """The fields that any of the records has: a column of what nobody measured would be empty."""
    records = list(found)
    return [each for each in fields if any(each.is_in(record) for record in records)]
