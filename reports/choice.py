"""Which tables show what was measured: those of a recipe, or all that have numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import pandas as pd

from bench.record import Record
from reports.layout import Table
from reports.tables import backends, break_even, demo, kernels, lengths, studies
from reports.tables.accuracy import accuracy
from reports.tables.ceiling import ceiling
from reports.tables.certificates import certificates
from reports.tables.of_paper import TABLES, table
from reports.tables.relative import relative
from reports.tables.time_budget import head_budget
from reports.tables.values import values

Rows: TypeAlias = "pd.Series[bool]"


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """How a recipe is shown: the tables of its values and failed records, and the probes whose values are in these.

    `subjects` says which rows of the frame of all records are about what the recipe measures.
    """

    tables: Callable[[pd.DataFrame, Sequence[Record]], list[Table]]
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
    probes = frozenset({"params", "flops", "head_cost", "speed", "accuracy", "time_budget"})
    return _Shown(
        tables=lambda frame, failures: _tables_of_paper(recipe, frame, failures),
        probes=probes,
        subjects=_of_papers_sizes,
    )


def _tables_of_paper(recipe: str, frame: pd.DataFrame, failures: Sequence[Record]) -> list[Table]:
    """The table of a recipe, and what continues it."""
    made = [table(name, frame, failures) for name in (recipe, f"{recipe}_sizes") if name in TABLES]
    return [*made, relative(made[0]), head_budget(frame)] if recipe == "heads" else made


def _demo(frame: pd.DataFrame) -> list[Table]:
    small = _titled(backends.tables(frame), "at reduced size")
    return [*demo.tables(frame), *studies.policies(frame), *studies.budgets(frame), *small]


def _titled(tables: list[Table], addition: str) -> list[Table]:
    """The same tables, told apart from others of the same title."""
    return [replace(each, title=f"{each.title}, {addition}") for each in tables]


_SPARSITY = frozenset({"backend_cost", "backend_speed", "memory"})
_ACCURACY = frozenset({"accuracy", "accuracy_true_boxes"})
_HEADS = _ACCURACY | {"box_accuracy", "params", "flops", "speed"}

_SHOWN: dict[str, _Shown] = {
    "demo": _Shown(
        tables=lambda frame, _: _demo(frame),
        probes=_HEADS | _SPARSITY | {"policies", "budget", "pictures", "trace"},
        subjects=_embedded,
    ),
    "coco_mini": _Shown(
        tables=lambda frame, _: _titled(demo.tables(frame), "trained on coco_mini"), probes=_HEADS, subjects=_coco_mini
    ),
    **{recipe: _of_paper(recipe) for recipe in ("main", "heads", "modules")},
    "oracle": _Shown(
        tables=lambda frame, _: [ceiling(frame)], probes=frozenset({"ceiling"}) | _ACCURACY, subjects=_others
    ),
    "policies": _Shown(
        tables=lambda frame, _: studies.policies(frame), probes=frozenset({"policies"}), subjects=_others
    ),
    "budget": _Shown(tables=lambda frame, _: studies.budgets(frame), probes=frozenset({"budget"}), subjects=_others),
    "views": _Shown(
        tables=lambda frame, _: lengths.tables(frame),
        probes=frozenset({"accuracy_true_boxes"}),
        subjects=lambda frame: frame["recipe"] == "views",
    ),
    "sparsity": _Shown(tables=backends.tables, probes=_SPARSITY, subjects=_others),
    "break_even": _Shown(
        tables=lambda frame, _: break_even.tables(frame), probes=frozenset({"break_even"}), subjects=_others
    ),
    "kernels": _Shown(tables=kernels.tables, probes=frozenset({"kernels"}), subjects=_others),
    "certify": _Shown(
        tables=lambda frame, _: [certificates(frame)], probes=frozenset({"certificate"}), subjects=_others
    ),
    "evaluate": _Shown(tables=lambda frame, _: [accuracy(frame)], probes=frozenset({"accuracy"}), subjects=_others),
}


def tables_of(recipe: str, frame: pd.DataFrame, failures: Sequence[Record] = ()) -> list[Table]:
    """The tables of a recipe that have numbers, then one of the values that these have no place for.

    Tables of the paper say of the `failures` that they failed.
    """
    if recipe not in _SHOWN:
        return _with_numbers([values(recipe, frame)])
    shown = _SHOWN[recipe]
    rest = frame[~frame["probe"].isin(shown.probes)]
    return _with_numbers([*shown.tables(frame, failures), values(f"{recipe}: other values", rest)])


def all_tables(frame: pd.DataFrame, failures: Sequence[Record] = ()) -> list[Table]:
    """Every table that has numbers, then one of the values that none of them has a place for.

    Each gets only the records that it is about: tables show the newest value, and a table of the paper must not show
    what a small model of the embedded data measured later.
    """
    tables: list[Table] = []
    placed = pd.Series(data=False, index=frame.index, dtype=bool)
    for shown in _SHOWN.values():
        rows = shown.rows(frame)
        if rows.any() or failures:
            tables += shown.tables(frame[rows], failures)
        placed |= rows
    return _with_numbers([*tables, values("Other values", frame[~placed])])


def _with_numbers(tables: list[Table]) -> list[Table]:
    return [each for each in tables if each.has_numbers]
