"""Variants of the trained heads on true boxes: class-agnostic masks, and EffSeg's processing modules."""

from collections.abc import Iterable, Sequence

from reports.cells import over
from reports.layout import CellValue, Column, Table
from reports.select.trained import (
    MAIN_METRICS,
    PRESET,
    Result,
    by_seed,
    in_order,
    interval,
    left_out,
    of_one_run,
    usual,
)
from reports.tables.differences import claim, differences, pair

AGNOSTIC = "small_agnostic"


def agnostic(found: Sequence[Result], params: Sequence[Result]) -> list[Table]:
    """Heads that predict a mask for every class, as in the paper, beside the same heads with one for all classes."""
    one = [each for each in found if each.subject.preset == AGNOSTIC]
    if not one:
        return []
    changed = {each.subject.head for each in one}
    per_class = [each for each in usual(found) if each.subject.head in changed]
    # EffSeg has one mask for all classes anyhow: like against like needs no variant of it.
    one += [each for each in usual(found) if each.subject.head == "effseg" and "effseg" not in changed]
    seed = min(each.subject.seed for each in one)
    rows = [(each, (each.head, "per class" if each in per_class else "one")) for each in in_order([*per_class, *one])]
    pairs = [
        pair(f"{first[0].head}, one - per class", first, second)
        for first in by_seed(per_class).values()
        for second in by_seed(one).values()
        if first[0].subject.head == second[0].subject.head
    ]
    return [
        _variants(
            "Class-agnostic heads on true boxes",
            ("Head", "Masks"),
            [row for row in rows if row[0].subject.seed == seed],
            params,
            "Masks: one per class, as the paper has it (RefineMask++: up to 56 x 56, then one), or one for all "
            f"classes. Seed {seed}.",
        ),
        differences("What separates class-agnostic heads, on true boxes", [*claim(one), *pairs]),
    ]


def modules(found: Sequence[Result], params: Sequence[Result]) -> list[Table]:
    """EffSeg with each processing module, and what separates them from the one that the paper chose."""
    of_effseg = in_order(each for each in found if each.subject.preset == PRESET and each.module and not each.storage)
    chosen = [each for each in of_effseg if each.subject.module == "sfm"]
    others = [each for each in of_effseg if each.subject.module != "sfm"]
    if not others:
        return []
    seed = min(each.subject.seed for each in others)
    return [
        _variants(
            "Processing modules of EffSeg on true boxes",
            ("Module",),
            [(each, (each.module,)) for each in of_effseg if each.subject.seed == seed],
            params,
            f"Dense SFM computes all cells, the others those that EffSeg chooses. Seed {seed}.",
        ),
        differences(
            "What separates the modules from SFM, on true boxes",
            [pair(f"{seeds[0].module} - SFM", chosen, seeds) for seeds in by_seed(others).values()],
        ),
    ]


def _variants(
    title: str,
    labels: tuple[str, ...],
    rows: Iterable[tuple[Result, tuple[str, ...]]],
    params: Iterable[Result],
    note: str,
) -> Table:
    """Parameters of the head and accuracies with their intervals, of one seed."""
    named = dict(rows)
    alike, others = of_one_run(named)
    metrics = {name: label for name, label in MAIN_METRICS.items() if any(name in each.values for each in alike)}
    of_heads = {model: seeds[0].values.get("params_head") for model, seeds in by_seed(params).items()}
    sizes = {model: over(size, 1e6) for model, size in of_heads.items()}
    shown: list[tuple[CellValue, ...]] = []
    for each in alike:
        (model,) = by_seed([each])
        cells: list[CellValue] = [*named[each], sizes.get(model)]
        for name in metrics:
            cells += [each.values.get(name), interval(each, name)]
        shown.append(tuple(cells))
    columns = [*(Column(name=label) for label in labels), Column(name="head M", digits=2, best="lowest")]
    for label in metrics.values():
        columns += [Column(name=label, digits=1, best="highest"), Column(name="95%")]
    reading = "head M: millions of parameters of the head. 95%: intervals from resampled images."
    return Table(title=title, columns=tuple(columns), rows=tuple(shown), caption=(note, reading, *left_out(others)))
