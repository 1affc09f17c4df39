"""Table 2 of the paper by measurement, and what is behind it: bytes, multiply-adds, peaks, latency of every stage."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bench.names import HARDEST_FIRST, OPERATIONS, STAGES
from bench.record import Record
from reports import paper
from reports.cells import Number, Text
from reports.layout import CellValue, Column, Table
from reports.select.backends import failed, of_backends, origin, ratio, share_a_point
from reports.select.comparable import Comparable
from reports.select.field import Field
from reports.select.measured import Measured

_NOT_DENSE_ON_DENSE = ("linear", "deform")
"""What Dense computes at the active cells only, as all methods do: a ratio to it says nothing of a dense head."""

_ANY_OPERATION = {"dilated": "d=3", "5x5": "5x5", "deformable": "deform", "bilinear": "sample"}
"""What a method must be able to do beside a plain 3x3 convolution to support any 2D operation, and its short name."""

_STORED = (
    Field(heading="Active %", name="active_fraction", scale=0.01),
    Field(heading="features MB", name="bytes", at={"part": "features"}, digits=2, scale=1e6),
    Field(heading="index MB", name="bytes", at={"part": "index"}, digits=2, scale=1e6),
    Field(heading="total MB", name="bytes", digits=2, scale=1e6),
)
_COUNTED = tuple(
    Field(heading=f"{each} GMACs", name="macs", at={"operation": each}, digits=3, best="lowest", scale=1e9)
    for each in OPERATIONS
    if each != "subdivide"  # which only copies
)
_TIMES = tuple(
    each
    for operation in OPERATIONS
    for each in (
        Field(heading=f"{operation} ms", name="ms", at={"operation": operation}, best="lowest"),
        Field(heading="/Dense", name="ratio", at={"operation": operation}, digits=2, best="lowest"),
    )
    if each.name == "ms" or operation not in _NOT_DENSE_ON_DENSE
)
_PEAKS = tuple(
    Field(heading=f"{title} peak MB", name="peak_bytes", at={"operation": each}, digits=2, best="lowest", scale=1e6)
    for each, title in OPERATIONS.items()
)


def tables(found: Sequence[Measured], failures: Sequence[Record] = ()) -> list[Table]:
    """Table 2 with the paper's marks; bytes and multiply-adds, peaks, latency by stage: those that were measured."""
    cost, memory, speed = (of_backends(found, probe) for probe in ("backend_cost", "memory", "backend_speed"))
    made: list[tuple[Comparable, Table]] = []
    if cost.shown:
        made += [(cost, _table2(cost, failures)), (cost, _costs(cost))]
    if memory.shown:
        made.append((memory, _peaks(memory, cost)))
    if speed.shown:
        made.append((speed, _latencies(speed)))
    sentences = tuple(_no_selection_sentence(cost))
    return [
        replace(table, caption=(*sentences, *table.caption)) if share_a_point(cost, chosen) else table
        for chosen, table in made
    ]


def _no_selection_sentence(cost: Comparable) -> Iterator[str]:
    """A warning where the budget refines every cell in every stage: then nothing is sparse."""
    fractions = [each.number("active_fraction", stage=stage) for each in cost.shown for stage in STAGES]
    if cost.newest is not None and all(fraction == 1.0 for fraction in fractions):
        yield f"The budget of {cost.newest.protocol['budget']} cells covers all cells: everything is refined."


def _table2(cost: Comparable, failures: Sequence[Record]) -> Table:
    published = {row.backend: row for row in paper.TABLE2}
    rows: list[tuple[CellValue, ...]] = []
    differing = []
    for measured in cost.shown:
        theirs = published.get(str(measured.subject.backend))
        cannot = " ".join(short for ability, short in _ANY_OPERATION.items() if not _can(measured, ability))
        for called, stored in _readings(measured):
            marks = _marks(measured, stored)
            efficient, neighbors, any_operation, storage = (
                (Text(_yes(ours), source=measured.source), "" if theirs is None else _yes(getattr(theirs, mark)))
                for mark, ours in marks.items()
            )
            differing += [
                f"{called}: {mark.replace('_', ' ')}, {_yes(ours)} here, {_yes(not ours)} in the paper"
                for mark, ours in marks.items()
                if theirs is not None and ours != getattr(theirs, mark)
            ]
            rows.append((called, *efficient, _overhead(measured), *neighbors, *any_operation, cannot, *storage, stored))
    columns = [Column(name="Method")]
    for heading, behind in (
        ("Saves compute", Column(name="MACs /needed", digits=2, best="lowest")),
        ("Access to neighbors", None),
        ("Any 2D op", Column(name="Cannot")),
        ("Saves storage", Column(name="bytes /Dense", digits=2, best="lowest")),
    ):
        columns += [Column(name=heading), Column(name="paper"), *([] if behind is None else [behind])]
    rows += _failed(cost, failures, len(columns))
    return Table(
        title="Table 2, measured: ways to store refined regions",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=(
            "Saves compute: no multiply-adds but those of the active cells. 'MACs /needed' is what was counted over "
            "these in the worst stage, for the hardest of SFM, 3x3 convolution and pointwise layer that the method can "
            "do.",
            "Any 2D op: convolutions 3x3 of dilation 3, 5x5 and deformable, and bilinear samples anywhere, each tried.",
            "Saves storage: fewer bytes than Dense at every stage. 'bytes /Dense' is the worst stage, with indices. "
            "The mark is about what is stored between operations; what these need on top while they run is peak "
            "memory.",
            *_agreement(differing, any(each.subject.backend in published for each in cost.shown)),
            *_neighbors_sentence(cost),
            *origin(cost),
        ),
    )


