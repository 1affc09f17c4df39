"""Where the time of a head goes: milliseconds by stage and part, of every head that was measured in one way."""

import re
from collections.abc import Iterator

import pandas as pd

from reports.cells import Number
from reports.layout import CellValue, Column, Table
from reports.select.frame import labels, number, rows_of

_PROBE = "time_budget"
_PARTS = {
    "roi_align": "RoIAlign",
    "dense_convolution": "dense convolutions",
    "pointwise": "pointwise layers",
    "selection": "selection",
    "subdivision": "subdivision",
    "sampling": "sampling",
    "convolution": "sparse convolution",
    "bookkeeping": "bookkeeping",
    "paste": "pasting",
    "other": "other",
}
_STAGE = re.compile(r"stage(\d+)_(\w+)_ms")


def head_budget(frame: pd.DataFrame) -> Table:
    """A row for every stage of a head and one for the whole; of the protocol and machine of the newest record."""
    found = frame[frame["probe"] == _PROBE]
    if not found.empty:
        last = found.iloc[-1]
        found = found[[protocol == last["protocol"] for protocol in found["protocol"]]]
        found = found[found["machine"] == last["machine"]]
    values = _values(found)
    parts = [part for part in _PARTS if any(f"{part}_ms" in of_head for of_head in values.values())]
    rows: list[tuple[CellValue, ...]] = []
    for head, of_head in values.items():
        stages = sorted({int(match[1]) for match in map(_STAGE.fullmatch, of_head) if match})
        for stage in stages:
            cells = [of_head.get(f"stage{stage}_{part}_ms") for part in parts]
            rows.append((head, str(stage), *cells, sum(ms for ms in cells if ms is not None)))
        rows.append((head, "all", *(of_head.get(f"{part}_ms") for part in parts), of_head.get("clocked_ms")))
    return Table(
        title="Time of the heads by stage and part",
        columns=(
            Column(name="Head"),
            Column(name="Stage"),
            *(Column(name=_PARTS[part], digits=1) for part in parts),
            Column(name="sum", digits=1),
        ),
        rows=tuple(rows),
        caption=tuple(_reading(values, found)),
    )


def _values(found: pd.DataFrame) -> dict[str, dict[str, Number]]:
    """Newest values by name, by the name of the subject."""
    values: dict[str, dict[str, Number]] = {}
    for name, row in zip(labels(found), rows_of(found), strict=True):
        values.setdefault(name, {})[str(row["name"])] = number(row)
    return values


def _reading(values: dict[str, dict[str, Number]], found: pd.DataFrame) -> Iterator[str]:
    """What the numbers mean, how much the clock itself takes, and the protocol."""
    yield (
        "Milliseconds of an image, from pyramid and regions to pasted masks. A stage ends by choosing what the next "
        "one refines. Pointwise layers: with activations and sums; bookkeeping: writing features back into the grid; "
        "other: between the operations of torch."
    )
    whole = [
        f"{head} {of_head['latency_ms_head']:.1f}" for head, of_head in values.items() if "latency_ms_head" in of_head
    ]
    if whole:
        yield f"Timing every operation costs time; without, an image takes: {', '.join(whole)} ms."
    for last in rows_of(found.tail(1)):
        yield f"On {last['machine']}. {last['source'].words()}."
