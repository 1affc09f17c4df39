"""Who draws better outlines than whom: the paired difference of every two heads."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from bench.names import METRICS
from reports.cells import Number
from reports.layout import CellValue, Column, Table
from reports.select.comparable import Comparable
from reports.select.measured import Measured
from reports.select.trained import by_seed, seeds_in_words
from reports.tables.differences import PairedDifference, difference, shared_seeds, signed

_OUTLINES = ("apb_star", "apb")


def matrix(boxes: str, found: Comparable) -> Table:
    """A row and a column for each head: points of the row less those of the column, on the seeds that both have.

    `boxes` says on which boxes. Needs records in a store: without their resamples nothing is known to be significant.
    """
    heads = list(by_seed(found.shown).values()) if len({each.head for each in found.shown}) > 1 else []
    metric = next((name for name in _OUTLINES if all(each.has(name) for each in found.shown)), _OUTLINES[0])
    known: dict[tuple[int, int], PairedDifference] = {}
    for row, column in combinations(range(len(heads)), 2):
        of_both = difference(metric, *shared_seeds(heads[column], heads[row]))
        if of_both is not None:
            known[row, column], known[column, row] = of_both, of_both.mirrored()
    return Table(
        title=f"Who draws better outlines, on {boxes}",
        columns=(
            Column(name=METRICS[metric]),
            # Without what most of them share, the names of ten heads fit side by side.
            *(Column(name=of[0].head.removesuffix("++"), digits=1, show_as=with_star, tinted=True) for of in heads),
        ),
        rows=tuple(
            (of[0].head, *(_cell(known.get((row, column)), of[0]) for column in range(len(heads))))
            for row, of in enumerate(heads)
        ),
        caption=(*_reading(heads, known), *found.sentences()),
    )


def with_star(points: float) -> str:
    """A difference as the matrix shows it: +1.2*, the star where its interval leaves out 0."""
    interval = points.interval if isinstance(points, Number) else None
    return signed(points) + ("*" if PairedDifference(points=points, interval=interval).significant else "")


def _cell(found: PairedDifference | None, row: Measured) -> CellValue:
    return None if found is None else found.number(row.source)


def _reading(heads: Sequence[Sequence[Measured]], known: Mapping[tuple[int, int], PairedDifference]) -> Iterator[str]:
    if not heads:
        return
    yield (
        "Points of the row less those of the column: a plus says that the row's head is better. *: the 95 % interval "
        "of the paired difference leaves out 0. A number without a star does not say that two heads are equal."
    )
    yield (
        f"Of twenty pairs that do not differ, one is expected to have a star; here are {len(known) // 2}. A star "
        "speaks of the choice of images for these weights, not of the noise of training."
    )
    if not any(each.interval for each in known.values()):
        yield "No record has its resamples beside it: no star can be given."
    yield from seeds_in_words(heads)
    if len({len(seeds) for seeds in heads}) > 1:
        yield "Two heads are compared on the seeds that both have."
