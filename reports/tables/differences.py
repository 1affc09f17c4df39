"""What separates two models: paired differences with intervals, of each seed and of the mean over the seeds.

Records keep what their accuracy would be on resampled images, drawn alike for all records on the same images. The
difference of two, resample by resample, has a much narrower interval than either: hard images are hard for both.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bench.accuracy.significance import paired
from reports.cells import Number, Source, source_of
from reports.layout import CellValue, Column, Table
from reports.select.trained import COMPARED_METRICS, Result, by_seed, what_differs

_COMPARED = (
    ("mask_rcnn", "point_rend"),
    ("point_rend", "refine_mask"),
    ("refine_mask", "effseg"),
    ("point_rend", "effseg"),
)
"""The paper's claim is that every head draws better outlines than the one before; EffSeg is close to RefineMask++."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models by seed. Tables show the second minus the first, of the seeds that both have."""

    name: str
    first: Mapping[int, Result]
    second: Mapping[int, Result]

    @property
    def seeds(self) -> list[int]:
        """The seeds that both have, ascending."""
        return sorted(self.first.keys() & self.second.keys())


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Points between two results, or between the means of several; `interval` is None where resamples are missing."""

    points: float
    interval: tuple[float, float] | None

    @property
    def significant(self) -> bool:
        """Whether 0 is outside the interval. Without one, nothing is known."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    def number(self, source: Source | None) -> Number:
        """The points as a cell of a column that is shown by `with_interval`."""
        return Number(self.points, interval=self.interval, source=source)


def with_interval(points: float) -> str:
    """A difference as tables show it: +1.2 [0.5, 2.0]."""
    text = _signed(points)
    if not isinstance(points, Number) or points.interval is None:
        return text
    low, high = (round(bound, 1) + 0.0 for bound in points.interval)
    return f"{text} [{low:.1f}, {high:.1f}]"


def pair(name: str, first: Iterable[Result], second: Iterable[Result]) -> Pair:
    """A pair of two models, each given by the results of its seeds."""
    of_first, of_second = ({each.subject.seed: each for each in side} for side in (first, second))
    return Pair(name=name, first=of_first, second=of_second)


def claim(found: Iterable[Result]) -> list[Pair]:
    """The pairs in which the paper says that the second is better, of the heads among these results."""
    heads = {str(seeds[0].subject.head): seeds for seeds in by_seed(found).values() if not seeds[0].storage}
    return [
        pair(f"{heads[second][0].head} - {heads[first][0].head}", heads[first], heads[second])
        for first, second in _COMPARED
        if first in heads and second in heads
    ]


def differences(title: str, pairs: Iterable[Pair]) -> Table:
    """A row for each seed of every pair, and for several seeds one for their mean and one for their spread.

    Results that were measured differently are named in the caption instead. Needs a frame of records in a store.
    """
    rows: list[tuple[CellValue, ...]] = []
    remarks: list[str] = []
    known = [each for each in pairs if each.seeds]
    for each in known:
        comparable = []
        for seed in each.seeds:
            differing = what_differs(each.first[seed], each.second[seed])
            if differing:
                remarks.append(f"{each.name}, seed {seed}: not comparable, measured with another {_list(differing)}.")
            else:
                comparable.append(seed)
        rows += _rows(each, comparable, remarks)
    return Table(
        title=title,
        columns=(
            Column(name="Difference"),
            *(Column(name=name, digits=1, show_as=with_interval) for name in COMPARED_METRICS.values()),
            Column(name="Not significant"),
        ),
        rows=tuple(rows),
        caption=(*_reading(known), *remarks),
    )


def difference(metric: str, first: Sequence[Result], second: Sequence[Result]) -> Difference | None:
    """The mean of the second results minus that of the first ones; None where one of them has no such value.

    All must be of the same images. For several seeds this is the mean of the seeds' differences, and so are the
    resamples that the interval is made of: it is the interval of the mean.
    """
    if not all(metric in result.values for result in (*first, *second)):
        return None
    means = [sum(result.values[metric] for result in side) / len(side) for side in (first, second)]
    before, after = _mean_of_resamples(metric, first), _mean_of_resamples(metric, second)
    found = None if before is None or after is None else paired(before, after)
    return Difference(points=means[1] - means[0], interval=None if found is None else found[0])


def not_significant(found: Mapping[str, Difference]) -> str:
    """The names of those with an interval that contains 0; "all" of them, where there are several."""
    names = [name for name, each in found.items() if each.interval is not None and not each.significant]
    return "all" if 1 < len(names) == len(found) else ", ".join(names)


def _rows(of: Pair, seeds: Sequence[int], remarks: list[str]) -> Iterator[tuple[CellValue, ...]]:
    """The rows of the seeds that can be compared. What keeps them from having a mean is added to the remarks."""
    if not seeds:
        return
    if len(of.seeds) == 1:
        yield _row(of.name, _of_all_metrics(*([side[seeds[0]]] for side in (of.first, of.second))), of.second[seeds[0]])
        return
    yield (of.name, *[None] * len(COMPARED_METRICS), "")
    of_seeds = [_of_all_metrics([of.first[seed]], [of.second[seed]]) for seed in seeds]
    for seed, found in zip(seeds, of_seeds, strict=True):
        yield _row(f"  seed {seed}", found, of.second[seed])
    if len(seeds) < 2:
        return
    first, second = ([side[seed] for seed in seeds] for side in (of.first, of.second))
    differing = [name for other in first[1:] for name in what_differs(first[0], other)]
    if differing:
        remarks.append(f"{of.name}: no mean, the seeds were measured with another {_list(dict.fromkeys(differing))}.")
        return
    yield _row(f"  mean of {len(seeds)} seeds", _of_all_metrics(first, second), second[0])
    spreads = [[found[name].points for found in of_seeds if name in found] for name in COMPARED_METRICS.values()]
    texts = [f"{_signed(min(points))}..{_signed(max(points))}" if points else None for points in spreads]
    yield ("  lowest..highest", *texts, "")


def _of_all_metrics(first: Sequence[Result], second: Sequence[Result]) -> dict[str, Difference]:
    found = {name: difference(metric, first, second) for metric, name in COMPARED_METRICS.items()}
    return {name: each for name, each in found.items() if each is not None}


def _row(label: str, found: Mapping[str, Difference], second: Result) -> tuple[CellValue, ...]:
    """The cells of one row; a reader finds the records of the second result, and from there those of the first."""
    source = next((source_of(value) for value in second.values.values()), None)
    numbers = [found[name].number(source) if name in found else None for name in COMPARED_METRICS.values()]
    return (label, *numbers, not_significant(found))


def _mean_of_resamples(metric: str, results: Sequence[Result]) -> Float64[np.ndarray, "B"] | None:
    known = [result.resampled[metric] for result in results if metric in result.resampled]
    # A resample without a single object of any class is NaN, and stays it in the mean.
    return np.stack(known).mean(axis=0) if len(known) == len(results) else None


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
        yield f"Pairs in a single row: seed {_list(map(str, alone))} alone."
    if any(len(pair.seeds) > 1 for pair in pairs):
        yield "Mean of seeds: the mean of their differences, resample by resample. Lowest..highest: of the seeds."
    yield "Intervals speak of the choice of images for these weights, not of the noise of training: seeds show that."


def _signed(points: float) -> str:
    # Adding zero turns the -0.0 of a small negative difference into 0.0.
    return f"{round(points, 1) + 0.0:+.1f}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
