"""Tables 3, 4 and 5 of the paper with our numbers beside the published ones.

Rows are the paper's, then those of new heads and modules. Ours are found by subject, whichever recipe measured it; the
newest value counts. Parameters and costs do not depend on the schedule, so random weights fill the rows of every
schedule; their accuracy is never shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from bench.record import Scalar
from reports import paper
from reports.layout import CellValue, Column, Table

FITTED_REGIONS = (
    "The region counts of nominal costs, 97 for the baselines and 60.5 for EffSeg (94 and 58 with DefEnc), are fitted "
    "to the paper's totals, not measured. Independent checks are the detector, the parameters, and nine rows fitted "
    "by two numbers."
)
TWO_CONVENTIONS = (
    "One multiply-add is one MAC. 'GMACs (paper: GFLOPs)' counts transposed convolutions as the paper's fvcore did, "
    "at their output resolution; 'GMACs, correct' counts what they compute."
)


@dataclass(frozen=True, kw_only=True)
class _Ours:
    """Columns of one of our values: as measured, then the paper's and the difference if the paper has it.

    `probe` tells apart values of the same name. Shown value = recorded value / `scale`.
    """

    heading: str
    name: str
    digits: int
    scale: float = 1.0
    probe: str | None = None
    published: str | None = None
    difference: bool = False

    def columns(self) -> list[Column]:
        """The columns, in the order of `show`."""
        columns = [Column(name=self.heading, digits=self.digits)]
        if self.published is not None:
            columns.append(Column(name="paper", digits=1))
        if self.difference:
            columns.append(Column(name="diff", digits=self.digits, signed=True))
        return columns

    def show(self, ours: float | None, row: paper.Row) -> list[CellValue]:
        """The numbers of one row."""
        shown = None if ours is None else ours / self.scale
        numbers: list[CellValue] = [shown]
        theirs = None if self.published is None else row.values.get(self.published)
        if self.published is not None:
            numbers.append(theirs)
        if self.difference:
            numbers.append(None if shown is None or theirs is None else shown - theirs)
        return numbers


def _params(name: str) -> _Ours:
    return _Ours(heading="Params (M)", name=name, digits=2, scale=1e6, published="params_m", difference=True)


def _macs(head: str) -> list[_Ours]:
    legacy = _Ours(
        heading="GMACs (paper: GFLOPs)",
        name=f"macs{head}_paper",
        digits=1,
        scale=1e9,
        probe="flops",
        published="gmacs",
        difference=True,
    )
    return [
        legacy,
        _Ours(heading="GMACs, correct", name=f"macs{head}", digits=1, scale=1e9, probe="flops"),
        _Ours(heading="Regions", name="regions", digits=1, probe="flops"),
    ]


_ACCURACY = [
    _Ours(heading=heading, name=name, digits=1, published=name)
    for heading, name in (("AP", "ap"), ("AP*", "ap_star"), ("APB*", "apb_star"))
]
_MODEL_COSTS = [
    _params("params_trainable"),
    *_macs(""),
    _Ours(heading="FPS", name="fps_paper", digits=2, probe="speed", published="fps"),
]
_HEAD_COSTS = [
    _params("params_head"),
    *_macs("_head"),
    _Ours(heading="FPS, subtracted", name="fps_head_subtracted", digits=2, probe="head_cost", published="fps"),
    _Ours(heading="FPS, isolated", name="fps_head_isolated", digits=2, probe="head_cost"),
]


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What a table shows: the paper's rows, the columns that name a row, and our values."""

    title: str
    rows: Sequence[paper.Row]
    labels: tuple[str, ...]
    values: Sequence[_Ours]


TABLES = {
    "main": _Layout(
        title="Table 3: heads on the common detector",
        rows=paper.TABLE3,
        labels=("Backbone", "Head", "Epochs"),
        values=[*_ACCURACY, *_MODEL_COSTS],
    ),
    "heads": _Layout(title="Table 4: heads alone (R50+FPN)", rows=paper.TABLE4, labels=("Head",), values=_HEAD_COSTS),
    "modules": _Layout(
        title="Table 5: processing modules of EffSeg (R50+FPN)",
        rows=paper.TABLE5,
        labels=("Module",),
        values=[*_ACCURACY, *_MODEL_COSTS],
    ),
}
"""Tables by the recipe that measures them."""


