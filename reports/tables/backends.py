"""Table 2 of the paper by measurement, and what is behind it: bytes, multiply-adds, peaks, latency of every stage."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from bench.record import Record
from reports import paper
from reports.cells import Text, over, source_of
from reports.layout import CellValue, Column, Table
from reports.select.backends import Comparison, Measured, compare, label

STAGES = (1, 2, 3)
_OPERATIONS = ("linear", "conv", "sfm", "deform", "subdivide", "halve")
_NOT_DENSE_ON_DENSE = ("linear", "deform")
"""What Dense computes at the active cells only, as all methods do: a ratio to it says nothing of a dense head."""

_PEAK_OPERATIONS = {
    "linear": "linear",
    "conv": "conv",
    "sfm": "SFM",
    "deform": "deform",
    "subdivide": "subdivide",
    "halve": "halve",
}

_COUNTED = ("linear", "conv", "sfm", "deform", "halve")
_HARDEST_FIRST = ("sfm", "conv", "linear")
_ANY_OPERATION = {"dilated": "d=3", "5x5": "5x5", "deformable": "deform", "bilinear": "sample"}
"""What a method must be able to do beside a plain 3x3 convolution to support any 2D operation, and its short name."""

_MARKS = ("computationally_efficient", "access_to_neighbors", "supports_any_2d_operation", "storage_efficient")


def tables(frame: pd.DataFrame, failures: Sequence[Record] = ()) -> list[Table]:
    """Table 2 with the paper's marks; bytes and multiply-adds, peaks, latency by stage: those that were measured."""
    cost = compare(frame, "backend_cost", same_machine=False)
    memory = compare(frame, "memory", same_machine=True)
    speed = compare(frame, "backend_speed", same_machine=True)
    made: list[tuple[Comparison, Table]] = []
    if cost is not None:
        made += [(cost, _table2(cost, failures)), (cost, _costs(cost))]
    if memory is not None:
        made.append((memory, _peaks(memory, cost)))
    if speed is not None:
        made.append((speed, _latencies(speed)))
    sentences = () if cost is None else tuple(_no_selection_sentence(cost))
    return [
        replace(table, caption=(*sentences, *table.caption))
        if cost is not None and cost.shares_its_point_with(found)
        else table
        for found, table in made
    ]


def _no_selection_sentence(cost: Comparison) -> Iterator[str]:
    """A warning where the budget refines every cell in every stage: then nothing is sparse."""
    if all(measured.values[f"stage{stage}_active_fraction"] == 1 for measured in cost.backends for stage in STAGES):
        yield f"The budget of {cost.protocol['budget']} cells covers all cells: everything is refined."


def _table2(cost: Comparison, failures: Sequence[Record]) -> Table:
    published = {row.backend: row for row in paper.TABLE2}
    rows: list[tuple[CellValue, ...]] = []
    differing = []
    for measured in cost.backends:
        for name, stored in _readings(measured):
            marks = _marks(measured, stored)
            theirs = published.get(measured.backend)
            source = source_of(measured.values["stage1_bytes"])
            shown = [
                (
                    Text(_yes(marks[mark]), source=source),
                    "" if theirs is None else _yes(getattr(theirs, mark)),
                )
                for mark in _MARKS
            ]
            differing += [
                f"{name}: {mark.replace('_', ' ')}, {_yes(marks[mark])} here, {_yes(not marks[mark])} in the paper"
                for mark in _MARKS
                if theirs is not None and marks[mark] != getattr(theirs, mark)
            ]
            efficient, neighbors, any_operation, storage = shown
            cannot = " ".join(
                short for ability, short in _ANY_OPERATION.items() if not measured.values[f"supports_{ability}"]
            )
            rows.append((name, *efficient, _overhead(measured), *neighbors, *any_operation, cannot, *storage, stored))
    rows += _failed(cost, failures, len(rows[0]))
    columns = [Column(name="Method")]
    for heading, behind in (
        ("Saves compute", Column(name="MACs /needed", digits=2, best="lowest")),
        ("Access to neighbors", None),
        ("Any 2D op", Column(name="Cannot")),
        ("Saves storage", Column(name="bytes /Dense", digits=2, best="lowest")),
    ):
        columns += [Column(name=heading), Column(name="paper"), *([] if behind is None else [behind])]
    caption = [
        "Saves compute: no multiply-adds but those of the active cells. 'MACs /needed' is what was counted over these "
        "in the worst stage, for the hardest of SFM, 3x3 convolution and pointwise layer that the method can do.",
        "Any 2D op: convolutions 3x3 of dilation 3, 5x5 and deformable, and bilinear samples anywhere, each tried.",
        "Saves storage: fewer bytes than Dense at every stage. 'bytes /Dense' is the worst stage, with indices. "
        "The mark is about what is stored between operations; what these need on top while they run is peak memory.",
        *_agreement(differing, any(measured.backend in published for measured in cost.backends)),
        *_neighbors_sentence(cost),
        cost.protocol_sentence(),
    ]
    return Table(
        title="Table 2, measured: ways to store refined regions",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=tuple(caption),
    )