def _failed(cost: Comparable, failures: Sequence[Record], num_cells: int) -> Iterator[tuple[CellValue, ...]]:
    """A row for every method that could not be measured: that it failed is all that it says."""
    measured = {each.backend for each in cost.shown}
    for called in dict.fromkeys(called for called, _ in failed(failures, "backend_cost")):
        if called not in measured:
            yield (called, "failed", *[None] * (num_cells - 2))


def _readings(measured: Measured) -> Iterator[tuple[str, float]]:
    """The rows of a method with its bytes over Dense's at the worst stage: as stored, and nine rows per active cell."""
    for called, stored in ((measured.backend, "bytes"), (_literally(measured), "bytes_nine_rows")):
        worst = _highest(_of_dense(measured, stored, stage) for stage in STAGES)
        if worst is not None:
            yield called, worst


def _of_dense(measured: Measured, stored: str, stage: int) -> Number | None:
    return ratio(measured.number(stored, stage=stage), measured.number("bytes_dense", stage=stage))


def _highest(ratios: Iterable[Number | None]) -> Number | None:
    return max((each for each in ratios if each is not None), default=None)


def _literally(measured: Measured) -> str:
    """How a table calls a method that is read literally, with nine rows per active cell."""
    return f"{measured.backend} (9x)"


def _agreement(differing: Sequence[str], is_published: bool) -> Iterator[str]:
    """Whether all marks are the paper's, where it has any."""
    if differing:
        yield f"Not in agreement: {'; '.join(differing)}."
    elif is_published:
        yield "All marks agree with the paper's."


def _marks(measured: Measured, stored: float) -> dict[str, bool]:
    """The marks of Table 2, named and ordered as `paper.Abilities` does."""
    overhead = _overhead(measured)
    return {
        "computationally_efficient": overhead is not None and overhead <= 1,
        "access_to_neighbors": _can(measured, "neighbors"),
        "supports_any_2d_operation": all(_can(measured, ability) for ability in _ANY_OPERATION),
        "storage_efficient": stored < 1,
    }


def _can(measured: Measured, ability: str) -> bool:
    return bool(measured.number("supports", ability=ability))


def _overhead(measured: Measured) -> float | None:
    """Multiply-adds counted over those of the active cells, at the worst stage, for the hardest operation."""
    for operation in HARDEST_FIRST:
        worst = _highest(
            ratio(
                measured.number("macs", stage=stage, operation=operation),
                measured.number("macs", stage=stage, operation=operation, cells="active"),
            )
            for stage in STAGES
        )
        if worst is not None:
            return worst
    return None


def _neighbors_sentence(cost: Comparable) -> Iterator[str]:
    for measured in cost.shown:
        called = measured.backend
        readings = [stored for _, stored in _readings(measured)]
        if len(readings) == 2:
            once, nine = readings
            yield (
                f"{called} keeps every feature once and ids of the 3x3 cells: {once:.2f} of Dense at worst. Read "
                f"literally (9x), the paper keeps nine rows per active cell: {nine:.2f} of Dense. Its mark for storage "
                "needs the former."
                if once < 1 <= nine
                else f"{called}: {once:.2f} of Dense at worst with every feature once, {nine:.2f} with nine rows."
            )


def _costs(cost: Comparable) -> Table:
    rows: list[tuple[CellValue, ...]] = []
    for stage in STAGES:
        for measured in cost.shown:
            rows.append(_cost_row(measured, stage))
            nine = measured.number("bytes_nine_rows", stage=stage)
            if nine is not None:
                unknown = [None] * len(_COUNTED)
                of_dense = _of_dense(measured, "bytes_nine_rows", stage)
                rows.append(
                    (str(stage), _literally(measured), None, None, None, nine.over(1e6), "", of_dense, *unknown)
                )
    columns = [Column(name="Stage"), Column(name="Method"), *(each.column() for each in _STORED)]
    columns += [Column(name="formula"), Column(name="bytes /Dense", digits=3, best="lowest")]
    columns += [each.column() for each in _COUNTED]
    return Table(
        title="Bytes stored and multiply-adds by stage",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=(
            "MB: 10^6 bytes that a grid holds between operations; what an operation needs while it runs comes on top. "
            "'formula' says whether the total equals the closed form in the counts of active and passive features.",
            "Nothing in a column of multiply-adds: the method cannot do the operation. Deformable convolution includes "
            "4 per value read bilinearly. 'halve' is the layer that halves the feature size of all that is stored.",
            _closed_form_sentence(cost),
            *origin(cost),
        ),
        among=("Stage",),
    )


