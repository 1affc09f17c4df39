"""What was measured of the backends under one protocol: the values that a table may put beside each other."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from bench.record import Scalar
from reports import paper
from reports.cells import Number, source_of
from reports.select.frame import number, rows_of


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Newest values and intervals of one backend (with its kernel) by name; `label` is how a table calls it."""

    backend: str
    label: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]

    def ratio(self, ours: str, reference: str) -> float | None:
        """One value over another; None where either is missing."""
        if ours not in self.values or reference not in self.values:
            return None
        return Number(self.values[ours] / self.values[reference], source=source_of(self.values[ours]))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All backends measured with one probe under one protocol, in the paper's order, then kernels and new backends."""

    backends: tuple[Measured, ...]
    protocol: dict[str, Scalar]
    machine: str

    def shares_its_point_with(self, other: "Comparison") -> bool:
        """Whether another probe measured the same: all that both protocols mention is equal."""
        shared = (self.protocol.keys() & other.protocol.keys()) - {"probe", "version"}
        return all(self.protocol[name] == other.protocol[name] for name in shared)

    def protocol_sentence(self) -> str:
        """The protocol for a caption."""
        told = (f"{name} {value}" for name, value in self.protocol.items() if name != "probe" and value is not None)
        return f"Protocol of {self.protocol['probe']}: {'; '.join(told)}."


def compare(frame: pd.DataFrame, probe: str, *, same_machine: bool) -> Comparison | None:
    """What is comparable with the newest record of a probe; None without any.

    Backends that were only measured under another protocol (or on another machine, where that matters) are left out.
    """
    found = frame[(frame["probe"] == probe) & frame["backend"].notna() & frame["head"].isna()]
    if found.empty:
        return None
    newest = found.iloc[-1]
    found = found[[protocol == newest["protocol"] for protocol in found["protocol"]]]
    if same_machine:
        found = found[found["machine"] == newest["machine"]]
    backends = sorted(_measured(found), key=_order)
    return Comparison(backends=tuple(backends), protocol=newest["protocol"], machine=str(newest["machine"]))


def label(backend: str, kernel: str | None) -> str:
    """How tables call a backend with its kernel."""
    name = paper.BACKENDS.get(backend, backend)
    return f"{name}:{kernel}" if kernel else name


def _measured(found: pd.DataFrame) -> Iterator[Measured]:
    kernels = found["kernel"].fillna("")
    for (backend, kernel), group in found.groupby([found["backend"], kernels]):
        # Of a cell measured again, only the newest record: an older one may have values that this one has not.
        newest = group[group["started"] == group["started"].iloc[-1]]
        intervals = newest[newest["low"].notna()]
        yield Measured(
            backend=str(backend),
            label=label(str(backend), str(kernel) or None),
            values={str(row["name"]): number(row) for row in rows_of(newest)},
            intervals={
                str(name): (float(low), float(high))
                for name, low, high in zip(intervals["name"], intervals["low"], intervals["high"], strict=True)
            },
        )


def _order(measured: Measured) -> tuple[int, str]:
    known = list(paper.BACKENDS)
    return known.index(measured.backend) if measured.backend in known else len(known), measured.label
