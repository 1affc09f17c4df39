"""Tables 3, 4 and 5 of the paper with our numbers beside the published ones.

Rows are the paper's, then those of new heads and modules. Ours are found by subject, whichever recipe measured it; the
newest value counts. Parameters and costs do not depend on the schedule, so random weights fill the rows of every
schedule; their accuracy is never shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.record import Record
from reports import paper
from reports.layout import CellValue, Column, Table
from reports.select.frame import number
from reports.tables.captions import CHECKED, Used, caption
from reports.tables.ours import ACCURACY, HEAD_COSTS, MODEL_COSTS, SIZES, Ours


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What a table shows: the paper's rows, the columns that name a row, our values, and which rows compete."""

    title: str
    rows: Sequence[paper.Row]
    labels: tuple[str, ...]
    values: Sequence[Ours]
    among: tuple[str, ...] = ()


_MODELS = ("Backbone", "Head", "Epochs")
TABLES = {
    "main": _Layout(
        title="Table 3: heads on the common detector",
        rows=paper.TABLE3,
        labels=_MODELS,
        values=[*ACCURACY, *MODEL_COSTS],
        among=("Backbone", "Epochs"),
    ),
    "main_sizes": _Layout(
        title="Table 3, continued: AP by overlap and size",
        rows=paper.TABLE3,
        labels=_MODELS,
        values=SIZES,
        among=("Backbone", "Epochs"),
    ),
    "heads": _Layout(title="Table 4: heads alone (R50+FPN)", rows=paper.TABLE4, labels=("Head",), values=HEAD_COSTS),
    "modules": _Layout(
        title="Table 5: processing modules of EffSeg (R50+FPN)",
        rows=paper.TABLE5,
        labels=("Module",),
        values=[*ACCURACY, *MODEL_COSTS],
    ),
    "modules_sizes": _Layout(
        title="Table 5, continued: AP by overlap and size", rows=paper.TABLE5, labels=("Module",), values=SIZES
    ),
}
"""Tables by the recipe that measures them; `_sizes` are the accuracies that the others have no room for."""


def table(recipe: str, frame: pd.DataFrame, failures: Sequence[Record] = ()) -> Table:
    """Make the table of a recipe (see `TABLES`) from a frame of `load`.

    What the paper does not have (another head, module, backend or kernel) has rows of its own, and only what was
    measured, or is among the `failures`, has columns. Speeds are those of one machine: the one that was used last.
    Raises ValueError for a recipe without a table.
    """
    if recipe not in TABLES:
        raise ValueError(f"There is no table for {recipe!r}. Tables: {', '.join(TABLES)}. Name one of these.")
    layout = TABLES[recipe]
    of_paper = frame[frame["preset"] == "paper"]
    known = _comparable(of_paper)
    published = (*layout.rows, *_new_rows(known, layout))
    # A column nobody has measured yet, such as speed without images, would only show the paper's numbers.
    of_rows = known[_of_rows(known, published)]
    values = [
        ours
        for ours in layout.values
        if _newest(of_rows, ours) is not None or any(_failed(failures, row, ours) for row in published)
    ]
    rows, used = [], Used()
    for row in published:
        left_out = of_paper[_of_row(of_paper, row)]
        for variant, measured in _variants(known, row):
            cells: list[CellValue] = []
            for ours in values:
                newest = _newest(measured, ours)
                state = ""
                if newest is not None:
                    used.add(newest)
                else:
                    state = _state(ours, row, left_out, failures)
                    used.states.add(state)
                cells += ours.show(None if newest is None else number(newest.to_dict()), row, state)
            labels = _labels(row, layout.labels, variant)
            used.check(_checked(measured), row, " ".join(str(text) for text in labels))
            rows.append((*labels, *cells))
    columns = [Column(name=label) for label in layout.labels]
    columns += [column for ours in values for column in ours.columns()]
    return Table(
        title=layout.title,
        columns=tuple(columns),
        rows=tuple(rows),
        caption=caption(
            used,
            of_accuracy=any(ours.interval for ours in layout.values),
            of_costs=any(ours.probe == "flops" for ours in layout.values),
        ),
        among=layout.among,
    )


def _state(ours: Ours, row: paper.Row, measured: pd.DataFrame, failures: Sequence[Record]) -> str:
    """Why a row has no number of ours, although something of it was measured; empty where nothing was."""
    if _failed(failures, row, ours):
        return "failed"
    if ours.interval and not measured.empty and (measured["weights"] == "random").all():
        return "untrained"
    return "other machine" if _newest(measured, ours) is not None else ""


