"""What each kind of error costs: dAP, the AP50 that would be gained were it mended, with intervals and comparisons.

Kinds of errors hide each other, so that their dAP do not add up to what is missing to 100.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bench.accuracy.average_precision import Average, means
from bench.accuracy.bootstrap import Comparison, comparison, draw, require_pair
from bench.accuracy.errors import REPAIRS, Errors
from bench.accuracy.protocol import AREA_NAMES
from bench.accuracy.significance import interval
from bench.accuracy.weighted import resampled_means


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Points of AP50 that mending an error would give. `at` says which error, and of which size or class, if of one.

    `resampled` are those on resampled images, NaN where a resample has no object; there are none without resamples.
    """

    at: Mapping[str, str]
    value: float
    resampled: Float64[np.ndarray, "B"]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval; None where the resamples are too few.

        Repeated images raise AP as it is by more than AP once it is mended: as in `Resampled.intervals`, percentiles
        about the mean of the resamples are laid about the gain.
        """
        found = interval(self.resampled, 0.95)
        if found is None:
            return None
        shift = self.value - float(np.nanmean(self.resampled))
        low, high = (min(max(bound + shift, min(self.value, 0.0)), 100.0) for bound in found)
        return low, high


def gains(errors: Errors, *, resamples: int = 1000, seed: int = 0) -> list[Gain]:
    """The gain of mending each error alone: of all objects, then by size, then by class.

    AP is a mean over the classes that have an object, as everywhere here, before and after: a class whose objects are
    no longer asked for leaves the mean. Without intervals for 0 resamples, and from fewer than two images.
    Raises ValueError as `require_drawable`.
    """
    places, averages = zip(*_parts(errors), strict=True)
    drawn = resamples if len(errors.image_ids) > 1 else 0
    weights = draw(len(errors.image_ids), drawn, seed) if drawn else np.zeros((0, len(errors.image_ids)), np.int32)

    def scored(repair: str | None) -> tuple[list[float | None], Float64[np.ndarray, "N B"]]:
        table = errors.mended(repair)
        return means(table, averages), resampled_means(table, averages, weights)

    before, before_redrawn = scored(None)
    after = {repair: scored(repair) for repair in REPAIRS}
    found = []
    for row, place in enumerate(places):
        for repair, (values, redrawn) in after.items():
            first, second = before[row], values[row]
            if first is not None and second is not None:
                at = {"error": repair, **place}
                found.append(Gain(at=at, value=second - first, resampled=redrawn[row] - before_redrawn[row]))
    return found


def compare(
    first: Errors, second: Errors, *, resamples: int = 1000, seed: int = 0
) -> Iterator[tuple[Mapping[str, str], Comparison]]:
    """What separates the gains of two results under the same protocol, on the same images, drawn alike for both.

    Raises ValueError where images, objects or protocols differ.
    """
    require_pair(first.mended(), second.mended())
    ours, theirs = (gains(each, resamples=resamples, seed=seed) for each in (first, second))
    known = {frozenset(gain.at.items()): gain for gain in theirs}
    for before in ours:
        after = known.get(frozenset(before.at.items()))
        if after is not None:
            yield (
                before.at,
                comparison(
                    before.value,
                    after.value,
                    before.resampled,
                    after.resampled,
                    num_images=len(first.image_ids),
                ),
            )


def _parts(errors: Errors) -> Iterator[tuple[dict[str, str], Average]]:
    """Everything, the sizes and the classes: the place of each on the axes of a record, and the mean of AP it is."""
    classes = np.eye(len(errors.category_ids), dtype=bool)
    every = np.ones(len(classes), bool)
    for area, name in enumerate(AREA_NAMES[: len(errors.protocol.areas)]):
        yield {"size": name} if area else {}, Average(area=area, thresholds=(0,), classes=every)
    for name, only in zip(errors.category_names, classes, strict=True):
        yield {"category": name}, Average(area=0, thresholds=(0,), classes=only)
