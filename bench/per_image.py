"""Which values of a record were made of one number per image, and how: what can be had on resampled images too.

Records keep these numbers as arrays of their samples. A rule by names finds them, and counts only where it gives the
value itself, so that a probe of one's own that uses a name otherwise is not misread. Imports no torch.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bench.names import MODEL_PARTS
from bench.record import Value
from bench.store import Array

Statistic = Callable[[Float[np.ndarray, "B I"]], Float[np.ndarray, "B"]]
"""A number of every resample from those of its images."""

_RELATIVE = 1e-9
"""How exactly a rule must give the value: the order of a sum may differ, nothing else."""


@dataclass(frozen=True, kw_only=True)
class PerImage:
    """A number for every image [I], and what makes the value of them."""

    array: Float[np.ndarray, "I"]
    statistic: Statistic


def per_image(value: Value, samples: Mapping[str, Array], num_images: int) -> PerImage | None:
    """The numbers that a value was made of; None where the samples do not have them.

    The mean of the array of its name; `x_median` is the median of `x_total`, and at a place that of `x_<place>`. So
    the probes name their arrays; what they call otherwise are rates, the whole of multiply-adds and isolated heads.
    """
    for names, statistic in _rules(value):
        arrays = [samples[name] for name in names if name in samples]
        if len(arrays) < len(names) or any(array.shape != (num_images,) for array in arrays):
            continue
        found = PerImage(array=np.stack(arrays).sum(axis=0, dtype=np.float64), statistic=statistic)
        if np.isclose(statistic(found.array[None])[0], value.value, rtol=_RELATIVE, atol=0):
            return found
    return None


def _rules(value: Value) -> Iterator[tuple[tuple[str, ...], Statistic]]:
    """Names of arrays, which are summed, and the statistic of their sum."""
    stem = value.name.removesuffix("_median")
    if stem != value.name:
        yield (f"{stem}_{'_'.join(map(str, value.at.values())) or 'total'}",), _median
    elif not value.at:
        yield (value.name,), _mean
        yield from _OTHERS.get(value.name, ())


def _mean(numbers: Float[np.ndarray, "B I"]) -> Float[np.ndarray, "B"]:
    return np.asarray(numbers.mean(axis=1))


def _median(numbers: Float[np.ndarray, "B I"]) -> Float[np.ndarray, "B"]:
    return np.asarray(np.median(numbers, axis=1))


def _mean_rate(ms: Float[np.ndarray, "B I"]) -> Float[np.ndarray, "B"]:
    return np.asarray((1000 / ms).mean(axis=1))


def _throughput(ms: Float[np.ndarray, "B I"]) -> Float[np.ndarray, "B"]:
    return np.asarray(1000 / ms.mean(axis=1))


_OTHERS: dict[str, tuple[tuple[tuple[str, ...], Statistic], ...]] = {
    "macs": ((tuple(f"macs_{part}" for part in MODEL_PARTS), _mean),),
    "fps_paper": ((("latency_ms_total",), _mean_rate), (("latency_ms_whole",), _mean_rate)),
    "fps_throughput": ((("latency_ms_total",), _throughput),),
    "fps_detector": ((("latency_ms_detector",), _mean_rate),),
    "fps_head_isolated": ((("latency_ms_head",), _mean_rate),),
    "latency_ms_head_isolated": ((("latency_ms_head",), _median),),
}
