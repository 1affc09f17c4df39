"""Time rivals in turn, so that a busy or warming machine slows all of them: only their ratio is to be trusted."""

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float

from bench.rulers.clock import Clock

MIN_REPETITIONS = 3


@torch.inference_mode()
def alternate(
    rivals: Mapping[str, Callable[[], object]],
    device: str,
    *,
    repetitions: int,
    limit_s: float,
    at_least: int = MIN_REPETITIONS,
    warm_up: Iterable[str] | None = None,
) -> dict[str, Float[np.ndarray, "N"]]:
    """Milliseconds of every repetition of every rival, after one pass each that does not count, or of `warm_up` alone.

    Repetition i of one rival is next in time to repetition i of the others; every second round runs backwards, which
    cancels a steady drift. Stops early when `limit_s` seconds are over, but not before `at_least` rounds. What a rival
    raises passes through, in the order of `rivals`.
    """
    for name in rivals if warm_up is None else warm_up:
        rivals[name]()
    order = list(rivals)
    times: dict[str, list[float]] = {name: [] for name in rivals}
    begin = perf_counter()
    for done in range(repetitions):
        if done >= at_least and perf_counter() - begin > limit_s:
            break
        for name in order:
            clock = Clock(device)
            rivals[name]()
            clock("all")
            times[name].append(clock.total_ms)
        order.reverse()
    return {name: np.array(of_rival) for name, of_rival in times.items()}
