"""How sure is an AP? The bootstrap over images: intervals of one result, and what separates two on the same images.

A resample draws as many images as there are, with repetition: a set of images that could as well have been collected.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float64, Int32

from bench.accuracy.average_precision import metrics, same_as_ap
from bench.accuracy.matching import Matches
from bench.accuracy.weighted import resampled

_SIGNIFICANCE = 0.05
_NOISE = 1e-9
"""Points of AP below which two resampled values are equal: the order of a sum is no difference."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric of two results on the same images, 0-100; `interval` is the 95 % one of the difference.

    `p` is twice the share of resamples in which the difference has the other sign or is zero, between 1 / resamples
    and 1. It is below 0.05 exactly where the interval excludes zero. Both are None where the images are too few.
    """

    first: float
    second: float
    interval: tuple[float, float] | None
    p: float | None

    @property
    def difference(self) -> float:
        """The second minus the first."""
        return self.second - self.first

    @property
    def significant(self) -> bool:
        """Whether p is below 0.05. Of 20 metrics that do not differ one is expected to be called significant."""
        return self.p is not None and self.p < _SIGNIFICANCE


def intervals(
    matches: Matches, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Between which bounds every AP metric, 0-100, would lie on other images of the same kind and number.

    Repeated images raise AP, by about a standard deviation: plain percentiles of the resamples may leave out
    the AP itself. So these are percentiles about the mean of the resamples, laid about the AP. They speak of the choice
    of images, not of the training seed. Resamples without any class of a metric are left out; a metric has no interval
    where those left cannot fill both tails, nor from fewer than two images.
    Raises ValueError for a level not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(
            f"The interval's level is {level}; expected a share between 0 and 1; give 0.95 for a 95 % interval."
        )
    if len(matches.image_ids) < 2:
        return {}
    values = resampled(matches, draw(len(matches.image_ids), resamples, seed))
    found = {}
    for name, exact in metrics(matches).items():
        if name in values and (bounds := _interval(values[name], level)) is not None:
            shift = exact - float(np.nanmean(values[name]))
            low, high = (min(max(bound + shift, 0.0), 100.0) for bound in bounds)
            found[name] = low, high
    return found


def compare(first: Matches, second: Matches, *, resamples: int = 1000, seed: int = 0) -> dict[str, Comparison]:
    """The AP metrics of two results under the same protocol, on the same images, drawn alike for both.

    Pairing takes out what is common: hard images are hard for both, and repeated images raise both alike, so that the
    intervals are plain percentiles. An AP by frequency that equals `ap` is left out. Raises ValueError where images,
    objects or protocols differ.
    """
    _require_pair(first, second)
    weights = draw(len(first.image_ids), resamples, seed)
    before, after = resampled(first, weights), resampled(second, weights)
    values = metrics(first), metrics(second)
    left_out = same_as_ap(first)
    return {
        name: _comparison(values[0][name], values[1][name], after[name] - before[name], num_images=len(first.image_ids))
        for name in before
        if name in values[0] and name not in left_out
    }


def draw(num_images: int, num_resamples: int, seed: int) -> Int32[np.ndarray, "B I"]:
    """How often each image is drawn in each resample: the same for the same numbers and seed, whatever the result.

    Raises ValueError as `require_drawable`.
    """
    require_drawable(num_resamples, seed)
    generator = np.random.Generator(np.random.PCG64(seed))
    weights = np.zeros((num_resamples, num_images), dtype=np.int32)
    if num_images > 0:
        for row in weights:
            row[:] = np.bincount(generator.integers(num_images, size=num_images), minlength=num_images)
    return weights


def require_drawable(num_resamples: int, seed: int, *, fewest: int = 1) -> None:
    """Raise ValueError for fewer resamples than `fewest`, and for a negative seed."""
    if num_resamples < fewest:
        raise ValueError(f"Asked for {num_resamples} resamples; expected at least {fewest}; 1000 are usual.")
    if seed < 0:
        raise ValueError(f"The seed of the resamples is {seed}; expected a whole number from 0 on; 0 is usual.")


def _interval(values: Float64[np.ndarray, "B"], level: float) -> tuple[float, float] | None:
    """The resamples that cut off the tails, each at most half of what the level leaves; None where a tail is empty."""
    ordered = np.sort(values[~np.isnan(values)])
    tail = len(ordered) * (1 - level) / 2
    # 1000 * (1 - 0.95) / 2 is 25.00000000000002: a tail of 25, not 26.
    cut = math.ceil(tail - 1e-9) - 1
    if tail < 1 - 1e-9:
        return None
    return float(ordered[cut]), float(ordered[-1 - cut])


def _comparison(first: float, second: float, differences: Float64[np.ndarray, "B"], *, num_images: int) -> Comparison:
    values = differences[~np.isnan(differences)]
    values = np.where(np.abs(values) < _NOISE, 0.0, values)
    interval = _interval(values, 1 - _SIGNIFICANCE) if num_images > 1 else None
    p = None
    if interval is not None:
        fewer = min(int((values <= 0).sum()), int((values >= 0).sum()))
        p = min(max(2 * fewer, 1) / len(values), 1.0)
    return Comparison(first=first, second=second, interval=interval, p=p)


def _require_pair(first: Matches, second: Matches) -> None:
    renamed = replace(second.protocol, name=first.protocol.name)
    different = [
        f"{field.name} {getattr(first.protocol, field.name)} and {getattr(renamed, field.name)}"
        for field in fields(renamed)
        if getattr(first.protocol, field.name) != getattr(renamed, field.name)
    ]
    if different:
        raise ValueError(
            f"The two results were scored by different protocols: {'; '.join(different)}. A comparison needs the same "
            "rules for both; score both by one protocol."
        )
    if not np.array_equal(first.image_ids, second.image_ids):
        only = (
            len(np.setdiff1d(first.image_ids, second.image_ids)),
            len(np.setdiff1d(second.image_ids, first.image_ids)),
        )
        raise ValueError(
            f"The two results are on different images: {only[0]} only in the first, {only[1]} only in the second. A "
            "paired comparison needs the same images; name those that they have in common (--images)."
        )
    if not all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("category_ids", "truth_image", "truth_category", "truth_ignored")
    ):
        raise ValueError(
            "The two results were scored on different annotations of the same images. A comparison needs the same "
            "objects for both; score both with one annotation file."
        )
