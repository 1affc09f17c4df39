"""From resampled values to intervals and p-values. Imports nothing but numpy, so that reports can use it on records."""

import math

import numpy as np
from jaxtyping import Float64

SIGNIFICANCE = 0.05

_NOISE = 1e-9
"""Points of AP below which two resampled values are equal: the order of a sum is no difference."""


def interval(values: Float64[np.ndarray, "B"], level: float) -> tuple[float, float] | None:
    """The resamples that cut off the tails, each at most half of what the level leaves; None where a tail is empty.

    NaN are resamples without the value; they are left out.
    """
    ordered = np.sort(values[~np.isnan(values)])
    tail = len(ordered) * (1 - level) / 2
    # 1000 * (1 - 0.95) / 2 is 25.00000000000002: a tail of 25, not 26.
    cut = math.ceil(tail - 1e-9) - 1
    if tail < 1 - 1e-9:
        return None
    return float(ordered[cut]), float(ordered[-1 - cut])


def paired(
    first: Float64[np.ndarray, "B"], second: Float64[np.ndarray, "B"]
) -> tuple[tuple[float, float], float] | None:
    """The 95 % interval of second minus first, resample by resample, and the two-sided p; None where too few.

    p is twice the share of resamples in which the difference has the other sign or is zero, from 1 / resamples to 1.
    """
    differences = second - first
    values = differences[~np.isnan(differences)]
    values = np.where(np.abs(values) < _NOISE, 0.0, values)
    bounds = interval(values, 1 - SIGNIFICANCE)
    if bounds is None:
        return None
    fewer = min(int((values <= 0).sum()), int((values >= 0).sum()))
    return bounds, min(max(2 * fewer, 1) / len(values), 1.0)
