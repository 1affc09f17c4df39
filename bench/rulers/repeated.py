"""What was measured several times: its median, between the quartiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bench.record import Value


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """A quantity by its name in records, measured N times."""

    name: str
    array: Float[np.ndarray, "N"]
    unit: str = ""

    def row(self, **at: str | int) -> Value:
        """The median at a place; its interval are the quartiles."""
        low, middle, high = (float(number) for number in np.percentile(self.array, [25, 50, 75]))
        return Value(name=self.name, value=middle, unit=self.unit, at=at, interval=(low, high))


def beside_dense(ours_ms: Float[np.ndarray, "N"], dense_ms: Float[np.ndarray, "N"]) -> Sequence[Repeated]:
    """Times, those of Dense beside them, and the ratios of neighbours in time, of which the median counts."""
    return (
        Repeated(name="ms", array=ours_ms, unit="ms"),
        Repeated(name="dense_ms", array=dense_ms, unit="ms"),
        Repeated(name="ratio", array=ours_ms / dense_ms),
    )
