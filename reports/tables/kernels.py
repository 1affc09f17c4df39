"""The kernels of SPS beside the naive method and beside Dense: forward, forward and backward, by active fraction.

A set of tables for every device and precision that was measured. A kernel that cannot run there has a row that says
that it was not measured.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.record import Record
from reports.cells import Number, over
from reports.layout import CellValue, Column, Table
from reports.select.backends import Comparison, Measured, compare, label

_PROBE = "kernels"
_STAGES = (1, 2, 3)
_CLOCKS = {"thread": "1 thread", "wall": "all threads"}
_NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class _Set:
    """What was measured on one device in one precision, and the reasons of the kernels that were not, by label."""

    found: Comparison
    missing: dict[str, str]

    @property
    def device(self) -> str:
        """As in the protocol: `cpu` or `cuda`."""
        return str(self.found.protocol["device"])

    @property
    def where(self) -> str:
        """Precision and device, for a title."""
        return f"{self.found.protocol['dtype']} on {self.device}"

    @property
    def clocks(self) -> list[str]:
        """The clocks that were read, the more trustworthy first."""
        return [clock for clock in _CLOCKS if self.has(f"point_forward_{clock}_ms")]

    def has(self, name: str) -> bool:
        """Whether any kernel has a value in any stage."""
        return any(f"stage{stage}_{name}" in of.values for stage in _STAGES for of in self.found.backends)

    def rows(self, names: Sequence[str]) -> Iterator[tuple[CellValue, ...]]:
        """Stage and kernel, then values, of every stage and kernel; bytes as megabytes."""
        for stage in _STAGES:
            for measured in self.found.backends:
                yield (str(stage), measured.label, *(_value(measured, f"stage{stage}_{name}") for name in names))
            for missing in self.missing:
                yield (str(stage), missing, _NOT_MEASURED, *[None] * (len(names) - 1))


def tables(frame: pd.DataFrame, failures: Sequence[Record] = ()) -> list[Table]:
    """Three tables for every device and precision; `failures` are the records of kernels that cannot run."""
    sets = list(_sets(frame[frame["probe"] == _PROBE], failures))
    made = [table for each in sets for table in (_forward(each), _training(each), _efficiency(each)) if table.rows]
    if not made or any(each.device.startswith("cuda") for each in sets):
        return made
    *others, last = made
    return [*others, replace(last, caption=(*last.caption, "On a GPU: not measured."))]


def _sets(frame: pd.DataFrame, failures: Sequence[Record]) -> Iterator[_Set]:
    conditions = frame["protocol"].map(lambda protocol: (str(protocol["device"]), str(protocol["dtype"])))
    for _, of_condition in frame.groupby(conditions, sort=True):
        found = compare(of_condition, _PROBE, same_machine=True)
        if found is not None:
            measured = {each.label for each in found.backends}
            reasons = {
                label(str(each.subject.backend), each.subject.kernel): each.error.message
                for each in failures
                if each.error is not None and each.protocol == found.protocol and each.machine.name == found.machine
            }
            yield _Set(found=found, missing={name: why for name, why in reasons.items() if name not in measured})


def _forward(of: _Set) -> Table:
    peers = {
        "compiled": "'/compiled Dense': over Dense by torch.compile in channels last.",
        "spconv": "'/spconv-triton': over the products of that library, given a table of the neighbours.",
    }
    return _table(
        of,
        "forward",
        f"SPS kernels, forward: {of.where}",
        (
            "Peak: what a pass needs on top of its inputs, its result included, in 10^6 bytes of torch's allocator. "
            "Scratch that a kernel takes from elsewhere is not in it.",
            *(says for name, says in peers.items() if of.has(f"point_forward_{of.clocks[0]}_{name}_ratio")),
        ),
    )


def _training(of: _Set) -> Table:
    return _table(
        of,
        "training",
        f"SPS kernels, forward and backward: {of.where}",
        ("Gradients of features, weights and biases; Dense has those of all cells.",),
    )


def _table(of: _Set, passes: str, title: str, sentences: tuple[str, ...]) -> Table:
    """Times of one kind of passes at the operating point, by clock."""
    names: list[str] = []
    columns = [Column(name="Stage"), Column(name="Kernel")]
    if passes == "forward":
        names.append("point_active_fraction")
        columns.append(Column(name="Active %", digits=1, show_as=_percent))
    for clock in of.clocks:
        threads = "" if of.device.startswith("cuda") else f"{_CLOCKS[clock]}: "
        for quantity, column in (
            ("ms", Column(name=f"{threads}ms", digits=1, best="lowest")),
            ("speedup", Column(name="x naive", digits=2, best="highest", show_as=_with_quartiles)),
            ("speedup_float32", Column(name="x naive float32", digits=2, best="highest", show_as=_with_quartiles)),
            ("ratio", Column(name="/Dense", digits=3, best="lowest")),
            ("eta", Column(name="eta", digits=2, best="highest")),
            ("compiled_ratio", Column(name="/compiled Dense", digits=3, best="lowest")),
            ("spconv_ratio", Column(name="/spconv-triton", digits=2, best="lowest")),
        ):
            name = f"point_{passes}_{clock}_{quantity}"
            if of.has(name):
                names.append(name)
                columns.append(column)
    if passes == "forward":
        for name, column in (
            ("point_of_limit", Column(name="of the limit", digits=2, best="highest")),
            ("point_peak_bytes", Column(name="peak MB", digits=1, best="lowest")),
            ("point_output_bytes", Column(name="result MB", digits=1)),
        ):
            if of.has(name):
                names.append(name)
                columns.append(column)
    return Table(
        title=title,
        columns=tuple(columns),
        rows=tuple(of.rows(names)),
        among=("Stage",),
        caption=(
            f"SFM at {of.found.protocol['regions']} regions and {of.found.protocol['budget']} refined cells. Medians "
            "(quartiles of a speed-up in parentheses), all timed in turn, so ratios can be trusted further than times.",
            "'x naive': how many times faster than gather and matrix product in plain torch with row numbers given, "
            "the method of the paper. '/Dense': over the faster eager memory layout of Dense in the same precision.",
            "eta: active fraction x Dense / ours; 1 is a cost in proportion to the active cells.",
            *sentences,
            *(f"{name}: not measured. {reason}" for name, reason in of.missing.items()),
            f"On {of.found.machine}. {of.found.protocol_sentence()}",
        ),
    )


def _efficiency(of: _Set) -> Table:
    clock = of.clocks[0]
    pattern = re.compile(rf"stage\d_active(\d+)_forward_{clock}_eta")
    matches = (pattern.fullmatch(name) for measured in of.found.backends for name in measured.values)
    percents = sorted({int(match[1]) for match in matches if match})
    places = ["point", *(f"active{percent}" for percent in percents)]
    columns = [Column(name="Stage"), Column(name="Kernel")]
    columns += [Column(name=name, digits=2, best="highest") for name in ("point", *(f"{each} %" for each in percents))]
    return Table(
        title=f"SPS kernels, sparsity efficiency by active fraction: {of.where}",
        columns=tuple(columns),
        rows=tuple(of.rows([f"{place}_forward_{clock}_eta" for place in places])),
        among=("Stage",),
        caption=(
            f"eta of a forward pass, {_CLOCKS[clock]}: active fraction x Dense / ours, at the operating point and at "
            f"percentages of active cells on {of.found.protocol['percents_regions']} regions in stages 1/2/3.",
            f"On {of.found.machine}.",
        ),
    )


def _value(measured: Measured, name: str) -> float | None:
    return over(measured.values.get(name), 1e6 if name.endswith("_bytes") else 1)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _with_quartiles(value: float) -> str:
    if not isinstance(value, Number) or value.interval is None:
        return f"{value:.2f}"
    low, high = value.interval
    return f"{value:.2f} ({low:.2f}-{high:.2f})"
