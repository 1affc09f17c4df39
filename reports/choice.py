"""Which tables show what was measured: those of a recipe, or all that have numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.record import Record
from reports.layout import Table
from reports.select.comparable import comparable
from reports.select.guard import Guard
from reports.select.measured import Measured
from reports.tables import backends, break_even, demo, frozen, kernels, lengths, own, published, studies
from reports.tables.accuracy import accuracy
from reports.tables.ceiling import ceiling
from reports.tables.certificates import certificates
from reports.tables.elsewhere import elsewhere
from reports.tables.of_paper import TABLES, table
from reports.tables.region_cost import region_cost
from reports.tables.relative import relative
from reports.tables.time_budget import head_budget
from reports.tables.values import values


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """How a recipe is shown: the tables of its records and failed ones, and the probes whose values are in these.

    `subjects` says whether a record is about what the recipe measures.
    """

    tables: Callable[[Sequence[Measured], Sequence[Record]], list[Table]]
    probes: frozenset[str]
    subjects: Callable[[Measured], bool]

    def has(self, each: Measured) -> bool:
        """Whether these tables have a place for a record."""
        return each.probe in self.probes and self.subjects(each)


def _embedded(each: Measured) -> bool:
    """Trained on the embedded data, whichever recipe measured it, or of the small study of the backends."""
    return each.subject.schedule == "glyphs" or (each.recipe == "demo" and each.subject.head is None)


def _coco_mini(each: Measured) -> bool:
    return each.subject.schedule == "coco_mini"


def _own(each: Measured) -> bool:
    return each.subject.schedule == "own"


def _frozen(each: Measured) -> bool:
    """Trained on a frozen detector, for any number of epochs, or what their recipe measured without weights."""
    return each.subject.schedule.startswith("frozen_") or each.recipe == "frozen"


def _published(each: Measured) -> bool:
    """Of imported weights, or what the recipe of these measured without weights."""
    return each.subject.schedule == "published" or each.recipe == "published"


def _others(each: Measured) -> bool:
    told = (_embedded, _coco_mini, _own, _frozen, _published)
    return not any(of(each) for of in told)


def _of_paper(recipe: str) -> _Shown:
    return _Shown(
        tables=lambda found, failures: _tables_of_paper(recipe, found, failures),
        probes=frozenset({"params", "flops", "region_cost", "head_cost", "speed", "accuracy", "time_budget"}),
        subjects=lambda each: each.subject.preset == "paper" and not (_frozen(each) or _published(each)),
    )


def _tables_of_paper(recipe: str, found: Sequence[Measured], failures: Sequence[Record]) -> list[Table]:
    """The table of a recipe, and what continues it."""
    made = [table(name, found, failures) for name in (recipe, f"{recipe}_sizes") if name in TABLES]
    if recipe == "heads":
        return [*made, relative(found, failures), region_cost(comparable(found, "region_cost")), head_budget(found)]
    return [*made, elsewhere(found)] if recipe == "main" else made


def _demo(found: Sequence[Measured]) -> list[Table]:
    small = _titled(backends.tables(found), "at reduced size")
    return [*demo.tables(found), *studies.policies(found), *studies.budgets(found), *small]


def _titled(tables: list[Table], addition: str) -> list[Table]:
    """The same tables, told apart from others of the same title."""
    return [replace(each, title=f"{each.title}, {addition}") for each in tables]


_SPARSITY = frozenset({"backend_cost", "backend_speed", "memory"})
_ACCURACY = frozenset({"accuracy", "accuracy_true_boxes"})
_HEADS = _ACCURACY | {"box_accuracy", "params", "flops", "speed", "region_cost"}

_SHOWN: dict[str, _Shown] = {
    "demo": _Shown(
        tables=lambda found, _: _demo(found),
        probes=_HEADS | _SPARSITY | {"policies", "budget", "pictures", "trace"},
        subjects=_embedded,
    ),
    "coco_mini": _Shown(
        tables=lambda found, _: _titled(demo.tables(found), "trained on coco_mini"), probes=_HEADS, subjects=_coco_mini
    ),
    "own": _Shown(
        tables=lambda found, _: own.tables(found),
        probes=_ACCURACY | {"box_accuracy", "params", "speed"},
        subjects=_own,
    ),
    "frozen": _Shown(
        tables=lambda found, _: frozen.tables(found),
        probes=_HEADS,
        subjects=_frozen,
    ),
    "published": _Shown(
        tables=published.tables,
        probes=frozenset({"box_accuracy", "accuracy", "params", "flops", "speed"}),
        subjects=_published,
    ),
    **{recipe: _of_paper(recipe) for recipe in ("main", "heads", "modules")},
    "oracle": _Shown(
        tables=lambda found, _: [ceiling(found)], probes=frozenset({"ceiling"}) | _ACCURACY, subjects=_others
    ),
    "policies": _Shown(
        tables=lambda found, _: studies.policies(found), probes=frozenset({"policies"}), subjects=_others
    ),
    "budget": _Shown(tables=lambda found, _: studies.budgets(found), probes=frozenset({"budget"}), subjects=_others),
    "views": _Shown(
        tables=lambda found, _: lengths.tables(found),
        probes=frozenset({"accuracy_true_boxes"}),
        subjects=lambda each: each.recipe == "views",
    ),
    "sparsity": _Shown(tables=backends.tables, probes=_SPARSITY, subjects=_others),
    "break_even": _Shown(
        tables=lambda found, _: break_even.tables(found), probes=frozenset({"break_even"}), subjects=_others
    ),
    "kernels": _Shown(tables=kernels.tables, probes=frozenset({"kernels"}), subjects=_others),
    "certify": _Shown(
        tables=lambda found, _: [certificates(found)], probes=frozenset({"certificate"}), subjects=_others
    ),
    "evaluate": _Shown(tables=lambda found, _: [accuracy(found)], probes=frozenset({"accuracy"}), subjects=_others),
}


def tables_of(
    recipe: str, found: Sequence[Measured], failures: Sequence[Record] = (), guard: Guard | None = None
) -> list[Table]:
    """The tables of a recipe that have numbers, then one of the records that these have no place for.

    Tables of the paper say of the `failures` that they failed.
    """
    if recipe not in _SHOWN:
        return _with_numbers([values(recipe, found)])
    shown = _SHOWN[recipe]
    rest = [each for each in found if each.probe not in shown.probes]
    tables = _guarded(recipe, shown, found, failures, guard or Guard())
    return _with_numbers([*tables, values(f"{recipe}: other values", rest)])


def all_tables(found: Sequence[Measured], failures: Sequence[Record] = (), guard: Guard | None = None) -> list[Table]:
    """Every table that has numbers, then one of the records that none of them has a place for.

    Each gets only the records that it is about: a table is of what is comparable with the newest record, and a table of
    the paper must not be of what a small model of the embedded data measured later.
    """
    tables: list[Table] = []
    guard = guard or Guard()
    for recipe, shown in _SHOWN.items():
        known = [each for each in found if shown.has(each)]
        if known or failures:
            tables += _guarded(recipe, shown, known, failures, guard)
    rest = [each for each in found if not any(shown.has(each) for shown in _SHOWN.values())]
    return _with_numbers([*tables, values("Other values", rest)])


def _guarded(
    recipe: str, shown: _Shown, found: Sequence[Measured], failures: Sequence[Record], guard: Guard
) -> list[Table]:
    return guard.make(f"The tables of {recipe}", lambda usable: shown.tables(usable, failures), found, [])


def _with_numbers(tables: list[Table]) -> list[Table]:
    return [each for each in tables if each.has_numbers]
