"""Variants of the trained heads on true boxes: class-agnostic masks, and EffSeg's processing modules."""

from collections.abc import Iterable

from reports.layout import CellValue, Column, Table
from reports.select.comparable import Comparable
from reports.select.field import Field
from reports.select.measured import Measured
from reports.select.trained import (
    AGNOSTIC,
    MAIN_METRICS,
    PRESET,
    any_seed,
    by_seed,
    first_seeds,
    in_order,
    interval,
    is_usual,
)
from reports.tables.differences import claim, differences, pair

_SIZE = Field(heading="head M", name="params_head", digits=2, best="lowest", scale=1e6)


def agnostic(found: Comparable, params: Comparable) -> list[Table]:
    """Heads that predict a mask for every class, as in the paper, beside the same heads with one for all classes."""
    about = found.only(lambda each: is_usual(each) or each.subject.preset == AGNOSTIC)
    variants = [each.subject for each in (*about.shown, *about.left_out) if each.subject.preset == AGNOSTIC]
    if not variants:
        return []
    changed = {subject.head for subject in variants}
    one = [each for each in about.shown if each.subject.preset == AGNOSTIC]
    usual = in_order(each for each in about.shown if is_usual(each))
    per_class = [each for each in usual if each.subject.head in changed]
    # EffSeg has one mask for all classes anyhow: like against like needs no variant of it.
    one += [each for each in usual if each.subject.head == "effseg" and "effseg" not in changed]
    seed = min(subject.seed for subject in variants)
    pairs = [
        pair(f"{first[0].head}, one - per class", first, second)
        for first in by_seed(per_class).values()
        for second in by_seed(one).values()
        if first[0].subject.head == second[0].subject.head
    ]
    rows = in_order(each for each in [*per_class, *one] if each.subject.seed == seed)
    note = "Masks: one per class, as the paper has it (RefineMask++: up to 56 x 56, then one), or one for all classes."
    return [
        _variants(
            "Class-agnostic heads on true boxes",
            ("Head", "Masks"),
            [(each, (each.head, "per class" if each in per_class else "one")) for each in rows],
            params,
            (f"{note} Seed {seed}.", _READING, *about.sentences()),
        ),
        differences("What separates class-agnostic heads, on true boxes", [*claim(one), *pairs], about.sentences()),
    ]


def modules(found: Comparable, params: Comparable) -> list[Table]:
    """EffSeg with each processing module, and what separates them from the one that the paper chose."""
    about = found.only(lambda each: each.subject.preset == PRESET and bool(each.module) and not each.storage)
    variants = [each.subject for each in (*about.shown, *about.left_out) if each.subject.module != "sfm"]
    if not variants:
        return []
    of_effseg = in_order(about.shown)
    chosen = [each for each in of_effseg if each.subject.module == "sfm"]
    others = [each for each in of_effseg if each.subject.module != "sfm"]
    seed = min(subject.seed for subject in variants)
    return [
        _variants(
            "Processing modules of EffSeg on true boxes",
            ("Module",),
            [(each, (each.module,)) for each in of_effseg if each.subject.seed == seed],
            params,
            (
                f"Dense SFM computes all cells, the others those that EffSeg chooses. Seed {seed}.",
                _READING,
                *about.sentences(),
            ),
        ),
        differences(
            "What separates the modules from SFM, on true boxes",
            [pair(f"{seeds[0].module} - SFM", chosen, seeds) for seeds in by_seed(others).values()],
            about.sentences(),
        ),
    ]


_READING = "head M: millions of parameters of the head. 95%: intervals from resampled images."


def _variants(
    title: str,
    labels: tuple[str, ...],
    rows: Iterable[tuple[Measured, tuple[str, ...]]],
    params: Comparable,
    caption: tuple[str, ...],
) -> Table:
    """Parameters of the head and accuracies with their intervals, of one seed."""
    known = list(rows)
    sizes = {any_seed(each.subject): _SIZE.number(each) for each in first_seeds(params.shown)}
    metrics = {name: label for name, label in MAIN_METRICS.items() if any(each.has(name) for each, _ in known)}
    columns = [*(Column(name=label) for label in labels), _SIZE.column()]
    for label in metrics.values():
        columns += [Column(name=label, digits=1, best="highest"), Column(name="95%")]
    shown: list[tuple[CellValue, ...]] = []
    for each, words in known:
        cells: list[CellValue] = [*words, sizes.get(any_seed(each.subject))]
        for name in metrics:
            number = each.number(name)
            cells += [number, interval(number)]
        shown.append(tuple(cells))
    return Table(title=title, columns=tuple(columns), rows=tuple(shown), caption=caption)