@dataclass
class _Used:
    """What a table's values rest on, for the caption: protocols by probe, machines, schedules, checks, the detector.

    `rulers` says of every row with costs whether fvcore and torch agree. `detectors` are GMACs of whole models less
    those of their heads.
    """

    protocols: dict[str, list[dict[str, Scalar]]] = field(default_factory=dict)
    machines: set[str] = field(default_factory=set)
    schedules: set[str] = field(default_factory=set)
    rulers: dict[str, bool] = field(default_factory=dict)
    detectors: dict[str, float] = field(default_factory=dict)

    def add(self, value: pd.Series) -> None:
        """Note where one value is from."""
        known = self.protocols.setdefault(value["probe"], [])
        if value["protocol"] not in known:
            known.append(value["protocol"])
        self.schedules.add(value["schedule"])
        if value["name"].startswith("fps"):
            self.machines.add(value["machine"])

    def check(self, measured: pd.DataFrame, row: paper.Row, name: str) -> None:
        """Note whether both rulers agree on the row called `name`, and what its detector costs."""
        names = ("check_torch_conv_matmul", "check_fvcore_conv_matmul", "macs", "macs_head")
        newest = {name: _newest(measured, _Ours(heading="", name=name, digits=0, probe="flops")) for name in names}
        values = {name: float(value["value"]) for name, value in newest.items() if value is not None}
        if len(values) == len(names):
            self.rulers[name] = values["check_torch_conv_matmul"] == values["check_fvcore_conv_matmul"]
            self.detectors[paper.BACKBONES.get(row.backbone, row.backbone)] = (
                values["macs"] - values["macs_head"]
            ) / 1e9


def table(recipe: str, frame: pd.DataFrame) -> Table:
    """Make the table of a recipe (`main`, `heads`, `modules`) from a frame of `load`.

    What the paper does not have (another head, module, backend or kernel) has rows of its own, and only what was
    measured has columns. Speeds are those of one machine: the one that was used last. Raises ValueError for a recipe
    without a table.
    """
    if recipe not in TABLES:
        raise ValueError(f"There is no table for {recipe!r}. Tables: {', '.join(TABLES)}. Name one of these.")
    layout = TABLES[recipe]
    known = _comparable(frame)
    rows, used = [], _Used()
    # A column nobody has measured yet, such as speed without images, would only show the paper's numbers.
    of_rows = known[_of_rows(known, (*layout.rows, *_new_rows(known, layout)))]
    values = [ours for ours in layout.values if _newest(of_rows, ours) is not None]
    has_accuracy = any(ours in values for ours in _ACCURACY)
    for published in (*layout.rows, *_new_rows(known, layout)):
        for label, measured in _variants(known, published):
            numbers: list[CellValue] = []
            for ours in values:
                newest = _newest(measured, ours)
                if newest is not None:
                    used.add(newest)
                numbers.extend(ours.show(None if newest is None else float(newest["value"]), published))
            labels = _labels(published, layout.labels, label)
            used.check(measured, published, " ".join(str(text) for text in labels))
            rows.append((*labels, *numbers))
    columns = [Column(name=label) for label in layout.labels]
    columns.extend(column for ours in values for column in ours.columns())
    return Table(title=layout.title, columns=tuple(columns), rows=tuple(rows), caption=_caption(used, has_accuracy))


def _comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """The values a table may show: of the paper's sizes, no accuracy of random weights, times of one machine."""
    is_paper = frame["preset"] == "paper"
    is_accuracy = frame["name"].str.match(r"ap(b|\d|_|$)")
    frame = frame[is_paper & ~(is_accuracy & (frame["weights"] == "random"))]
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


def _newest(measured: pd.DataFrame, ours: _Ours) -> "pd.Series | None":
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


def _caption(used: _Used, has_accuracy: bool) -> tuple[str, ...]:
    sentences = [FITTED_REGIONS, TWO_CONVENTIONS]
    if used.detectors:
        costs = ", ".join(f"{gmacs:.1f} ({backbone})" for backbone, gmacs in sorted(used.detectors.items()))
        sentences.append(f"GMACs of the detector alone, before any head: {costs}; the paper's with R50+FPN: 165.1.")
    if used.rulers:
        odd = ", ".join(name for name, agree in used.rulers.items() if not agree)
        sentences.append(
            f"fvcore and torch's counter DISAGREE on convolutions and matrix products in: {odd}."
            if odd
            else "fvcore and torch's counter agree on convolutions and matrix products in every row measured."
        )
    if not has_accuracy:
        sentences.append("No trained weights were measured, and the accuracy of random weights is never shown.")
    if "none" in used.schedules:
        sentences.append("Random weights know no schedule: rows that differ only in epochs show the same measurement.")
    if used.machines:
        sentences.append(f"FPS: ours on {', '.join(sorted(used.machines))}, the paper's on an A100.")
    return (*sentences, *(_protocol(probe, used.protocols[probe]) for probe in sorted(used.protocols)))


def _protocol(probe: str, protocols: Sequence[dict[str, Scalar]]) -> str:
    """What all protocols of a probe have in common, and the names of what differs."""
    names = [name for name in dict.fromkeys(name for protocol in protocols for name in protocol) if name != "probe"]
    common = [name for name in names if all(protocol.get(name) == protocols[0].get(name) for protocol in protocols)]
    # A checksum's first digits tell data sets apart; the record has all of it.
    texts = {name: str(protocols[0][name]) for name in common if protocols[0][name] is not None}
    parts = [f"{name} {text[:15] if text.startswith('sha256:') else text}" for name, text in texts.items()]
    differing = [name for name in names if name not in common]
    if differing:
        parts.append(f"by row: {', '.join(differing)}")
    return f"Protocol of {probe}: {'; '.join(parts)}."
