"""What a machine can do at most, measured: multiply-adds of a dense operation, bytes of a copy, per second.

The two lines of a roofline. Rates are those of the fastest pass, since a roof is what cannot be exceeded.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

from bench.plan import Context
from bench.probes._kernel_times import Clock, time_rivals

PRODUCT_SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of both matrices: large enough that reading them takes no time that counts."""

FEATURES, MAP_SIDE = 256, 64
"""Of the convolution: as many features go in as come out, and the map is in L2 cache."""

COPY_BYTES = 2**28
"""Of the source, and as many of the copy: more than caches hold."""

REPETITIONS = 9
LIMIT_S = 2.0


def roof(clock: Clock, context: Context) -> Mapping[str, float]:
    """`macs_per_s` in the precision of the run, and `bytes_per_s`, read and written bytes together.

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
    return {
        "macs_per_s": max(number / float(ms[name].min()) for name, number in macs.items()) * 1000,
        "bytes_per_s": 2 * COPY_BYTES / float(ms["copy"].min()) * 1000,
    }


def roof_protocol(device: str) -> str:
    """Say what the limits of a machine are those of."""
    kind = torch.device(device).type
    convolution = f" or 3 x 3 convolution of {FEATURES} features" if kind == "cpu" else ""
    return f"fastest product of {PRODUCT_SIDE[kind]}^2 matrices{convolution}, copy of {COPY_BYTES // 2**20} MiB"
