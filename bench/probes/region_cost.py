"""The head alone at equal numbers of regions: multiply-adds and latency of one image with 10, 50 and 100 given regions.

How many regions a head computes at its own pace is the detector's affair: a head with masks per class has one for every
prediction, others one for every query. Here all heads get the same random regions of the same random pyramid, of the
size that the preset's images mostly have, and no image is read. What a head does once for an image is in every number,
so ten regions are not a tenth of a hundred.

Multiply-adds are counted as `macs_head` of `flops` is, with the paper's pasting on whole canvases. The latency is that
of phase `head` of `speed`: from pyramid and regions to the last stage, without the scoring and pasting that follow
every head alike. It is the median of repetitions that take turns with those of the other numbers, between their
quartiles; one pass before them, with the fewest regions, does not count.

Random features cost what real ones do: how many cells a head refines depends on its number of regions, not on what they
show. That is so of EffSeg too, whose budget is used up at these numbers; which cells it chooses, and with it how well
caches serve it, is real with trained weights on real images alone: `speed` has that.
"""

from functools import partial

import torch

from bench.contract import Context, Measurement
from bench.model.build import base_preset, initial_weights, load, outline
from bench.model.segmenter import Segmenter
from bench.record import Scalar, Subject, Value, rows
from bench.rulers.in_turn import alternate
from bench.rulers.multiply_adds import Count, count_torch, counting
from bench.rulers.parts import HeadPart
from bench.rulers.random_input import SIZES, Input, random_input
from bench.rulers.repeated import Repeated

VERSION = 1
TIMED = True
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False
OWN_FILES = True

NUMBERS = (10, 50, 100)
REPETITIONS = 5
MIN_REPETITIONS = 2
LIMIT_S = 1.0
"""A slow head is repeated less often than a fast one: no more once these seconds are over."""


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say at how many regions, of what size of image, and how often."""
    height, width = SIZES[base_preset(subject.preset or "paper")]
    return {
        "regions": ", ".join(map(str, _numbers(context))),
        "input_size": f"{height} x {width}",
        "seed": context.seed,
        "initial": initial_weights(subject, context),
        "batch": 1,
        "dtype": context.dtype,
        "device": context.device,
        "warm_up": 1,
        "repetitions": f"{MIN_REPETITIONS} to {REPETITIONS}",
    }


def measure(subject: Subject, context: Context) -> Measurement:
    """Count on meta tensors, then time; a row of each for every number of regions."""
    numbers = _numbers(context)
    given = random_input(max(numbers), base_preset(subject.preset or "paper"), context)
    values: list[Value] = []
    uncounted: set[str] = set()
    shapes = outline(subject, context).eval()
    for number in numbers:
        count = _count(shapes, given.first(number))
        uncounted |= count.uncounted.keys()
        values += rows({"macs_head": count.total}, "MACs", regions=number)
    head = load(subject, context).head
    walks = {str(number): partial(head, given.pyramid, given.first(number).regions) for number in numbers}
    times = alternate(
        walks,
        context.device,
        repetitions=REPETITIONS,
        limit_s=LIMIT_S,
        at_least=MIN_REPETITIONS,
        warm_up=[str(min(numbers))],
    )
    for number in numbers:
        latency = Repeated(name="latency_ms_median", array=times[str(number)], unit="ms")
        values.append(latency.row(phase="head", regions=number))
    samples = {f"latency_ms_head_{number}": times[str(number)] for number in numbers}
    return Measurement(values=values, samples=samples, uncounted=tuple(sorted(uncounted)))


def _count(model: Segmenter, given: Input) -> Count:
    """Multiply-adds of the head with pasting, of shapes alone."""
    regions = given.regions
    part = HeadPart(model, given.input_size, regions.region_counts)
    pyramid = [given.pyramid[level] for level in sorted(given.pyramid)]
    inputs = (regions.boxes, regions.image, regions.queries, regions.labels, *pyramid)
    with counting():
        return count_torch(lambda: part(*(torch.empty_like(each, device="meta") for each in inputs)))[0]


def _numbers(context: Context) -> tuple[int, ...]:
    return NUMBERS if context.regions is None else (context.regions,)