def _failed(failures: Sequence[Record], row: paper.Row, ours: Ours) -> bool:
    """Whether the probe of a value ended with an error for a row."""
    return any(
        failure.subject.preset == "paper"
        and failure.probe == (ours.probe or "params")
        and (failure.subject.head, failure.subject.module) == (row.head, row.module)
        and failure.subject.backbone == row.backbone
        and failure.subject.schedule in (row.schedule, "none")
        for failure in failures
    )


def _checked(measured: pd.DataFrame) -> dict[str, float]:
    """The values that notes on rulers and detector are made of, as far as the row has them."""
    newest = {name: _newest(measured, Ours(heading="", name=name, digits=0, probe="flops")) for name in CHECKED}
    return {name: float(value["value"]) for name, value in newest.items() if value is not None}


def _comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """The values a table may show: no accuracy of random weights, times of one machine."""
    is_accuracy = frame["name"].str.match(r"ap(b|\d|_|$)")
    frame = frame[~(is_accuracy & (frame["weights"] == "random"))]
    is_time = frame["name"].str.match(r"fps_|latency_")
    last_machine = frame[is_time]["machine"].tail(1)
    return frame[~is_time | frame["machine"].isin(last_machine)]


def _new_rows(frame: pd.DataFrame, layout: _Layout) -> list[paper.Row]:
    """Rows for what was measured and the paper does not have: new heads, or new modules of EffSeg."""
    by_module = "Module" in layout.labels
    known = paper.MODULES if by_module else paper.HEADS
    field_name = "module" if by_module else "head"
    found = frame[~frame[field_name].isin(list(known)) & frame[field_name].notna()]
    if by_module:
        found = found[found["head"] == "effseg"]
    if "Backbone" not in layout.labels:
        found = found[found["backbone"] == "r50_fpn"]
    fields = ["head", "module", "backbone", "schedule"]
    subjects = found[fields].drop_duplicates().astype(object)
    return [
        paper.Row(
            id=f"new/{head}",
            head=head,
            module=module if isinstance(module, str) else None,
            backbone=backbone,
            schedule=schedule,
            values={},
        )
        for head, module, backbone, schedule in subjects.itertuples(index=False)
    ]


def _of_rows(frame: pd.DataFrame, rows: Iterable[paper.Row]) -> "pd.Series[bool]":
    """Which values belong to one of the paper's rows, of any schedule."""
    belongs = pd.Series(data=False, index=frame.index, dtype=bool)
    for row in rows:
        belongs |= _of_row(frame, row)
    return belongs


def _of_row(frame: pd.DataFrame, row: paper.Row) -> "pd.Series[bool]":
    is_module = frame["module"].isna() if row.module is None else frame["module"] == row.module
    is_schedule = frame["schedule"].isin([row.schedule, "none"])
    return (frame["head"] == row.head) & (frame["backbone"] == row.backbone) & is_module & is_schedule


def _variants(frame: pd.DataFrame, row: paper.Row) -> list[tuple[str, pd.DataFrame]]:
    """The values of a row by backend and kernel, the default first and with an empty label."""
    measured = frame[_of_row(frame, row)]
    if measured.empty:
        return [("", measured)]
    backend = measured["backend"].fillna("").where(measured["backend"] != "sps", "")
    label = backend + measured["kernel"].map(lambda kernel: f"sps:{kernel}", na_action="ignore").fillna("")
    return [(str(name), group) for name, group in measured.groupby(label, sort=True)]


def _newest(measured: pd.DataFrame, ours: Ours) -> "pd.Series | None":
    """The row of the frame that counts: of trained weights rather than random ones, then the newest.

    Random weights find meaningless numbers of regions in images, so their costs are the nominal ones, if both exist.
    """
    found = measured[measured["name"] == ours.name]
    if ours.probe is not None:
        found = found[found["probe"] == ours.probe]
    trained = found[found["schedule"] != "none"]
    found = found if trained.empty else trained
    nominal = found[[protocol.get("kind") == "nominal" for protocol in found["protocol"]]]
    found = nominal if trained.empty and not nominal.empty else found
    return None if found.empty else found.iloc[-1]


def _labels(row: paper.Row, labels: Iterable[str], variant: str) -> list[CellValue]:
    texts = {
        "Backbone": paper.BACKBONES.get(row.backbone, row.backbone),
        "Head": paper.HEADS.get(row.head, row.head),
        "Epochs": row.schedule.removesuffix("ep"),
        "Module": "" if row.module is None else paper.MODULES.get(row.module, row.module),
    }
    main = "Module" if "Module" in labels else "Head"
    return [f"{texts[label]} ({variant})" if variant and label == main else texts[label] for label in labels]
