"""The kernels of SPS beside the naive method and beside Dense: forward, forward and backward, by active fraction.

A set of tables for every device and precision that was measured. A kernel that cannot run there has a row that says
that it was not measured.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.names import STAGES
from bench.record import Record
from reports.cells import Number
from reports.layout import CellValue, Column, Table
from reports.select.backends import failed, of_kernels, origin
from reports.select.comparable import Comparable
from reports.select.field import Field, measured_of
from reports.select.measured import Measured

_CLOCKS = {"thread": "1 thread", "wall": "all threads"}
_NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class _Set:
    """What was measured on one device in one precision, and the reasons of the kernels that were not, by name."""

    chosen: Comparable
    newest: Measured
    missing: dict[str, str]

    @property
    def on_gpu(self) -> bool:
        """Whether the device is no CPU."""
        return str(self.newest.protocol["device"]).startswith("cuda")

    @property
    def where(self) -> str:
        """Precision and device, for a title."""
        return f"{self.newest.protocol['dtype']} on {self.newest.protocol['device']}"

    @property
    def clocks(self) -> list[str]:
        """The clocks that were read, the more trustworthy first."""
        return [clock for clock in _CLOCKS if self.has("ms", passes="forward", clock=clock)]

    def has(self, name: str, **at: str) -> bool:
        """Whether any kernel has a value at the operating point of any stage."""
        return any(each.has(name, place="point", **at) for each in self.chosen.shown)

    def table(self, title: str, fields: Sequence[Field], *caption: str) -> Table:
        """A row for every stage and kernel, with a column for every field."""
        rows: list[tuple[CellValue, ...]] = []
        for stage in STAGES:
            for each in self.chosen.shown:
                rows.append((str(stage), each.backend, *(field.number(each, stage=stage) for field in fields)))
            rows += [(str(stage), each, _NOT_MEASURED, *[None] * (len(fields) - 1)) for each in self.missing]
        return Table(
            title=f"SPS kernels, {title}: {self.where}",
            columns=(Column(name="Stage"), Column(name="Kernel"), *(each.column() for each in fields)),
            rows=tuple(rows),
            caption=caption,
            among=("Stage",),
        )


def tables(found: Sequence[Measured], failures: Sequence[Record] = ()) -> list[Table]:
    """Three tables for every device and precision; `failures` are the records of kernels that cannot run."""
    sets = list(_sets(found, failures))
    made = [table for each in sets for table in (_forward(each), _training(each), _efficiency(each))]
    if not made or any(each.on_gpu for each in sets):
        return made
    *others, last = made
    return [*others, replace(last, caption=(*last.caption, "On a GPU: not measured."))]


def _sets(found: Iterable[Measured], failures: Sequence[Record]) -> Iterator[_Set]:
    for chosen in of_kernels(found):
        newest = chosen.newest
        assert newest is not None
        measured = {each.backend for each in chosen.shown}
        reasons = {
            called: each.error.message
            for called, each in failed(failures, newest.probe)
            if each.error is not None and each.protocol == newest.protocol and each.machine.name == newest.machine
        }
        missing = {kernel: why for kernel, why in reasons.items() if kernel not in measured}
        yield _Set(chosen=chosen, newest=newest, missing=missing)


def _forward(of: _Set) -> Table:
    peers = {
        "compiled_ratio": "'/compiled Dense': over Dense by torch.compile in channels last.",
        "spconv_ratio": "'/spconv-triton': over the products of that library, given a table of the neighbours.",
    }
    at = {"place": "point"}
    fields = (
        Field(heading="Active %", name="active_fraction", at=at, show_as=_percent),
        *_times(of, "forward"),
        Field(heading="of the limit", name="of_limit", at=at, digits=2, best="highest"),
        Field(heading="peak MB", name="peak_bytes", at=at, best="lowest", scale=1e6),
        Field(heading="result MB", name="output_bytes", at=at, scale=1e6),
    )
    return _at_the_point(
        of,
        "forward",
        fields,
        "Peak: what a pass needs on top of its inputs, its result included, in 10^6 bytes of torch's allocator. "
        "Scratch that a kernel takes from elsewhere is not in it.",
        *(says for ratio, says in peers.items() if of.has(ratio, passes="forward", clock=of.clocks[0])),
    )


def _training(of: _Set) -> Table:
    says = "Gradients of features, weights and biases; Dense has those of all cells."
    return _at_the_point(of, "forward and backward", _times(of, "training"), says)


def _times(of: _Set, passes: str) -> Iterator[Field]:
    """Times of one kind of passes at the operating point, by clock."""
    for clock in of.clocks:
        at = {"place": "point", "passes": passes, "clock": clock}
        threads = "" if of.on_gpu else f"{_CLOCKS[clock]}: "
        yield Field(heading=f"{threads}ms", name="ms", at=at, best="lowest")
        for heading, speedup in (("x naive", "speedup"), ("x naive float32", "speedup_float32")):
            yield Field(heading=heading, name=speedup, at=at, digits=2, best="highest", show_as=_with_quartiles)
        yield Field(heading="/Dense", name="ratio", at=at, digits=3, best="lowest")
        yield Field(heading="eta", name="eta", at=at, digits=2, best="highest")
        yield Field(heading="/compiled Dense", name="compiled_ratio", at=at, digits=3, best="lowest")
        yield Field(heading="/spconv-triton", name="spconv_ratio", at=at, digits=2, best="lowest")


def _at_the_point(of: _Set, title: str, fields: Iterable[Field], *sentences: str) -> Table:
    """What was measured at the operating point; columns of what nobody measured are left out."""
    return of.table(
        title,
        measured_of(fields, of.chosen.shown),
        f"SFM at {of.newest.protocol['regions']} regions and {of.newest.protocol['budget']} refined cells. Medians "
        "(quartiles of a speed-up in parentheses), all timed in turn, so ratios can be trusted further than times.",
        "'x naive': how many times faster than gather and matrix product in plain torch with row numbers given, "
        "the method of the paper. '/Dense': over the faster eager memory layout of Dense in the same precision.",
        "eta: active fraction x Dense / ours; 1 is a cost in proportion to the active cells.",
        *sentences,
        *(f"{kernel}: not measured. {reason}" for kernel, reason in of.missing.items()),
        *origin(of.chosen, names_machine=True),
    )


def _efficiency(of: _Set) -> Table:
    at: dict[str, str | int] = {"passes": "forward", "clock": of.clocks[0]}
    places = {eta.at["place"] for each in of.chosen.shown for eta in each.record.where("eta", **at)}
    percents = sorted(place for place in places if isinstance(place, int))
    headings: dict[str | int, str] = {"point": "point", **{percent: f"{percent} %" for percent in percents}}
    fields = [
        Field(heading=heading, name="eta", at={**at, "place": place}, digits=2, best="highest")
        for place, heading in headings.items()
    ]
    return of.table(
        "sparsity efficiency by active fraction",
        fields,
        f"eta of a forward pass, {_CLOCKS[of.clocks[0]]}: active fraction x Dense / ours, at the operating point and "
        f"at percentages of active cells on {of.newest.protocol['percents_regions']} regions in stages 1/2/3.",
        f"On {of.newest.machine}.",
        *of.chosen.sentences(),
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _with_quartiles(value: float) -> str:
    if not isinstance(value, Number) or value.interval is None:
        return f"{value:.2f}"
    low, high = value.interval
    return f"{value:.2f} ({low:.2f}-{high:.2f})"
