"""What a machine can do at most: measured, as the two lines of a roofline, and by the data sheet of a GPU.

Measured are the multiply-adds of a dense operation and the bytes of a copy, per second, of the fastest pass, since a
roof is what cannot be exceeded. Of a GPU whose data sheet is known, `limit_ms` says how fast the SFM of a stage can be:
its arithmetic, its memory or its gathers, whichever is slowest. The peak of its L2 cache is an assumption.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from bench.backends.rival_times import ClockKind, time_rivals
from bench.contract import Context
from bench.record import Value

PRODUCT_SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of both matrices: large enough that reading them takes no time that counts."""

FEATURES, MAP_SIDE = 256, 64
"""Of the convolution: as many features go in as come out, and the map is in L2 cache."""

COPY_BYTES = 2**28
"""Of the source, and as many of the copy: more than caches hold."""

REPETITIONS = 9
LIMIT_S = 2.0

NUM_TAPS = 27
INDEX_BYTES = 4


def roof(clock: ClockKind, context: Context) -> Iterator[Value]:
    """`roof_macs_per_s` in the precision of the run, `roof_bytes_per_s` of read and written bytes together.

    On a CPU, torch's matrix product and its convolution are those of two libraries, of which one may not know the
    processor: the faster counts. On a GPU the convolution may round to TF32 where the product does not.
    """
    dtype: torch.dtype = getattr(torch, context.dtype)
    device = torch.device(context.device)
    generator = torch.Generator().manual_seed(context.seed)
    side = PRODUCT_SIDE[device.type]
    left, right = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.ones(COPY_BYTES, dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    rivals: dict[str, Callable[[], object]] = {
        "product": lambda: torch.mm(left, right, out=product),
        "copy": lambda: copy.copy_(source),
    }
    macs = {"product": side**3}
    if device.type == "cpu":
        features = torch.randn(1, FEATURES, MAP_SIDE, MAP_SIDE, generator=generator).to(dtype)
        features = features.contiguous(memory_format=torch.channels_last)
        weight = torch.randn(FEATURES, FEATURES, 3, 3, generator=generator).to(dtype)
        rivals["convolution"] = lambda: F.conv2d(features, weight)
        macs["convolution"] = 9 * FEATURES**2 * (MAP_SIDE - 2) ** 2
    ms = time_rivals(rivals, clock, context.device, repetitions=REPETITIONS, limit_s=LIMIT_S)
    macs_per_s = max(number / float(ms[name].min()) for name, number in macs.items()) * 1000
    bytes_per_s = 2 * COPY_BYTES / float(ms["copy"].min()) * 1000
    yield Value(name="roof_macs_per_s", value=macs_per_s, unit="MACs/s", at={"clock": clock})
    yield Value(name="roof_bytes_per_s", value=bytes_per_s, unit="bytes/s", at={"clock": clock})


def roof_protocol(device: str) -> str:
    """Say what the limits of a machine are those of."""
    kind = torch.device(device).type
    convolution = f" or 3 x 3 convolution of {FEATURES} features" if kind == "cpu" else ""
    return f"fastest product of {PRODUCT_SIDE[kind]}^2 matrices{convolution}, copy of {COPY_BYTES // 2**20} MiB"


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """Peak rates of a GPU, per second."""

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