def _failed(cost: Comparison, failures: Sequence[Record], num_cells: int) -> Iterator[tuple[CellValue, ...]]:
    """A row for every method that could not be measured: that it failed is all that it says."""
    measured = {each.label for each in cost.backends}
    found = (each.subject for each in failures if each.probe == "backend_cost" and each.subject.backend is not None)
    for name in dict.fromkeys(label(str(of.backend), of.kernel) for of in found):
        if name not in measured:
            yield (name, "failed", *[None] * (num_cells - 2))


def _readings(measured: Measured) -> Iterator[tuple[str, float]]:
    """The rows of a method with its bytes over Dense's at the worst stage: as stored, and nine rows per active cell."""
    for called, name in ((measured.label, "bytes"), (_literally(measured), "bytes_nine_rows")):
        ratios = [measured.ratio(f"stage{stage}_{name}", f"stage{stage}_bytes_dense") for stage in STAGES]
        known = [ratio for ratio in ratios if ratio is not None]
        if known:
            yield called, max(known)


def _literally(measured: Measured) -> str:
    """How a table calls a method that is read literally, with nine rows per active cell."""
    return f"{measured.label} (9x)"


def _agreement(differing: list[str], is_published: bool) -> Iterator[str]:
    if differing:
        yield f"Not in agreement: {'; '.join(differing)}."
    elif is_published:
        yield "All marks agree with the paper's."


def _marks(measured: Measured, stored: float) -> dict[str, bool]:
    overhead = _overhead(measured)
    return {
        "computationally_efficient": overhead is not None and overhead <= 1,
        "access_to_neighbors": bool(measured.values["supports_neighbors"]),
        "supports_any_2d_operation": all(measured.values[f"supports_{name}"] for name in _ANY_OPERATION),
        "storage_efficient": stored < 1,
    }


def _overhead(measured: Measured) -> float | None:
    """Multiply-adds counted over those of the active cells, at the worst stage, for the hardest operation."""
    for name in _HARDEST_FIRST:
        ratios = [measured.ratio(f"stage{stage}_{name}_macs", f"stage{stage}_{name}_macs_active") for stage in STAGES]
        known = [ratio for ratio in ratios if ratio is not None]
        if known:
            return max(known)
    return None


def _neighbors_sentence(cost: Comparison) -> Iterator[str]:
    for measured in cost.backends:
        name = measured.label
        readings = [ratio for _, ratio in _readings(measured)]
        if len(readings) == 2:
            once, nine = readings
            yield (
                f"{name} keeps every feature once and ids of the 3x3 cells: {once:.2f} of Dense at worst. Read "
                f"literally (9x), the paper keeps nine rows per active cell: {nine:.2f} of Dense. Its mark for storage "
                "needs the former."
                if once < 1 <= nine
                else f"{name}: {once:.2f} of Dense at worst with every feature once, {nine:.2f} with nine rows."
            )


def _costs(cost: Comparison) -> Table:
    rows: list[tuple[CellValue, ...]] = []
    for stage in STAGES:
        for measured in cost.backends:
            rows.append(_cost_row(measured, stage))
            if f"stage{stage}_bytes_nine_rows" in measured.values:
                total = over(measured.values[f"stage{stage}_bytes_nine_rows"], 1e6)
                ratio = measured.ratio(f"stage{stage}_bytes_nine_rows", f"stage{stage}_bytes_dense")
                unknown = [None] * len(_COUNTED)
                rows.append((str(stage), _literally(measured), None, None, None, total, "", ratio, *unknown))
    columns = [Column(name="Stage"), Column(name="Method"), Column(name="Active %", digits=1)]
    columns += [Column(name=f"{part} MB", digits=2) for part in ("features", "index", "total")]
    columns += [Column(name="formula"), Column(name="bytes /Dense", digits=3, best="lowest")]
    columns += [Column(name=f"{operation} GMACs", digits=3, best="lowest") for operation in _COUNTED]
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
            cost.protocol_sentence(),
        ),
        among=("Stage",),
    )


def _cost_row(measured: Measured, stage: int) -> tuple[CellValue, ...]:
    def value(name: str, scale: float) -> float | None:
        found = measured.values.get(f"stage{stage}_{name}")
        return over(found, scale)

    total, formula = value("bytes", 1), value("bytes_formula", 1)
    formula_text = "" if formula is None else "equal" if formula == total else f"{formula / 1e6:.2f}"
    return (
        str(stage),
        measured.label,
        value("active_fraction", 0.01),
        value("bytes_features", 1e6),
        value("bytes_index", 1e6),
        value("bytes", 1e6),
        formula_text,
        measured.ratio(f"stage{stage}_bytes", f"stage{stage}_bytes_dense"),
        *(value(f"{operation}_macs", 1e9) for operation in _COUNTED),
    )


