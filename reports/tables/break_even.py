"""Where sparse methods stop being cheaper than Dense: a table per stage and sweep, the crossings in its caption."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.names import OPERATIONS, STAGES
from reports.cells import Number, over
from reports.layout import CellValue, Column, Table
from reports.select.backends import of_backends, origin, over_dense
from reports.select.measured import Measured

_HARDEST = {"sfm": "SFM", "conv": "3x3 convolution", "linear": "pointwise layer"}
_COSTS = {"time": "faster", "macs": "fewer multiply-adds", "bytes": "fewer bytes"}


@dataclass(frozen=True, kw_only=True)
class _Sweep:
    """A sweep in a stage. `begins_low`: sparse methods are at their best at its lowest place, else its highest.

    `operation` is the one measured; None for the hardest that a method can do.
    """

    name: str
    title: str
    axis: str
    begins_low: bool
    operation: str | None = None
    stage: int = 0

    def places(self, backends: Iterable[Measured]) -> list[int]:
        """The places that were measured, ascending."""
        found = (each.numbers("ratio", "place", stage=self.stage, sweep=self.name) for each in backends)
        return sorted({int(place) for places in found for place in places})

    def number(self, measured: Measured, name: str, **at: str | int) -> Number | None:
        """A value of the sweep, or of a place in it."""
        return measured.number(name, stage=self.stage, sweep=self.name, **at)

    def ratio(self, measured: Measured, cost: str, place: int) -> Number | None:
        """A cost over that of Dense."""
        return over_dense(measured, cost, stage=self.stage, sweep=self.name, place=place)

    def words(self, place: float) -> str:
        """A place of the axis in words."""
        return f"{place:.3g} regions" if self.name == "regions" else f"{place:.3g} % active"


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


def tables(found: Sequence[Measured]) -> list[Table]:
    """A table for every stage and sweep measured; the last says under which protocol all were."""
    chosen = of_backends(found, "break_even")
    sweeps = [replace(sweep, stage=stage) for stage in STAGES for sweep in _SWEEPS]
    made = [_table(chosen.shown, sweep) for sweep in sweeps if sweep.places(chosen.shown)]
    return [
        replace(each, caption=(*each.caption, *(origin(chosen) if each is made[-1] else chosen.sentences())))
        for each in made
    ]


def _table(found: Iterable[Measured], sweep: _Sweep) -> Table:
    backends = [each for each in found if sweep.places([each])]
    places = sweep.places(backends)
    rows: list[tuple[CellValue, ...]] = []
    for place in places:
        row: list[CellValue] = [str(place)]
        if sweep.name == "regions":
            row.append(over(sweep.number(backends[0], "active_fraction", place=place), 0.01))
        for measured, shows_bytes in _with_own_storage(backends):
            row += [sweep.number(measured, name, place=place) for name in ("ms", "ratio")]
            row += [sweep.ratio(measured, "bytes", place)] * shows_bytes
        rows.append(tuple(row))
    columns = [Column(name=sweep.axis)] + [Column(name="Active %", digits=1)] * (sweep.name == "regions")
    for measured, shows_bytes in _with_own_storage(backends):
        operation = OPERATIONS[sweep.operation or _hardest(measured)]
        columns += [Column(name=f"{measured.backend} {operation} ms", digits=1), Column(name="x time", digits=2)]
        columns += [Column(name="x bytes", digits=2)] * shows_bytes
    return Table(
        title=f"Break-even with Dense, stage {sweep.stage}: {sweep.title}",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=(
            *_operations_sentence(backends, sweep),
            *_no_selection_sentence(backends[0], sweep, places),
            *(sentence for measured in backends for sentence in _sentences(measured, sweep, places)),
            f"Medians on {backends[0].machine}. 'x time' and 'x bytes' are ratios to Dense, timed in turn.",
        ),
    )


def _with_own_storage(backends: Iterable[Measured]) -> Iterator[tuple[Measured, bool]]:
    """Every backend, and whether it is the first of its storage: kernels of one backend store the same."""
    shown: set[str | None] = set()
    for measured in backends:
        yield measured, measured.subject.backend not in shown
        shown.add(measured.subject.backend)


def _hardest(measured: Measured) -> str:
    """The hardest operation that a method can do."""
    return next(name for name in _HARDEST if measured.has("operation_is", operation=name))


def _operations_sentence(backends: Sequence[Measured], sweep: _Sweep) -> Iterator[str]:
    """Which operation was measured of which method, where that is the hardest that it can do."""
    if sweep.operation is None:
        of = {words: [each.backend for each in backends if _hardest(each) == name] for name, words in _HARDEST.items()}
        told = "; ".join(f"{words}: {', '.join(found)}" for words, found in of.items() if found)
        yield f"The operation is the hardest that a method can do, against the same on Dense. {told}."


def _no_selection_sentence(measured: Measured, sweep: _Sweep, places: Iterable[int]) -> Iterator[str]:
    """Where the budget of an image refines every cell, so that nothing is sparse."""
    full = [str(place) for place in places if sweep.number(measured, "active_fraction", place=place) == 1.0]
    if sweep.name == "regions" and full:
        budget, which = measured.protocol["region_counts_budget"], ", ".join(full)
        yield f"The budget of {budget} cells covers all cells of {which} regions: everything is refined there."


def _sentences(measured: Measured, sweep: _Sweep, places: Sequence[int]) -> Iterator[str]:
    """Where time, multiply-adds and bytes of a method cross those of Dense, in one sentence."""
    if sweep.number(measured, "crossings", cost="time") is not None:
        yield f"{measured.backend}: {'; '.join(_crossing(measured, cost, sweep, places) for cost in _COSTS)}."


def _crossing(measured: Measured, cost: str, sweep: _Sweep, places: Sequence[int]) -> str:
    first = sweep.ratio(measured, cost, places[0] if sweep.begins_low else places[-1])
    assert first is not None, "a record that has crossings has all points"
    # A cost that is exactly Dense's is not cheaper.
    words = _COSTS[cost] if first < 1 else f"{'not' if cost == 'time' else 'no'} {_COSTS[cost]}"
    value = sweep.number(measured, "crossing", cost=cost)
    if value is None:
        return f"{words} anywhere from {places[0]} to {sweep.words(places[-1])} (no crossing in range)"
    text = f"{words} {'below' if sweep.begins_low else 'above'} {sweep.words(value)}"
    if value.interval is not None:
        low, high = value.interval
        text += f" (95 % interval {low:.3g} to {high:.3g})"
    number = sweep.number(measured, "crossings", cost=cost)
    return text if number == 1.0 else f"{text}, the first of {number:.0f} crossings"
