"""Which tables show what was measured: those of a recipe, or all that have numbers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import pandas as pd

from reports import break_even, demo, sparsity, studies
from reports.accuracy import accuracy
from reports.ceiling import ceiling
from reports.certificates import certificates
from reports.layout import Table
from reports.tables import TABLES, table
from reports.values import values

Rows: TypeAlias = "pd.Series[bool]"


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """How a recipe is shown: the tables it has, and the probes whose values are in these.

    `subjects` says which rows of the frame of all records are about what the recipe measures.
    """

    tables: Callable[[pd.DataFrame], list[Table]]
    probes: frozenset[str]
    subjects: Callable[[pd.DataFrame], Rows]

    def rows(self, frame: pd.DataFrame) -> Rows:
        """Of all records, the rows that these tables have a place for."""
        return self.subjects(frame) & frame["probe"].isin(self.probes)


def _embedded(frame: pd.DataFrame) -> Rows:
    """What was trained on the embedded data, whichever recipe measured it, and the small study of the backends."""
    return (frame["schedule"] == "glyphs") | ((frame["recipe"] == "demo") & frame["head"].isna())


def _coco_mini(frame: pd.DataFrame) -> Rows:
    return frame["schedule"] == "coco_mini"


def _others(frame: pd.DataFrame) -> Rows:
    return ~(_embedded(frame) | _coco_mini(frame))


def _of_papers_sizes(frame: pd.DataFrame) -> Rows:
    return frame["preset"] == "paper"


def _of_paper(recipe: str) -> _Shown:
    probes = frozenset({"params", "flops", "head_cost", "speed", "accuracy"})
    return _Shown(tables=lambda frame: [table(recipe, frame)], probes=probes, subjects=_of_papers_sizes)


def _demo(frame: pd.DataFrame) -> list[Table]:
    small = _titled(sparsity.tables(frame), "at reduced size")
    return [*demo.tables(frame), *studies.policies(frame), *studies.budgets(frame), *small]


def _titled(tables: list[Table], addition: str) -> list[Table]:
    """The same tables, told apart from others of the same title."""
    return [replace(each, title=f"{each.title}, {addition}") for each in tables]


_SPARSITY = frozenset({"backend_cost", "backend_speed", "memory"})
_ACCURACY = frozenset({"accuracy", "accuracy_true_boxes"})
_HEADS = _ACCURACY | {"params", "flops", "speed"}

_SHOWN: dict[str, _Shown] = {
    "demo": _Shown(
        tables=_demo,
        probes=_HEADS | _SPARSITY | {"policies", "budget", "pictures"},
        subjects=_embedded,
    ),
    "coco_mini": _Shown(
        tables=lambda frame: _titled(demo.tables(frame), "trained on coco_mini"), probes=_HEADS, subjects=_coco_mini
    ),
    **{recipe: _of_paper(recipe) for recipe in TABLES},
    "oracle": _Shown(
        tables=lambda frame: [ceiling(frame)], probes=frozenset({"ceiling"}) | _ACCURACY, subjects=_others
    ),
    "policies": _Shown(tables=studies.policies, probes=frozenset({"policies"}), subjects=_others),
    "budget": _Shown(tables=studies.budgets, probes=frozenset({"budget"}), subjects=_others),
    "sparsity": _Shown(tables=sparsity.tables, probes=_SPARSITY, subjects=_others),
    "break_even": _Shown(tables=break_even.tables, probes=frozenset({"break_even"}), subjects=_others),
    "certify": _Shown(tables=lambda frame: [certificates(frame)], probes=frozenset({"certificate"}), subjects=_others),
    "evaluate": _Shown(tables=lambda frame: [accuracy(frame)], probes=frozenset({"accuracy"}), subjects=_others),
}


def tables_of(recipe: str, frame: pd.DataFrame) -> list[Table]:
    """The tables of a recipe that have numbers, then one of the values that these have no place for."""
    if recipe not in _SHOWN:
        return _with_numbers([values(recipe, frame)])
    shown = _SHOWN[recipe]
    rest = frame[~frame["probe"].isin(shown.probes)]
    return _with_numbers([*shown.tables(frame), values(f"{recipe}: other values", rest)])


def all_tables(frame: pd.DataFrame) -> list[Table]:
    """Every table that has numbers, then one of the values that none of them has a place for.

    Each gets only the records that it is about: tables show the newest value, and a table of the paper must not show
    what a small model of the embedded data measured later.
    """
    tables: list[Table] = []
    placed = pd.Series(data=False, index=frame.index, dtype=bool)
    for shown in _SHOWN.values():
        rows = shown.rows(frame)
        tables += shown.tables(frame[rows])
        placed |= rows
    return _with_numbers([*tables, values("Other values", frame[~placed])])


def _with_numbers(tables: list[Table]) -> list[Table]:
    return [each for each in tables if each.has_numbers]
