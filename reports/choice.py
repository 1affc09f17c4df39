"""Which tables show what was measured: those of a recipe, or all that have numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from reports import break_even, sparsity
from reports.accuracy import accuracy
from reports.ceiling import ceiling
from reports.certificates import certificates
from reports.layout import Table
from reports.tables import TABLES, table
from reports.values import values


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """How a recipe is shown: the tables it has, and the probes whose values are in these."""

    tables: Callable[[pd.DataFrame], list[Table]]
    probes: frozenset[str]


def _of_paper(recipe: str) -> _Shown:
    probes = frozenset({"params", "flops", "head_cost", "speed", "accuracy"})
    return _Shown(tables=lambda frame: [table(recipe, frame)], probes=probes)


_SHOWN: dict[str, _Shown] = {
    **{recipe: _of_paper(recipe) for recipe in TABLES},
    "oracle": _Shown(
        tables=lambda frame: [ceiling(frame)], probes=frozenset({"ceiling", "accuracy", "accuracy_true_boxes"})
    ),
    "sparsity": _Shown(tables=sparsity.tables, probes=frozenset({"backend_cost", "backend_speed", "memory"})),
    "break_even": _Shown(tables=break_even.tables, probes=frozenset({"break_even"})),
    "certify": _Shown(tables=lambda frame: [certificates(frame)], probes=frozenset({"certificate"})),
    "evaluate": _Shown(tables=lambda frame: [accuracy(frame)], probes=frozenset({"accuracy"})),
}


def tables_of(recipe: str, frame: pd.DataFrame) -> list[Table]:
    """The tables of a recipe that have numbers, then one of the values that these have no place for."""
    if recipe not in _SHOWN:
        return _with_numbers([values(recipe, frame)])
    shown = _SHOWN[recipe]
    rest = frame[~frame["probe"].isin(shown.probes)]
    return _with_numbers([*shown.tables(frame), values(f"{recipe}: other values", rest)])


def all_tables(frame: pd.DataFrame) -> list[Table]:
    """Every table that has numbers, the paper's first, then one of the values that none of them has a place for."""
    placed = frozenset().union(*(shown.probes for shown in _SHOWN.values()))
    tables = [each for shown in _SHOWN.values() for each in shown.tables(frame)]
    return _with_numbers([*tables, values("Other values", frame[~frame["probe"].isin(placed)])])


def _with_numbers(tables: list[Table]) -> list[Table]:
    return [each for each in tables if each.has_numbers]
