"""Where the time of a head goes, by stage and part: selection, subdivision, sampling, layers, convolution, pasting.

Runs the head with assembly on the regions of real images, or without images on random regions of a random pyramid of
the size that the paper's images mostly have. Every operation of torch is timed for itself, which costs a little; so the
time of the same pass without this is among the values, as `latency_ms_head`. On a GPU every operation waits for the
one before, and what kernels overlap or launches leave idle is not seen.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from time import perf_counter, thread_time

import numpy as np
import torch
from torch import nn

from bench.contract import Context, Measurement
from bench.inference.image_run import images_protocol, input_protocol, open_run
from bench.model.build import base_preset, initial_weights, load
from bench.model.segmenter import Segmenter, image_size
from bench.names import HEAD_PARTS
from bench.record import Scalar, Subject, Value, rows
from bench.rulers.clock import NUM_WARM_UP
from bench.rulers.op_clock import OUTSIDE, OpClock, PartTimes
from bench.rulers.random_input import Input, random_input
from heads import MaskHead, Pyramid

VERSION = 1
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False

REPETITIONS = 5
NUM_REGIONS = 100


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


def _inputs(subject: Subject, context: Context) -> Iterator[tuple[Segmenter, Input]]:
    """The model with every image of the run, or with the random one."""
    preset = base_preset(subject.preset or "paper")
    if context.data is None:
        model = load(subject, context)
        yield model, random_input(_num_regions(context), preset, context)
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
