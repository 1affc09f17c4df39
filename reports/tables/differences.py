"""What separates two models: paired differences with intervals, of each seed and of the mean over the seeds.

Records keep what their accuracy would be on resampled images, drawn alike for all records on the same images. The
difference of two, resample by resample, has a much narrower interval than either: hard images are hard for both.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64

from bench.accuracy.significance import paired
from bench.names import METRICS
from reports.cells import Number, Source
from reports.layout import CellValue, Column, Table
from reports.select.measured import Measured
from reports.select.trained import by_seed, in_order, numbers

_COMPARED = (
    ("mask_rcnn", "point_rend"),
    ("point_rend", "refine_mask"),
    ("refine_mask", "effseg"),
    ("point_rend", "effseg"),
)
"""The paper's claim is that every head draws better outlines than the one before; EffSeg is close to RefineMask++."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models by seed, measured alike. Tables show the second minus the first, of the seeds that both have."""

    name: str
    first: Mapping[int, Measured]
    second: Mapping[int, Measured]

    @property
    def seeds(self) -> list[int]:
        """The seeds that both have, ascending."""
        return sorted(self.first.keys() & self.second.keys())


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Points between two records, or between the means of several; `interval` is None where resamples are missing."""

    points: float
    interval: tuple[float, float] | None

    @property
    def significant(self) -> bool:
        """Whether 0 is outside the interval. Without one, nothing is known."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    def mirrored(self) -> "PairedDifference":
        """The same difference the other way round."""
        bounds = None if self.interval is None else (-self.interval[1], -self.interval[0])
        return PairedDifference(points=-self.points, interval=bounds)

    def number(self, source: Source | None) -> Number:
        """The points as a cell of a column that is shown by `with_interval`."""
        return Number(self.points, interval=self.interval, source=source)


def with_interval(points: float) -> str:
    """A difference as tables show it: +1.2 [0.5, 2.0]."""
    text = signed(points)
    if not isinstance(points, Number) or points.interval is None:
        return text
    low, high = (round(bound, 1) + 0.0 for bound in points.interval)
    return f"{text} [{low:.1f}, {high:.1f}]"


def pair(name: str, first: Iterable[Measured], second: Iterable[Measured]) -> Pair:
    """A pair of two models, each given by the records of its seeds."""
    of_first, of_second = ({each.subject.seed: each for each in side} for side in (first, second))
    return Pair(name=name, first=of_first, second=of_second)


def claim(found: Iterable[Measured]) -> list[Pair]:
    """The pairs in which the paper says that the second is better, of the heads among these records."""
    heads = {str(seeds[0].subject.head): seeds for seeds in by_seed(found).values() if not seeds[0].storage}
    return [
        pair(f"{heads[second][0].head} - {heads[first][0].head}", heads[first], heads[second])
        for first, second in _COMPARED
        if first in heads and second in heads
    ]


def every_pair(found: Iterable[Measured]) -> list[Pair]:
    """All pairs of models among these records, the later one in the paper's order minus the earlier one."""
    models = list(by_seed(in_order(found)).values())
    modules = {of[0].subject.module for of in models if of[0].subject.module is not None}

    def name(of: Sequence[Measured]) -> str:
        return f"{of[0].head} {of[0].module}".strip() if len(modules) > 1 else of[0].head

    ordered = in_order(of[0] for of in models)
    groups = sorted(models, key=lambda of: ordered.index(of[0]))
    return [pair(f"{name(after)} - {name(before)}", before, after) for before, after in combinations(groups, 2)]


def differences(title: str, pairs: Iterable[Pair], left_out: Iterable[str] = ()) -> Table:
    """A row for each seed of every pair, and for several seeds one for their mean and one for their spread.

    `left_out` are sentences about what could not be compared. Needs records in a store.
    """
    known = [each for each in pairs if each.seeds]
    return Table(
        title=title,
        columns=(
            Column(name="Difference"),
            *(Column(name=name, digits=1, show_as=with_interval) for name in METRICS.values()),
            Column(name="Not significant"),
        ),
        rows=tuple(row for each in known for row in _rows(each)),
        caption=(*_reading(known), *left_out),
    )


