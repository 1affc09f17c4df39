"""The columns of Tables 3 to 5: one of our values, beside it the published one and what separates the two."""

from dataclasses import dataclass
from typing import Literal

from reports import paper
from reports.cells import Bounds, Number
from reports.layout import CellValue, Column


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Columns of one of our values: as measured, its interval, then the paper's number and what separates them.

    `probe` tells apart values of the same name. Shown value = recorded value / `scale`. With `interval`, a column says
    whether the published number lies inside.
    """

    heading: str
    name: str
    digits: int
    best: Literal["highest", "lowest"] | None = None
    scale: float = 1.0
    probe: str | None = None
    published: str | None = None
    difference: bool = False
    interval: bool = False

    def columns(self) -> list[Column]:
        """The columns, in the order of `show`."""
        columns = [Column(name=self.heading, digits=self.digits, best=self.best)]
        columns += [Column(name="95%")] * self.interval
        columns += [Column(name="paper", digits=1)] * (self.published is not None)
        columns += [Column(name="diff", digits=self.digits, signed=True)] * self.difference
        columns += [Column(name="inside")] * (self.interval and self.published is not None)
        return columns

    def show(self, ours: Number | None, row: paper.Row, state: str) -> list[CellValue]:
        """The cells of one row; `state` says why there is no number where there is none, or is empty."""
        shown = None if ours is None else ours.over(self.scale)
        theirs = None if self.published is None else row.values.get(self.published)
        cells: list[CellValue] = [state or None if shown is None else shown]
        if self.interval:
            cells.append(_bounds(shown))
        if self.published is not None:
            cells.append(theirs)
        if self.difference:
            cells.append(None if shown is None or theirs is None else shown - theirs)
        if self.interval and self.published is not None:
            cells.append(_inside(shown, theirs))
        return cells


def _bounds(ours: Number | None) -> Bounds:
    if ours is None or ours.interval is None:
        return Bounds("")
    low, high = ours.interval
    return Bounds(f"{low:.1f}-{high:.1f}", source=ours.source)


def _inside(ours: Number | None, theirs: float | None) -> str:
    if ours is None or ours.interval is None or theirs is None:
        return ""
    low, high = ours.interval
    return "yes" if low <= theirs <= high else "no"


def _accuracy(names: dict[str, str]) -> list[Ours]:
    return [
        Ours(
            heading=heading,
            name=name,
            digits=1,
            best="highest",
            probe="accuracy",
            published=name,
            difference=True,
            interval=True,
        )
        for name, heading in names.items()
    ]


def _params(name: str) -> Ours:
    return Ours(
        heading="Params (M)", name=name, digits=2, best="lowest", scale=1e6, published="params_m", difference=True
    )


def _macs(head: str) -> list[Ours]:
    legacy = Ours(
        heading="GMACs (paper: GFLOPs)",
        name=f"macs{head}_paper",
        digits=1,
        best="lowest",
        scale=1e9,
        probe="flops",
        published="gmacs",
        difference=True,
    )
    correct = Ours(heading="GMACs, correct", name=f"macs{head}", digits=1, best="lowest", scale=1e9, probe="flops")
    return [legacy, correct, Ours(heading="Regions", name="regions", digits=1, probe="flops")]


def _speed(heading: str, name: str, probe: str, published: str | None) -> Ours:
    return Ours(heading=heading, name=name, digits=2, best="highest", probe=probe, published=published)


ACCURACY = _accuracy({"ap": "AP", "ap_star": "AP*", "apb_star": "APB*"})
SIZES = _accuracy({"ap50": "AP50", "ap75": "AP75", "ap_s": "APS", "ap_m": "APM", "ap_l": "APL"})
MODEL_COSTS = [_params("params_trainable"), *_macs(""), _speed("FPS", "fps_paper", "speed", "fps")]
HEAD_COSTS = [
    _params("params_head"),
    *_macs("_head"),
    _speed("FPS, subtracted", "fps_head_subtracted", "head_cost", "fps"),
    _speed("FPS, isolated", "fps_head_isolated", "head_cost", None),
]
