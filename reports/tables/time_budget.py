"""Where the time of a head goes: milliseconds by stage and part, of every head that was measured in one way."""

from collections.abc import Iterable, Iterator

from bench.names import HEAD_PARTS
from reports.layout import CellValue, Column, Table
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import in_order


def head_budget(found: Iterable[Measured]) -> Table:
    """A row for every stage of a head and one for the whole; of the protocol and machine of the newest record."""
    choice = comparable(found, "time_budget")
    shown = in_order(choice.shown)
    heads = dict(zip(names([each.subject for each in shown]), shown, strict=True))
    parts = [part for part in HEAD_PARTS if any(each.has("clocked_ms", part=part) for each in heads.values())]
    rows: list[tuple[CellValue, ...]] = []
    for head, each in heads.items():
        for stage in sorted(map(int, each.axes("stage"))):
            cells = [each.number("clocked_ms", stage=stage, part=part) for part in parts]
            rows.append((head, str(stage), *cells, sum(ms for ms in cells if ms is not None)))
        of_head = (each.number("clocked_ms", part=part) for part in parts)
        rows.append((head, "all", *of_head, each.number("clocked_ms")))
    return Table(
        title="Time of the heads by stage and part",
        columns=(
            Column(name="Head"),
            Column(name="Stage"),
            *(Column(name=HEAD_PARTS[part], digits=1) for part in parts),
            Column(name="sum", digits=1),
        ),
        rows=tuple(rows),
        caption=(*_reading(heads, choice.newest), *choice.sentences()),
    )


def _reading(heads: dict[str, Measured], newest: Measured | None) -> Iterator[str]:
    """What the numbers mean, how much the clock itself takes, and the protocol."""
    yield (
        "Milliseconds of an image, from pyramid and regions to pasted masks. A stage ends by choosing what the next "
        "one refines. Pointwise layers: with activations and sums; bookkeeping: writing features back into the grid; "
        "other: between the operations of torch."
    )
    latencies = {head: each.number("latency_ms_head") for head, each in heads.items()}
    whole = [f"{head} {ms:.1f}" for head, ms in latencies.items() if ms is not None]
    if whole:
        yield f"Timing every operation costs time; without, an image takes: {', '.join(whole)} ms."
    if newest is not None:
        yield f"On {newest.machine}. {newest.source.words()}."