def difference(metric: str, first: Sequence[Measured], second: Sequence[Measured]) -> PairedDifference | None:
    """The mean of the second records minus that of the first ones; None without any, or where one has no such value.

    All must be of the same images. For several seeds this is the mean of the seeds' differences, and so are the
    resamples that the interval is made of: it is the interval of the mean.
    """
    values = [numbers(side, metric) for side in (first, second)]
    if not first or [len(side) for side in values] != [len(first), len(second)]:
        return None
    means = [sum(side) / len(side) for side in values]
    before, after = _mean_of_resamples(metric, first), _mean_of_resamples(metric, second)
    found = None if before is None or after is None else paired(before, after)
    return PairedDifference(points=means[1] - means[0], interval=None if found is None else found[0])


def shared_seeds(first: Iterable[Measured], second: Iterable[Measured]) -> tuple[list[Measured], list[Measured]]:
    """The records of two models of the seeds that both have, ascending; none where they share no seed."""
    both = pair("", first, second)
    return [both.first[seed] for seed in both.seeds], [both.second[seed] for seed in both.seeds]


def not_significant(found: Mapping[str, PairedDifference]) -> str:
    """The names of those with an interval that contains 0; "all" of them, where there are several."""
    names = [name for name, each in found.items() if each.interval is not None and not each.significant]
    return "all" if 1 < len(names) == len(found) else ", ".join(names)


def _rows(of: Pair) -> Iterator[tuple[CellValue, ...]]:
    """The rows of the seeds, and what they have in common."""
    first, second = shared_seeds(of.first.values(), of.second.values())
    of_seeds = [_of_all_metrics([before], [after]) for before, after in zip(first, second, strict=True)]
    if len(of_seeds) == 1:
        yield _row(of.name, of_seeds[0], second[0])
        return
    yield (of.name, *[None] * len(METRICS), "")
    for after, found in zip(second, of_seeds, strict=True):
        yield _row(f"  seed {after.subject.seed}", found, after)
    yield _row(f"  mean of {len(of_seeds)} seeds", _of_all_metrics(first, second), second[0])
    spreads = [[found[name].points for found in of_seeds if name in found] for name in METRICS.values()]
    texts = [f"{signed(min(points))}..{signed(max(points))}" if points else None for points in spreads]
    yield ("  lowest..highest", *texts, "")


def _of_all_metrics(first: Sequence[Measured], second: Sequence[Measured]) -> dict[str, PairedDifference]:
    found = {name: difference(metric, first, second) for metric, name in METRICS.items()}
    return {name: each for name, each in found.items() if each is not None}


def _row(label: str, found: Mapping[str, PairedDifference], second: Measured) -> tuple[CellValue, ...]:
    """The cells of one row; a reader finds the records of the second model, and from there those of the first."""
    cells = [found[name].number(second.source) if name in found else None for name in METRICS.values()]
    return (label, *cells, not_significant(found))


def _mean_of_resamples(metric: str, found: Sequence[Measured]) -> Float64[np.ndarray, "B"] | None:
    known = [each.resampled[metric] for each in found if metric in each.resampled]
    # A resample without a single object of any class is NaN, and stays it in the mean.
    return np.stack(known).mean(axis=0) if len(known) == len(found) else None


def _reading(pairs: Sequence[Pair]) -> Iterator[str]:
    if not pairs:
        return
    resamples = pairs[0].first[pairs[0].seeds[0]].protocol.get("resamples")
    yield (
        f"A - B: points of A minus those of B. In brackets: 95 % interval, from {resamples} resamples of the images, "
        "the same ones for both. A difference without one is of a record without its resamples."
    )
    yield "Not significant: what has 0 in its interval. Of twenty that do not differ, one is expected to seem to."
    alone = sorted({seed for pair in pairs if len(pair.seeds) == 1 for seed in pair.seeds})
    if alone:
        yield f"Pairs in a single row: seed {', '.join(map(str, alone))} alone."
    if any(len(pair.seeds) > 1 for pair in pairs):
        yield "Mean of seeds: the mean of their differences, resample by resample. Lowest..highest: of the seeds."
    yield "Intervals speak of the choice of images for these weights, not of the noise of training: seeds show that."


def signed(points: float) -> str:
    """A difference with its sign, to one decimal."""
    # Adding zero turns the -0.0 of a small negative difference into 0.0.
    return f"{round(points, 1) + 0.0:+.1f}"
