"""The fastest that the SFM of a stage can be on a GPU: its arithmetic, its memory or its gathers, whichever is slowest.

The peaks are those of data sheets, and that of the L2 cache is an assumption: nothing here was measured.
"""

from dataclasses import dataclass

import torch

NUM_TAPS = 27
INDEX_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What a GPU can do at most, per second."""

    flops: dict[str, float]
    memory_bytes: float
    cache_bytes: float


PEAKS = {
    "H100": Peaks(
        flops={"float32": 67e12, "tf32": 494e12, "bfloat16": 989e12, "float16": 989e12},
        memory_bytes=3.35e12,
        cache_bytes=5.5e12,
    )
}
"""By a part of the GPU's name: the SXM version, dense matrix products."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Size of an SFM: active cells, passive features, cells of all lattices, feature size, bytes of one number."""

    active: int
    passive: int
    cells: int
    features: int
    number_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-adds of the convolutions as they are defined; a kernel may find a way with fewer."""
        return NUM_TAPS * self.features**2 * self.active

    @property
    def needed_bytes(self) -> int:
        """Bytes that any method moves: all features, their index and the weights read once, the result written once."""
        numbers = (2 * self.active + self.passive) * self.features + NUM_TAPS * self.features**2
        return numbers * self.number_bytes + (self.cells + self.active) * INDEX_BYTES


def limit_ms(work: Work, peaks: Peaks, arithmetic: str) -> float:
    """The longest of three times: products, every byte once from memory, every gathered row from the cache."""
    products = 2 * work.macs / peaks.flops[arithmetic]
    memory = work.needed_bytes / peaks.memory_bytes
    gathered = NUM_TAPS * work.active * (work.features * work.number_bytes + INDEX_BYTES)
    return 1000 * max(products, memory, gathered / peaks.cache_bytes)


def peaks_of(device: str) -> Peaks | None:
    """Peaks of a device; None where none are known."""
    if torch.device(device).type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peaks for part, peaks in PEAKS.items() if part in name), None)


def arithmetic_of(dtype: str) -> str:
    """Which of the peaks counts for a dtype: float32 may be multiplied as TF32."""
    is_tf32 = dtype == "float32" and torch.backends.cuda.matmul.fp32_precision == "tf32"
    return "tf32" if is_tf32 else dtype
