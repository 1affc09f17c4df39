"""How sure is an AP? The bootstrap over images: intervals of one result, and what separates two on the same images.

A resample draws as many images as there are, with repetition: a set of images that could as well have been collected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float64, Int32

from bench.accuracy.average_precision import metrics, same_as_ap
from bench.accuracy.matching import Matches
from bench.accuracy.significance import SIGNIFICANCE, interval, paired
from bench.accuracy.weighted import resampled

_MOST_RESAMPLES = 100_000
_MOST_DRAWN = 2**29
"""Images drawn in all resamples, each of four bytes."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One number of two results on the same images, such as an AP from 0 to 100.

    `interval` is the 95 % one of the difference. `p` is twice the share of resamples in which the difference has the
    other sign or is zero, between 1 / resamples and 1. It is below 0.05 exactly where the interval excludes zero. Both
    are None where the images are too few.
    """

    first: int | float
    second: int | float
    interval: tuple[float, float] | None
    p: float | None

    @property
    def difference(self) -> int | float:
        """The second minus the first."""
        return self.second - self.first

    @property
    def significant(self) -> bool:
        """Whether p is below 0.05. Of 20 metrics that do not differ one is expected to be called significant."""
        return self.p is not None and self.p < SIGNIFICANCE


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """The AP metrics of a result, 0-100, on resampled images: `values[name][b]` is that of resample `b`.

    Metrics whose class no resample has are left out. `exact` are the metrics on the images themselves.
    """

    values: Mapping[str, Float64[np.ndarray, "B"]]
    exact: Mapping[str, float]
    num_images: int

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Between which bounds every metric would lie on other images of the same kind and number.

        Repeated images raise AP, by about a standard deviation: plain percentiles of the resamples may leave out
        the AP itself. So these are percentiles about the mean of the resamples, laid about the AP. They speak of the
        choice of images, not of the training seed. Resamples without any class of a metric are left out; a metric has
        no interval where those left cannot fill both tails, nor from fewer than two images.
        Raises ValueError for a level not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(
                f"The interval's level is {level}; expected a share between 0 and 1; give 0.95 for a 95 % interval."
            )
        found: dict[str, tuple[float, float]] = {}
        for name, values in self.values.items() if self.num_images > 1 else ():
            if (bounds := interval(values, level)) is not None:
                shift = self.exact[name] - float(np.nanmean(values))
                low, high = (min(max(bound + shift, 0.0), 100.0) for bound in bounds)
                found[name] = low, high
        return found


def resample(matches: Matches, *, resamples: int = 1000, seed: int = 0) -> Resampled:
    """Compute the metrics of resampled images. Raises ValueError as `require_drawable`."""
    exact = metrics(matches)
    values = resampled(matches, draw(len(matches.image_ids), resamples, seed))
    return Resampled(
        values={name: of for name, of in values.items() if name in exact},
        exact=exact,
        num_images=len(matches.image_ids),
    )


def intervals(
    matches: Matches, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """The intervals of every metric of a result; see `Resampled.intervals`."""
    return resample(matches, resamples=resamples, seed=seed).intervals(level)


def compare(first: Matches, second: Matches, *, resamples: int = 1000, seed: int = 0) -> dict[str, Comparison]:
    """The AP metrics of two results under the same protocol, on the same images, drawn alike for both.

    Pairing takes out what is common: hard images are hard for both, and repeated images raise both alike, so that the
    intervals are plain percentiles. An AP by frequency that equals `ap` is left out. Raises ValueError where images,
    objects or protocols differ.
    """
    require_pair(first, second)
    weights = draw(len(first.image_ids), resamples, seed)
    before, after = resampled(first, weights), resampled(second, weights)
    values = metrics(first), metrics(second)
    left_out = same_as_ap(first)
    return {
        name: comparison(values[0][name], values[1][name], before[name], after[name], num_images=len(first.image_ids))
        for name in before
        if name in values[0] and name not in left_out
    }


def draw(num_images: int, num_resamples: int, seed: int) -> Int32[np.ndarray, "B I"]:
    """How often each image is drawn in each resample: the same for the same numbers and seed, whatever the result.

    Raises ValueError as `require_drawable`.
    """
    require_drawable(num_resamples, seed)
    if num_resamples * num_images > _MOST_DRAWN:
        raise ValueError(
            f"Asked for {num_resamples} resamples of {num_images} images; expected {_MOST_DRAWN // num_images} at "
            "most, for memory; give fewer, 1000 are usual."
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    weights = np.zeros((num_resamples, num_images), dtype=np.int32)
    if num_images > 0:
        for row in weights:
            row[:] = np.bincount(generator.integers(num_images, size=num_images), minlength=num_images)
    return weights


def require_drawable(num_resamples: int, seed: int, *, fewest: int = 1) -> None:
    """Raise ValueError for fewer resamples than `fewest` or more than anybody needs, and for a negative seed."""
    if num_resamples < fewest:
        raise ValueError(f"Asked for {num_resamples} resamples; expected at least {fewest}; give more, 1000 are usual.")
    if num_resamples > _MOST_RESAMPLES:
        raise ValueError(
            f"Asked for {num_resamples} resamples; expected {_MOST_RESAMPLES} at most; give fewer, 1000 are usual."
        )
    if seed < 0:
        raise ValueError(f"The seed of the resamples is {seed}; expected a whole number from 0 on; use 0, as usual.")


def comparison(
    first: float,
    second: float,
    before: Float64[np.ndarray, "B"],
    after: Float64[np.ndarray, "B"],
    *,
    num_images: int,
) -> Comparison:
    """What separates two values, from their values on the same resamples of so many images."""
    found = paired(before, after) if num_images > 1 else None
    bounds, p = (None, None) if found is None else found
    return Comparison(first=first, second=second, interval=bounds, p=p)


def require_pair(first: Matches, second: Matches) -> None:
    """Raise ValueError where the images, objects or protocols of two results differ."""
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
            "paired comparison needs the same images; name those that they have in common as `images`."
        )
    if not all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("category_ids", "truth_image", "truth_category", "truth_ignored")
    ):
        raise ValueError(
            "The two results were scored on different annotations of the same images. A comparison needs the same "
            "objects for both; score both with one annotation file."
        )
