"""How long cells will take, judged by records of the same kind. Imports no torch."""

import math
import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.planning.plan import Step
from bench.record import Record


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of the cells whose kind has been measured before, and the number of those of which nothing is known."""

    seconds: float
    num_unknown: int

    def __str__(self) -> str:
        if not self.seconds:
            return "time unknown"
        cells = f"{self.num_unknown} cell{'s' * (self.num_unknown > 1)}"
        rest = f", and {cells} of which nothing is known" if self.num_unknown else ""
        return f"about {duration(self.seconds)}{rest}"


def estimate(steps: Iterable[Step], known: Collection[Record]) -> Estimate:
    """Judge the cells that are still to be measured by `known`, which should be records of this machine."""
    expected = [_seconds(step, known) for step in steps if step.found is None]
    return Estimate(
        seconds=math.fsum(seconds for seconds in expected if seconds is not None),
        num_unknown=sum(seconds is None for seconds in expected),
    )


def _seconds(step: Step, known: Collection[Record]) -> float | None:
    """The median of the same protocol: of this head or backend where it was measured, else of the others."""
    alike = [record for record in known if record.error is None and record.protocol == step.protocol]
    subject = step.cell.subject
    own = [
        record for record in alike if (record.subject.head, record.subject.backend) == (subject.head, subject.backend)
    ]
    chosen = own or alike
    return statistics.median(record.seconds for record in chosen) if chosen else None


def duration(seconds: float) -> str:
    """A time for people: `40 s`, `3 min`, `1 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
