"""A clock for the phases of one image, and how many passes do not count."""

from time import perf_counter

import torch

NUM_WARM_UP = 2
"""Passes over the first image that do not count: they meet cold caches and, on a GPU, compile kernels."""


class Clock:
    """Measures the phases of one image: call it with the name of each when it ends. `ms` holds them in order."""

    def __init__(self, device: str) -> None:
        self.ms: dict[str, float] = {}
        self._device = torch.device(device)
        self._start = self._now()

    def __call__(self, phase: str) -> None:
        """End a phase, and begin the next one."""
        now = self._now()
        self.ms[phase] = (now - self._start) * 1000
        self._start = now

    @property
    def total_ms(self) -> float:
        """The sum of all phases."""
        return sum(self.ms.values())

    def _now(self) -> float:
        # Work on a GPU is only queued: without waiting, its time would be charged to a later phase.
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return perf_counter()
