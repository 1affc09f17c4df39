"""What the probes that measure time share: the clock, the warm-up, the protocol, the units."""

from time import perf_counter

import torch

from bench.build import initial_weights
from bench.plan import Context
from bench.probes._images import images_protocol
from bench.record import Scalar, Subject

NUM_WARM_UP = 2
"""Passes over the first image that do not count: they meet cold caches and, on a GPU, compile kernels."""


def timing_protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what was run; the machine is in the record."""
    return {
        **images_protocol(context),
        "batch": 1,
        "dtype": context.dtype,
        "device": context.device,
        "warm_up": NUM_WARM_UP,
        "paste": "box extent, original size",
        "initial": initial_weights(subject, context),
    }


def unit(name: str) -> str:
    """Unit of a value of the timing probes."""
    if name.startswith("latency_ms"):
        return "ms"
    return "1/s" if name.startswith("fps") else "images" if name.startswith("images") else "regions"


class Clock:
    """Measures the phases of one image: call it with the name of each when it ends. `ms` holds them in order."""

    def __init__(self, device: str) -> None:
        self.ms: dict[str, float] = {}
        self._device = torch.device(device)
        self._start = self._now()

    def __call__(self, phase: str) -> None:
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