def _cost_row(measured: Measured, stage: int) -> tuple[CellValue, ...]:
    total, formula = (measured.number(stored, stage=stage) for stored in ("bytes", "bytes_formula"))
    return (
        str(stage),
        measured.backend,
        *(each.number(measured, stage=stage) for each in _STORED),
        "" if formula is None else "equal" if formula == total else f"{formula / 1e6:.2f}",
        _of_dense(measured, "bytes", stage),
        *(each.number(measured, stage=stage) for each in _COUNTED),
    )


def _closed_form_sentence(cost: Comparable) -> str:
    """Whether counted multiply-adds are those of all active cells or of all cells, and where they are neither."""
    odd = [
        f"{measured.backend} ({operation}, stage {stage})"
        for measured in cost.shown
        for operation in HARDEST_FIRST
        for stage in STAGES
        if (counted := measured.number("macs", stage=stage, operation=operation)) is not None
        and counted not in measured.numbers("macs", "cells", stage=stage, operation=operation).values()
    ]
    rule = (
        "F^2 per cell for linear, 9 F^2 for conv, 27 F^2 for SFM; at the active cells, for convolutions of Dense at all"
    )
    if odd:
        return f"Counted multiply-adds DIFFER from the closed form ({rule}) in: {', '.join(odd)}."
    return f"Counted multiply-adds of linear, conv and SFM equal the closed form: {rule}."


def _latencies(speed: Comparable) -> Table:
    return Table(
        title="Latency by stage",
        columns=(Column(name="Stage"), Column(name="Method"), *(each.column() for each in _TIMES)),
        rows=tuple(
            (str(stage), measured.backend, *(_time(each, measured, stage) for each in _TIMES))
            for stage in STAGES
            for measured in speed.shown
        ),
        caption=(
            "Medians. '/Dense' is the median ratio to the same operation on Dense, timed in turn with it: compare "
            "methods by it. Dense against itself shows the noise. There is no ratio for linear and deform, which Dense "
            "computes only at the active cells, as all methods do.",
            _spread_sentence(speed),
            *origin(speed, names_machine=True),
        ),
        among=("Stage",),
    )


def _time(field: Field, measured: Measured, stage: int) -> CellValue:
    number = field.number(measured, stage=stage)
    return "cannot" if number is None and field.name == "ms" else number


def _spread_sentence(speed: Comparable) -> str:
    """How far the quartiles of the ratios shown are from the medians."""
    spreads = sorted(
        max(value.interval[1] - value.value, value.value - value.interval[0]) / value.value
        for measured in speed.shown
        for value in measured.record.where("ratio")
        if value.interval is not None and value.at["operation"] not in _NOT_DENSE_ON_DENSE
    )
    if not spreads:
        return "Quartiles are in the records."
    return (
        f"The quartiles of a ratio are within {spreads[len(spreads) // 2]:.0%} of its median in half of the cases, "
        f"within {spreads[-1]:.0%} in all; the records have them."
    )


def _peaks(memory: Comparable, cost: Comparable) -> Table:
    """Peaks of the probe `memory`, beside the stored bytes of `backend_cost` where these are of the same point."""
    stored = {each.backend: each for each in cost.shown} if share_a_point(memory, cost) else {}
    total = replace(_STORED[-1], heading="stored MB", best="lowest")
    return Table(
        title="Peak memory of operations by stage",
        columns=(Column(name="Stage"), Column(name="Method"), *(each.column() for each in (total, *_PEAKS))),
        rows=tuple(
            (
                str(stage),
                measured.backend,
                total.number(stored.get(measured.backend), stage=stage),
                *(each.number(measured, stage=stage) for each in _PEAKS),
            )
            for stage in STAGES
            for measured in memory.shown
        ),
        among=("Stage",),
        caption=(
            "Peak: what an operation needs on top of the stored bytes while it runs, its result included, in 10^6 "
            "bytes. Nothing: the method cannot do the operation. The largest one of a head counts, not their sum.",
            "Gathering copies the neighbours of all active cells, so a method that stores little may need much. Dense "
            "computes only the active cells in linear and deform, as the others do.",
            *origin(memory, names_machine=True),
        ),
    )


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
