"""Where a sparse method stops being cheaper than a dense one: crossings of a cost ratio with 1, and their interval."""

import numpy as np
from jaxtyping import Float

_RESAMPLES = 2000


def num_crossings(log_ratios: Float[np.ndarray, "N"]) -> int:
    """How often the cheaper method changes along the axis. A ratio of exactly 1 is not cheaper."""
    cheaper = log_ratios < 0
    return int((cheaper[1:] != cheaper[:-1]).sum())


def first_crossing(places: Float[np.ndarray, "N"], log_ratios: Float[np.ndarray, "N"]) -> float | None:
    """Where the method that is cheaper at the first place stops being so; None where it never does.

    Between two places the logarithm of the ratio is a line in the logarithm of the place: a sparse method's cost is
    nearly a power of the active fraction.
    """
    cheaper = log_ratios < 0
    changed = np.flatnonzero(cheaper != cheaper[0])
    return None if len(changed) == 0 else _between(places, log_ratios, int(changed[0]))


def crossing_interval(
    places: Float[np.ndarray, "N"], log_ratios: list[Float[np.ndarray, "_"]], generator: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of the first crossing of the medians, by drawing the repetitions of every place anew.

    A resample that does not cross counts as the end of the axis at which it would: the interval ends at the last
    place where the data cannot tell a crossing from none.
    """
    medians = np.stack([_resampled_medians(of_place, generator) for of_place in log_ratios], axis=1)
    first_cheaper = bool(np.median(log_ratios[0]) < 0)
    crossings = [_within(places, of_resample, first_cheaper) for of_resample in medians]
    low, high = np.percentile(crossings, [2.5, 97.5])
    return float(low), float(high)


def _resampled_medians(
    log_ratios: Float[np.ndarray, "N"], generator: np.random.Generator
) -> Float[np.ndarray, "resamples"]:
    drawn = generator.integers(len(log_ratios), size=(_RESAMPLES, len(log_ratios)))
    return np.median(log_ratios[drawn], axis=1)


def _within(places: Float[np.ndarray, "N"], log_ratios: Float[np.ndarray, "N"], first_cheaper: bool) -> float:
    """Where `first_cheaper` stops to hold: the first place if it never does, the last if it always does."""
    changed = (log_ratios < 0) != first_cheaper
    if not changed.any():
        return float(places[-1])
    index = int(changed.argmax())
    return float(places[0]) if index == 0 else _between(places, log_ratios, index)


def _between(places: Float[np.ndarray, "N"], log_ratios: Float[np.ndarray, "N"], index: int) -> float:
    """Where the line between the places `index - 1` and `index` is zero."""
    before, after = float(log_ratios[index - 1]), float(log_ratios[index])
    low, high = float(places[index - 1]), float(places[index])
    return float(low * (high / low) ** (before / (before - after)))
