"""Where the time of a head goes, by stage and part: selection, subdivision, sampling, layers, convolution, pasting.

Runs the head with assembly on the regions of real images, or without images on random regions of a random pyramid of
the size that the paper's images mostly have. Every operation of torch is timed for itself, which costs a little; so the
time of the same pass without this is among the values, as `latency_ms_head`. On a GPU every operation waits for the
one before, and what kernels overlap or launches leave idle is not seen.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from time import perf_counter, thread_time

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.contract import Context, Measurement
from bench.inference.image_run import images_protocol, input_protocol, open_run
from bench.model.assemble import assemble
from bench.model.build import CHANNELS, base_preset, initial_weights, load
from bench.model.segmenter import Segmenter, image_size
from bench.names import HEAD_PARTS
from bench.record import Scalar, Subject, Value, rows
from bench.rulers.clock import NUM_WARM_UP
from bench.rulers.op_clock import OUTSIDE, OpClock, PartTimes
from bench.rulers.parts import PYRAMID_LEVELS
from heads import Detections, MaskHead, Pyramid

VERSION = 1
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False

REPETITIONS = 5
NUM_REGIONS = 100
SIZES = {"paper": (800, 1112)}
SMALL_SIZE = (320, 448)
ORIGINAL_SIZE = (480, 640)
SIDES = (0.03, 0.4)
"""Shortest and longest side of a random region, as shares of the shorter side of the image."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """Input of a head for one image, and the sizes (height, width) that its masks are scored and pasted at."""

    pyramid: Pyramid
    regions: Detections
    input_size: tuple[int, int]
    original_size: tuple[int, int]

    def walk(self, head: MaskHead) -> None:
        """Predict the masks and paste them."""
        assemble(head(self.pyramid, self.regions), self.regions, [self.input_size], [self.original_size])


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say on what, by which clock and how often."""
    images: dict[str, Scalar] = {"images": None}
    if context.data is not None:
        images = {**images_protocol(context), **input_protocol(subject, context)}
    return {
        **images,
        "regions": _num_regions(context) if context.data is None else None,
        "seed": context.seed if context.data is None else None,
        "initial": initial_weights(subject, context),
        "batch": 1,
        "dtype": context.dtype,
        "device": context.device,
        "clock": "thread CPU time" if _on_one_thread(context) else "wall, synchronised",
        "warm_up": NUM_WARM_UP,
        "repetitions": REPETITIONS,
    }


@torch.inference_mode()
def measure(subject: Subject, context: Context) -> Measurement:
    """Clock every image several times and keep the repetition that took the median; values are means over images."""
    now = _now(context)
    budgets: list[PartTimes] = []
    latencies: list[float] = []
    counts: list[int] = []
    for model, given in _inputs(subject, context):
        counts.append(len(given.regions.boxes))
        for _ in range(0 if budgets else NUM_WARM_UP):
            given.walk(model.head)
        clocked = []
        for _ in range(REPETITIONS):
            begin = now()
            given.walk(model.head)
            latencies.append((now() - begin) * 1000)
            with OpClock(now, stages_of(model.head)) as clock:
                given.walk(model.head)
            clocked.append(clock.ms)
        budgets.append(sorted(clocked, key=lambda ms: sum(ms.values()))[REPETITIONS // 2])
    values = [*values_of(budgets), *rows({"latency_ms_head": float(np.median(latencies))}, "ms")]
    values += rows({"regions": float(np.mean(counts))}, "regions")
    return Measurement(values=values)


def values_of(budgets: Sequence[PartTimes]) -> Iterator[Value]:
    """Mean milliseconds of all, of every part and of every part of a stage; what is not there is left out."""
    total: PartTimes = defaultdict(float)
    for budget in budgets:
        for place, ms in budget.items():
            total[place] += ms
    number = len(budgets)
    yield from rows({"clocked_ms": sum(total.values()) / number}, "ms")
    for part in HEAD_PARTS:
        times = [ms for (_, of), ms in total.items() if of == part]
        if times:
            yield from rows({"clocked_ms": sum(times) / number}, "ms", part=part)
    for stage, part in product(sorted({stage for stage, _ in total}), HEAD_PARTS):
        if (stage, part) in total and part not in OUTSIDE:
            yield from rows({"clocked_ms": total[stage, part] / number}, "ms", stage=stage, part=part)


def stages_of(head: MaskHead) -> Sequence[nn.Module]:
    """The stages of a head that has some in a list, in their order."""
    assert isinstance(head, nn.Module)
    return [stage for child in head.children() if isinstance(child, nn.ModuleList) for stage in child]


def random_input(num_regions: int, channels: int, size: tuple[int, int], context: Context) -> Input:
    """Regions of one prediction each, of sides that are uniform in their logarithm, anywhere in an image."""
    generator = torch.Generator().manual_seed(context.seed)
    dtype: torch.dtype = getattr(torch, context.dtype)

    def draw(*shape: int) -> Float[Tensor, "*shape"]:
        return torch.randn(shape, generator=generator).to(context.device, dtype)

    pyramid = {
        level: draw(1, channels, -(-size[0] // 2**level), -(-size[1] // 2**level)).contiguous(
            memory_format=torch.channels_last
        )
        for level in PYRAMID_LEVELS
    }
    low, high = (math.log(share * min(size)) for share in SIDES)
    sides = (low + (high - low) * torch.rand(num_regions, 2, generator=generator)).exp()
    corners = torch.rand(num_regions, 2, generator=generator) * (torch.tensor([size[1], size[0]]) - sides)
    zeros = torch.zeros(num_regions, dtype=torch.long, device=context.device)
    regions = Detections(
        boxes=torch.cat([corners, corners + sides], 1).to(context.device),
        image=zeros,
        queries=draw(num_regions, channels),
        region=torch.arange(num_regions, device=context.device),
        labels=zeros,
        scores=torch.ones(num_regions, device=context.device),
        region_counts=(num_regions,),
        prediction_counts=(num_regions,),
        image_size=size,
    )
    return Input(pyramid=pyramid, regions=regions, input_size=size, original_size=ORIGINAL_SIZE)


def _inputs(subject: Subject, context: Context) -> Iterator[tuple[Segmenter, Input]]:
    """The model with every image of the run, or with the random one."""
    preset = base_preset(subject.preset or "paper")
    if context.data is None:
        model = load(subject, context)
        yield model, random_input(_num_regions(context), CHANNELS[preset], SIZES.get(preset, SMALL_SIZE), context)
        return
    run = open_run(subject, context)
    model = load(subject, context, run.files.category_ids)
    for batch in run:
        pyramid: Pyramid = model.neck(model.backbone(batch.images))
        regions = model.regions(model.detections(pyramid, image_size(batch.images), run.given(batch)))
        yield (
            model,
            Input(
                pyramid=pyramid,
                regions=regions,
                input_size=batch.input_sizes[0],
                original_size=batch.original_sizes[0],
            ),
        )


def _num_regions(context: Context) -> int:
    return NUM_REGIONS if context.regions is None else context.regions


def _on_one_thread(context: Context) -> bool:
    return torch.device(context.device).type == "cpu" and torch.get_num_threads() == 1


def _now(context: Context) -> Callable[[], float]:
    """Seconds. One thread on a CPU has a clock of its own, which does not run while others have the processor."""
    if _on_one_thread(context):
        return thread_time
    device = torch.device(context.device)

    def wall() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return perf_counter()

    return wall
