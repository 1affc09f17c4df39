"""The oracle ladder: true masks through grids of rising resolution, and heads with true and with detected boxes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from reports import paper
from reports.cells import Bounds
from reports.layout import CellValue, Column, Table
from reports.select.frame import number

_METRICS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_s": "APS",
    "ap_m": "APM",
    "ap_l": "APL",
    "apb": "APB",
    "ap_star": "AP*",
    "apb_star": "APB*",
}
_WITH_INTERVALS = ("ap", "apb", "ap_star", "apb_star")
_BOXES = {"accuracy_true_boxes": "true boxes", "accuracy": "detected boxes"}
_GRID = r"grid\d+_(?:soft|binary)"
_DATA = ("images", "annotations", "lvis")
"""The parts of a protocol that say on which data it was measured."""


def ceiling(frame: pd.DataFrame) -> Table:
    """Make the ladder from a frame of `load`: a row per grid, then one per trained head and kind of boxes.

    The newest value counts. All rows are about the data that was measured last. Only what was measured has columns.
    """
    known = _on_one_data_set(_ladder(frame))
    metrics = [name for name in _METRICS if (known["name"] == name).any()]
    columns = [Column(name="Masks")]
    for name in metrics:
        columns.append(Column(name=_METRICS[name], digits=1))
        columns += [Column(name="interval")] * (name in _WITH_INTERVALS)
    return Table(
        title="The oracle ladder: true masks through a grid per object, pasted back",
        columns=tuple(columns),
        rows=tuple((label, *_numbers(group, metrics)) for label, group in _rungs(known) + _heads(known)),
        caption=tuple(_caption(known)),
    )


def _ladder(frame: pd.DataFrame) -> pd.DataFrame:
    """The values of grids, and the accuracy of heads with trained weights, from images rather than a foreign file."""
    is_rung = (frame["probe"] == "ceiling") & frame["head"].astype(str).str.fullmatch(_GRID)
    is_head = frame["probe"].isin(list(_BOXES)) & (frame["weights"] != "random")
    on_images = pd.Series(["images" in protocol for protocol in frame["protocol"]], index=frame.index, dtype=bool)
    return frame[is_rung | (is_head & on_images)]


def _on_one_data_set(frame: pd.DataFrame) -> pd.DataFrame:
    data = [tuple(protocol.get(name) for name in _DATA) for protocol in frame["protocol"]]
    return frame[pd.Series([each == data[-1] for each in data], index=frame.index, dtype=bool)]


def _rungs(known: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """A label and the values of every grid, such as `28 soft`: the finest last, binary before soft."""
    found = []
    for head, group in known[known["probe"] == "ceiling"].groupby("head"):
        side, kind = re.findall(r"\d+|soft|binary", str(head))
        found.append((int(side), str(kind), group))
    return [(f"{side} {kind}", group) for side, kind, group in sorted(found, key=lambda rung: rung[:2])]


def _heads(known: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """A label and the values of every head, named by what tells the measured ones apart, with either kind of boxes."""
    heads = known[known["probe"] != "ceiling"]
    fields = [field for field in ("module", "backbone", "schedule", "seed") if heads[field].nunique(dropna=False) > 1]
    names = paper.MODULES | paper.BACKBONES
    found = []
    complete = heads.astype(dict.fromkeys(fields, object)).fillna(dict.fromkeys(fields, ""))
    for subject, group in complete.groupby(["head", *fields, "probe"], sort=False):
        head, *parts, probe = (str(part) for part in subject)
        label = " ".join([paper.HEADS.get(head, head), *(names.get(part, part) for part in parts if part)])
        found.append((f"{label}, {_BOXES[probe]}", group))
    return found


def _numbers(group: pd.DataFrame, metrics: Sequence[str]) -> list[CellValue]:
    """The newest value of every metric, the main ones followed by their interval."""
    newest = {row["name"]: row for row in group.to_dict("records")}
    cells: list[CellValue] = []
    for name in metrics:
        row = newest.get(name)
        cells.append(None if row is None else number(row))
        if name in _WITH_INTERVALS:
            cells.append(None if row is None or pd.isna(row["low"]) else _interval(row))
    return cells


def _interval(row: Mapping[Any, Any]) -> Bounds:
    # Without its decimal, 100 keeps the table narrow enough for a terminal.
    return Bounds(f"{row['low']:.1f}-{row['high']:.1f}".replace("100.0", "100"), source=row["source"])


def _caption(known: pd.DataFrame) -> Iterable[str]:
    if (known["probe"] == "ceiling").any():
        yield (
            "28 soft: a grid of 28 x 28 cells on the object's box holds the share of each cell that it covers; binary: "
            "whether it is more than half. Scores are 1, classes are the object's, crowds are no predictions."
        )
    for prefix, what in (("ap", "AP and APB: COCO's masks"), ("ap_star", "AP* and APB*: LVIS's masks")):
        counts = [_range(known, f"{prefix}_{counted}") for counted in ("images", "classes")]
        if all(counts) and counts[0] != "0":
            yield f"{what} on {counts[0]} images, mean over {counts[1]} classes."
    yield "Intervals: 95 %, from resampled images."
    if (known["probe"] != "ceiling").any():
        yield "Heads with true boxes get the boxes and classes of COCO's objects: what better detection would give."


def _range(known: pd.DataFrame, name: str) -> str:
    """The values of a count, one if all rows have the same."""
    found = known.loc[known["name"] == name, "value"]
    if found.empty:
        return ""
    low, high = int(found.min()), int(found.max())
    return str(low) if low == high else f"{low} to {high}"
