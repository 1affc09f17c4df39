"""Where sparse methods stop being cheaper than Dense: a table per stage and sweep, the crossings in its caption."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from reports.layout import CellValue, Column, Table
from reports.select.backends import Comparison, Measured, compare

_OPERATIONS = {"sfm": "SFM", "conv": "3x3 convolution", "linear": "pointwise layer"}
_IN_HEADINGS = {"sfm": "SFM", "conv": "conv", "linear": "linear"}
_COSTS = {"time": "faster", "macs": "fewer multiply-adds", "bytes": "fewer bytes"}


@dataclass(frozen=True, kw_only=True)
class _Sweep:
    """How to speak of a sweep. `begins_low`: sparse methods are at their best at its lowest place, else its highest.

    `operation` is the one measured; None for the hardest that a method can do.
    """

    name: str
    title: str
    axis: str
    begins_low: bool
    operation: str | None = None

    def place(self, value: float) -> str:
        """A place of the axis in words."""
        return f"{value:.3g} regions" if self.name == "regions" else f"{value:.3g} % active"

    def operation_of(self, measured: Measured) -> str:
        """Which operation of a method was measured."""
        return self.operation or next(name for name in _OPERATIONS if f"operation_is_{name}" in measured.values)


_SWEEPS = (
    _Sweep(name="fraction", title="active fraction", axis="Active %", begins_low=True),
    _Sweep(
        name="conv_fraction",
        title="active fraction, 3x3 convolution of methods that can do the SFM",
        axis="Active %",
        begins_low=True,
        operation="conv",
    ),
    _Sweep(name="regions", title="number of regions", axis="Regions", begins_low=False),
)


def tables(frame: pd.DataFrame) -> list[Table]:
    """A table for every stage and sweep measured; the last says under which protocol all were."""
    found = compare(frame, "break_even", same_machine=True)
    if found is None:
        return []
    made = [_table(found, stage, sweep) for stage in (1, 2, 3) for sweep in _SWEEPS if _has(found, stage, sweep)]
    *others, last = made
    return [*others, replace(last, caption=(*last.caption, found.protocol_sentence()))]


def _table(found: Comparison, stage: int, sweep: _Sweep) -> Table:
    start = f"stage{stage}_{sweep.name}"
    places = _places(found.backends, start)
    backends = [measured for measured in found.backends if _places([measured], start)]
    rows: list[tuple[CellValue, ...]] = []
    for place in places:
        row: list[CellValue] = [str(place)]
        if sweep.name == "regions":
            row.append(100 * backends[0].values[f"{start}{place}_active_fraction"])
        for measured, shows_bytes in _with_own_storage(backends):
            row += [measured.values.get(f"{start}{place}_{name}") for name in ("ms", "ratio")]
            if shows_bytes:
                row.append(measured.ratio(f"{start}{place}_bytes", f"{start}{place}_dense_bytes"))
        rows.append(tuple(row))
    columns = [Column(name=sweep.axis)] + [Column(name="Active %", digits=1)] * (sweep.name == "regions")
    for measured, shows_bytes in _with_own_storage(backends):
        operation = _IN_HEADINGS[sweep.operation_of(measured)]
        columns += [Column(name=f"{measured.label} {operation} ms", digits=1), Column(name="x time", digits=2)]
        columns += [Column(name="x bytes", digits=2)] * shows_bytes
    sentences = (sentence for measured in backends for sentence in _sentences(measured, stage, sweep, places))
    return Table(
        title=f"Break-even with Dense, stage {stage}: {sweep.title}",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=(
            *_operations_sentence(backends, sweep),
            *_no_selection_sentence(found, backends[0], start, places),
            *sentences,
            f"Medians on {found.machine}. 'x time' and 'x bytes' are ratios to Dense, timed in turn.",
        ),
    )


def _has(found: Comparison, stage: int, sweep: _Sweep) -> bool:
    return bool(_places(found.backends, f"stage{stage}_{sweep.name}"))


def _places(backends: Iterable[Measured], start: str) -> list[int]:
    """The places of a sweep that were measured, ascending."""
    names = (re.fullmatch(rf"{start}(\d+)_ratio", name) for measured in backends for name in measured.values)
    return sorted({int(match[1]) for match in names if match})


def _with_own_storage(backends: Sequence[Measured]) -> Iterator[tuple[Measured, bool]]:
    """Every backend, and whether it is the first of its storage: kernels of one backend store the same."""
    shown: set[str] = set()
    for measured in backends:
        yield measured, measured.backend not in shown
        shown.add(measured.backend)


def _operations_sentence(backends: Iterable[Measured], sweep: _Sweep) -> Iterator[str]:
    """Which operation was measured of which method, where that is the hardest that it can do."""
    if sweep.operation is not None:
        return
    by_operation = {
        title: [measured.label for measured in backends if f"operation_is_{operation}" in measured.values]
        for operation, title in _OPERATIONS.items()
    }
    told = "; ".join(f"{title}: {', '.join(labels)}" for title, labels in by_operation.items() if labels)
    yield f"The operation is the hardest that a method can do, against the same on Dense. {told}."


def _no_selection_sentence(found: Comparison, measured: Measured, start: str, places: Sequence[int]) -> Iterator[str]:
    """Where the budget of an image refines every cell, so that nothing is sparse."""
    full = [str(place) for place in places if measured.values[f"{start}{place}_active_fraction"] == 1]
    if start.endswith("_regions") and full:
        budget = found.protocol["region_counts_budget"]
        which = ", ".join(full)
        yield f"The budget of {budget} cells covers all cells of {which} regions: everything is refined there."


def _sentences(measured: Measured, stage: int, sweep: _Sweep, places: Sequence[int]) -> Iterator[str]:
    """Where time, multiply-adds and bytes of a method cross those of Dense, in one sentence."""
    start = f"stage{stage}_{sweep.name}"
    if f"{start}_time_crossings" not in measured.values:
        return
    told = [_crossing(measured, start, cost, sweep, places) for cost in _COSTS]
    yield f"{measured.label}: {'; '.join(told)}."


def _crossing(measured: Measured, start: str, cost: str, sweep: _Sweep, places: Sequence[int]) -> str:
    first = places[0] if sweep.begins_low else places[-1]
    # A cost that is exactly Dense's is not cheaper.
    cheaper = _ratio(measured, f"{start}{first}", cost) < 1
    words = _COSTS[cost] if cheaper else f"{'not' if cost == 'time' else 'no'} {_COSTS[cost]}"
    value = measured.values.get(f"{start}_{cost}_crossing")
    if value is None:
        return f"{words} anywhere from {places[0]} to {sweep.place(places[-1])} (no crossing in range)"
    text = f"{words} {'below' if sweep.begins_low else 'above'} {sweep.place(value)}"
    if f"{start}_{cost}_crossing" in measured.intervals:
        low, high = measured.intervals[f"{start}_{cost}_crossing"]
        text += f" (95 % interval {low:.3g} to {high:.3g})"
    number = int(measured.values[f"{start}_{cost}_crossings"])
    return text if number == 1 else f"{text}, the first of {number} crossings"


def _ratio(measured: Measured, point: str, cost: str) -> float:
    if cost == "time":
        return measured.values[f"{point}_ratio"]
    ratio = measured.ratio(f"{point}_{cost}", f"{point}_dense_{cost}")
    assert ratio is not None, "a record that has crossings has all points"
    return ratio
