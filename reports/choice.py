"""Which tables show what was measured: those of a recipe, or all that have numbers."""

from collections.abc import Callable

import pandas as pd

from reports import break_even, sparsity
from reports.accuracy import accuracy
from reports.ceiling import ceiling
from reports.certificates import certificates
from reports.layout import Table
from reports.tables import TABLES, table
from reports.values import values

_BY_RECIPE: dict[str, Callable[[pd.DataFrame], list[Table]]] = {
    "oracle": lambda frame: [ceiling(frame)],
    "sparsity": sparsity.tables,
    "break_even": break_even.tables,
    "certify": lambda frame: [certificates(frame)],
    "evaluate": lambda frame: [accuracy(frame)],
}


def tables_of(recipe: str, frame: pd.DataFrame) -> list[Table]:
    """The tables of a recipe, with whatever the frame has for them; a recipe without any gets one of all its values."""
    if recipe in TABLES:
        made = [table(recipe, frame)]
    elif recipe in _BY_RECIPE:
        made = _BY_RECIPE[recipe](frame)
    else:
        made = [values(recipe, frame)]
    return [each for each in made if each.has_numbers]


def all_tables(frame: pd.DataFrame) -> list[Table]:
    """Every table that has numbers, the paper's first."""
    return [shown for recipe in (*TABLES, *_BY_RECIPE) for shown in tables_of(recipe, frame)]
