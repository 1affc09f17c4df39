"""What a training of heads side by side will take, told before it begins: judged by a few of its images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import cast

import torch
from torch import Tensor

from bench import ranks
from bench.data.samples import Sample, collate
from bench.model.segmenter import Segmenter
from bench.planning.estimate import duration
from bench.rulers.clock import Clock
from bench.training.joint import Joint
from bench.training.loop import freeze
from bench.training.order import Order, randomness
from bench.training.recipe import Recipe
from bench.training.step import computes_in, draws_true_boxes
from heads import MaskHead

_NUM_TRIED = 10
"""Images that are looked at for some that can be read and have a region to learn on."""

_NUM_IMAGES = 2
"""That are timed, after one that is not: it meets cold caches."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of one image on one process: to read it, of the detector, and of every head forwards and backwards.

    They are means over `num_images`, on which heads learned on `regions` regions each. `parameters` are the heads'.
    """

    num_images: int
    regions: float
    reading: float
    detector: float
    heads: Mapping[str, float]
    parameters: Mapping[str, int]

    def sentences(self, recipe: Recipe, *, done: int, workers: int) -> Iterator[str]:
        """Say what the steps that are not done take, part by part; `workers` read while others compute."""
        processes = ranks.world_size()
        images = (recipe.num_steps - done) * recipe.images_per_step

        def each(seconds: float) -> str:
            return f"{seconds:.{2 if seconds < 1 else 1}f} s an image, {duration(seconds * images / processes)}"

        begun = f" ({done} of {recipe.num_steps} steps are done)" if done else ""
        yield (
            f"cost: {images} images, {recipe.images_per_step} a step{begun}, on "
            f"{processes} process{'es' * (processes > 1)}; judged by {self.num_images} images of {self.regions:.0f} "
            "regions on this machine:"
        )
        yield f"  detector, once for all heads: {each(self.detector)}"
        for name, seconds in self.heads.items():
            yield f"  {name}: {each(seconds)} ({self.parameters[name] / 1e6:.1f} M parameters)"
        reading = 0.0 if workers else self.reading
        if reading:
            yield f"  reading: {each(reading)}"
        yield f"  together: about {duration((self.detector + sum(self.heads.values()) + reading) * images / processes)}"


def measure(model: Segmenter, recipe: Recipe, order: Order) -> Cost | None:
    """Time the parts of a model whose heads learn side by side, on its first images; None where none of these serves.

    Such are images that can be read and whose objects the detector finds, so that there are regions to learn on.
    No weight changes, and nothing is drawn that a training draws.
    """
    freeze(model, recipe)
    weight = next(model.parameters())
    joint = cast(Joint, model.get_submodule("head"))
    short = computes_in(recipe, weight.device) == "bfloat16"
    numbers = partial(torch.autocast, weight.device.type, torch.bfloat16, enabled=short)
    clocks: list[Clock] = []
    regions: list[int] = []
    for position in range(_NUM_TRIED):
        clock = Clock(str(weight.device))
        image = order[position]
        if not isinstance(image, Sample) or image.objects is None:
            continue
        batch = collate([image]).to(weight.device)
        clock("reading")
        generator = randomness(order.seed, position, weight.device)
        with torch.no_grad(), numbers():
            true_boxes = draws_true_boxes(recipe, generator)
            lesson = model.lesson(batch, generator, true_boxes=true_boxes, max_regions=recipe.max_regions)
        if not len(lesson.detections.boxes):
            continue
        clock("detector")
        for name, head in joint.heads.items():
            with numbers():
                stages = head(lesson.pyramid, lesson.detections, generator)
                losses: list[Tensor] = list(cast(MaskHead, head).loss(stages, lesson.targets).values())
            torch.stack([loss.to(weight.dtype) for loss in losses]).sum().backward()
            clock(name)
        clocks.append(clock)
        regions.append(len(lesson.detections.boxes))
        if len(clocks) > _NUM_IMAGES:
            break
    model.zero_grad()
    if not clocks:
        return None
    counted = slice(1, None) if len(clocks) > 1 else slice(None)

    def mean(part: str) -> float:
        return fmean(clock.ms[part] for clock in clocks[counted]) / 1000

    return Cost(
        num_images=len(clocks[counted]),
        regions=fmean(regions[counted]),
        reading=mean("reading"),
        detector=mean("detector"),
        heads={name: mean(name) for name in joint.heads},
        parameters={name: sum(each.numel() for each in head.parameters()) for name, head in joint.heads.items()},
    )
