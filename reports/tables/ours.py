"""The columns of Tables 3 to 5: one of our values, beside it the published one and what separates the two."""

from dataclasses import dataclass

from reports import paper
from reports.cells import Bounds, Number
from reports.layout import CellValue, Column
from reports.select.field import Field


@dataclass(frozen=True, kw_only=True)
class Ours(Field):
    """Columns of one of our values: as measured, its interval, then the paper's number and what separates them.

    `published` names the paper's number. With `inside`, columns show the interval and whether that number lies in it.
    """

    probe: str
    published: str | None = None
    difference: bool = False
    inside: bool = False

    def columns(self) -> list[Column]:
        """The columns, in the order of `cells`."""
        columns = [self.column()]
        columns += [Column(name="95%")] * self.inside
        columns += [Column(name="paper", digits=1)] * (self.published is not None)
        columns += [Column(name="diff", digits=self.digits, signed=True)] * self.difference
        return columns + [Column(name="inside")] * self.inside

    def cells(self, ours: Number | None, row: paper.Row, state: str) -> list[CellValue]:
        """The cells of one row; `state` says why there is no number where there is none, or is empty."""
        theirs = self.theirs(row)
        cells: list[CellValue] = [state or None if ours is None else ours]
        if self.inside:
            cells.append(_bounds(ours))
        if self.published is not None:
            cells.append(theirs)
        if self.difference:
            cells.append(None if ours is None or theirs is None else ours - theirs)
        return [*cells, _inside(ours, theirs)] if self.inside else cells

    def theirs(self, row: paper.Row) -> float | None:
        """The paper's number."""
        return None if self.published is None else row.values.get(self.published)


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
            best="highest",
            probe="accuracy",
            published=name,
            difference=True,
            inside=True,
        )
        for name, heading in names.items()
    ]


def _params(name: str) -> Ours:
    return Ours(
        heading="Params (M)",
        name=name,
        digits=2,
        best="lowest",
        scale=1e6,
        probe="params",
        published="params_m",
        difference=True,
    )


def _macs(head: str) -> list[Ours]:
    legacy = Ours(
        heading="GMACs (paper: GFLOPs)",
        name=f"macs{head}_paper",
        best="lowest",
        scale=1e9,
        probe="flops",
        published="gmacs",
        difference=True,
    )
    correct = Ours(heading="GMACs, correct", name=f"macs{head}", best="lowest", scale=1e9, probe="flops")
    return [legacy, correct, Ours(heading="Regions", name="regions", probe="flops")]


def _speed(heading: str, name: str, probe: str, published: str | None) -> Ours:
    return Ours(heading=heading, name=name, digits=2, best="highest", probe=probe, published=published)


ACCURACY = _accuracy({"ap": "AP", "ap_star": "AP*", "apb_star": "APB*"})
SIZES = _accuracy({"ap50": "AP50", "ap75": "AP75", "ap_s": "APS", "ap_m": "APM", "ap_l": "APL"})
MODEL_COSTS = [_params("params_trainable"), *_macs(""), _speed("FPS", "fps_paper", "speed", "fps")]
PARAMS = _params("params_head")
GMACS, *_OTHER_COUNTS = _macs("_head")
FPS_SUBTRACTED = _speed("FPS, subtracted", "fps_head_subtracted", "head_cost", "fps")
FPS_ISOLATED = _speed("FPS, isolated", "fps_head_isolated", "head_cost", None)
HEAD_COSTS = [PARAMS, GMACS, *_OTHER_COUNTS, FPS_SUBTRACTED, FPS_ISOLATED]
