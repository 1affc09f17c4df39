"""Times of a kernel and its rivals, taken in turn, and what follows from them: speed-up, time over Dense, eta."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import thread_time
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from bench.backends.dense_layouts import LAYOUTS
from bench.backends.peers import COMPILED, SPCONV
from bench.backends.rivals import NAIVE, NAIVE_FLOAT32, OURS, Rivals
from bench.rulers.in_turn import alternate
from bench.rulers.repeated import Repeated
from bench.store import Array

ClockKind = Literal["thread", "wall"]
"""`thread`: CPU time of the only thread, which a busy machine stretches least. `wall`: all threads, or a GPU."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """Milliseconds of every round by rival, and the share of the cells that are active."""

    ms: dict[str, Float[np.ndarray, "N"]]
    active_fraction: float

    @property
    def dense_layout(self) -> str:
        """The layout in which Dense has the lower median."""
        return min(LAYOUTS, key=lambda layout: float(np.median(self.ms[layout])))

    def quantities(self) -> Iterator[Repeated]:
        """Quantities of every round: neighbours in time, whose ratio survives a busy machine.

        `eta` is the sparsity efficiency, active fraction x Dense / ours: 1 where a kernel costs exactly its share of
        the cells.
        """
        ours, naive, dense = (self.ms[name] for name in (OURS, NAIVE, self.dense_layout))
        yield Repeated(name="ms", array=ours, unit="ms")
        yield Repeated(name="naive_ms", array=naive, unit="ms")
        yield Repeated(name="dense_ms", array=dense, unit="ms")
        yield Repeated(name="speedup", array=naive / ours)
        yield Repeated(name="ratio", array=ours / dense)
        yield Repeated(name="eta", array=self.active_fraction * dense / ours)
        if NAIVE_FLOAT32 in self.ms:
            yield Repeated(name="speedup_float32", array=self.ms[NAIVE_FLOAT32] / ours)
        if COMPILED in self.ms:
            yield Repeated(name="compiled_dense_ms", array=self.ms[COMPILED], unit="ms")
            yield Repeated(name="compiled_ratio", array=ours / self.ms[COMPILED])
        if SPCONV in self.ms:
            yield Repeated(name="spconv_ms", array=self.ms[SPCONV], unit="ms")
            yield Repeated(name="spconv_ratio", array=ours / self.ms[SPCONV])


def time_rivals(rivals: Rivals, clock: ClockKind, device: str, *, repetitions: int, limit_s: float) -> dict[str, Array]:
    """Milliseconds of every repetition of every rival, as `alternate` orders them."""
    if clock == "wall":
        return alternate(rivals, device, repetitions=repetitions, limit_s=limit_s)
    times: dict[str, list[float]] = {name: [] for name in rivals}

    def clocked(name: str) -> Callable[[], None]:
        def run() -> None:
            begin = thread_time()
            rivals[name]()
            times[name].append((thread_time() - begin) * 1000)

        return run

    with _one_thread():
        alternate({name: clocked(name) for name in rivals}, device, repetitions=repetitions, limit_s=limit_s)
    # The first pass of each is the warm-up.
    return {name: np.array(of_rival[1:]) for name, of_rival in times.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(number)