def _closed_form_sentence(cost: Comparison) -> str:
    """Whether counted multiply-adds are those of all active cells or of all cells, and where they are neither."""
    odd = [
        f"{measured.label} ({operation}, stage {stage})"
        for measured in cost.backends
        for operation in _HARDEST_FIRST
        for stage in STAGES
        if not _is_closed_form(measured, f"stage{stage}_{operation}_macs")
    ]
    rule = (
        "F^2 per cell for linear, 9 F^2 for conv, 27 F^2 for SFM; at the active cells, for convolutions of Dense at all"
    )
    if odd:
        return f"Counted multiply-adds DIFFER from the closed form ({rule}) in: {', '.join(odd)}."
    return f"Counted multiply-adds of linear, conv and SFM equal the closed form: {rule}."


def _is_closed_form(measured: Measured, name: str) -> bool:
    counted = measured.values.get(name)
    return counted is None or counted in (measured.values[f"{name}_active"], measured.values[f"{name}_all"])


def _latencies(speed: Comparison) -> Table:
    rows: list[tuple[CellValue, ...]] = []
    for stage in STAGES:
        for measured in speed.backends:
            numbers: list[CellValue] = []
            for operation in _OPERATIONS:
                name = f"stage{stage}_{operation}"
                numbers.append(measured.values.get(f"{name}_ms", "cannot"))
                if operation not in _NOT_DENSE_ON_DENSE:
                    numbers.append(measured.values.get(f"{name}_ratio"))
            rows.append((str(stage), measured.label, *numbers))
    columns = [Column(name="Stage"), Column(name="Method")]
    for operation in _OPERATIONS:
        columns.append(Column(name=f"{operation} ms", digits=1, best="lowest"))
        if operation not in _NOT_DENSE_ON_DENSE:
            columns.append(Column(name="/Dense", digits=2, best="lowest"))
    return Table(
        title="Latency by stage",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=(
            "Medians. '/Dense' is the median ratio to the same operation on Dense, timed in turn with it: compare "
            "methods by it. Dense against itself shows the noise. There is no ratio for linear and deform, which Dense "
            "computes only at the active cells, as all methods do.",
            _spread_sentence(speed),
            f"On {speed.machine}. {speed.protocol_sentence()}",
        ),
        among=("Stage",),
    )


def _spread_sentence(speed: Comparison) -> str:
    """How far the quartiles of the ratios shown are from the medians."""
    spreads = sorted(
        max(high - measured.values[name], measured.values[name] - low) / measured.values[name]
        for measured in speed.backends
        for name, (low, high) in measured.intervals.items()
        if name.endswith("_ratio") and name.split("_")[1] not in _NOT_DENSE_ON_DENSE
    )
    if not spreads:
        return "Quartiles are in the records."
    return (
        f"The quartiles of a ratio are within {spreads[len(spreads) // 2]:.0%} of its median in half of the cases, "
        f"within {spreads[-1]:.0%} in all; the records have them."
    )


def _peaks(memory: Comparison, cost: Comparison | None) -> Table:
    """Peaks of the probe `memory`, beside the stored bytes of `backend_cost` where these are of the same point."""
    stored = {}
    if cost is not None and memory.shares_its_point_with(cost):
        stored = {measured.label: measured.values for measured in cost.backends}
    rows: list[tuple[CellValue, ...]] = []
    for stage in STAGES:
        for measured in memory.backends:
            in_bytes = [stored.get(measured.label, {}).get(f"stage{stage}_bytes")]
            in_bytes += [measured.values.get(f"stage{stage}_{operation}_peak_bytes") for operation in _PEAK_OPERATIONS]
            megabytes = (over(number, 1e6) for number in in_bytes)
            rows.append((str(stage), measured.label, *megabytes))
    columns = [Column(name="Stage"), Column(name="Method"), Column(name="stored MB", digits=2, best="lowest")]
    columns += [Column(name=f"{title} peak MB", digits=2, best="lowest") for title in _PEAK_OPERATIONS.values()]
    return Table(
        title="Peak memory of operations by stage",
        columns=tuple(columns),
        rows=tuple(rows),
        among=("Stage",),
        caption=(
            "Peak: what an operation needs on top of the stored bytes while it runs, its result included, in 10^6 "
            "bytes. Nothing: the method cannot do the operation. The largest one of a head counts, not their sum.",
            "Gathering copies the neighbours of all active cells, so a method that stores little may need much. Dense "
            "computes only the active cells in linear and deform, as the others do.",
            f"On {memory.machine}. {memory.protocol_sentence()}",
        ),
    )


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
