"""Multiply-adds per image, by part of the model, on two rulers.

Two protocols. `measured` (with images): real images, real detections. `nominal` (without): the sizes of the first 100
val2017 images and a given number of regions, on meta tensors, once per distinct size. Either way torch's counter gives
the values, and fvcore, the paper's ruler, counts one image beside it: the first one, or one of 800x1112 (the paper's
mean image area). The two must agree on convolutions and matrix products. fvcore needs tensors with values.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import catalog
from bench.contract import Context, Measurement
from bench.data.input_size import nominal_sizes, resized
from bench.inference.image_run import images_protocol, input_protocol, open_run
from bench.model.build import base_preset, build, initial_weights, load
from bench.model.segmenter import Segmenter, image_size
from bench.names import MODEL_PARTS
from bench.record import Scalar, Subject, rows
from bench.rulers.multiply_adds import Count, count_fvcore, count_torch, counting
from bench.rulers.parts import BackbonePart, DetectorPart, HeadPart, NeckPart, as_pyramid
from heads import Detections

VERSION = 1
TIMED = False
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False

CHECK_SIZE = (800, 1112)

# Regions per image that explain the paper's totals; fitted, not measured. First those of a class-specific head, which
# has one per prediction, then of a class-agnostic one, which has one per distinct query (60.5: the mean of 60 and 61).
# They are those of FQDet v1: what another detector leaves after its own suppression is not in the paper.
FITTED_REGIONS = {"r50_fpn": ((97,), (60, 61)), "r50_defenc": ((94,), (58,))}


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """One part on both rulers; fvcore only where it was asked."""

    torch: Count
    fvcore: Count | None = None


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say which images and which regions; pasting is the paper's, on canvases of the input's size."""
    if context.data is not None:
        initial = initial_weights(subject, context)
        images = {**images_protocol(context), **input_protocol(subject, context)}
        return {"kind": "measured", **images, "paste": "canvas", "initial": initial}
    regions = ", ".join(str(number) for number in _nominal_regions(subject, context))
    return {"kind": "nominal", "images": "sizes of val2017[:100]", "paste": "canvas", "regions": regions}


def measure(subject: Subject, context: Context) -> Measurement:
    """Count; `macs` has transposed convolutions counted correctly, `macs_paper` as the paper's fvcore did."""
    with counting():
        return _nominal(subject, context) if context.data is None else _measured(subject, context)


def _nominal(subject: Subject, context: Context) -> Measurement:
    images, regions = nominal_counts(subject, context)
    # Real tensors, with values that do not matter: fvcore traces nothing else.
    detector, pyramid = _check_detector(_any_head(subject))
    inputs = _random_regions(regions[0], pyramid)
    head, _ = _count_head(build(subject).eval(), pyramid, inputs, CHECK_SIZE, fvcore=True)
    return _measurement(images, regions, {**detector, "head": head})


def nominal_counts(subject: Subject, context: Context) -> tuple[list[dict[str, Ruled]], list[int]]:
    """Count by part, and regions, for every image size and number of regions of the nominal protocol."""
    model = _meta_model(subject)
    sizes = Counter(resized(height, width) for height, width in nominal_sizes())
    images: list[dict[str, Ruled]] = []
    regions: list[int] = []
    for size, number in sizes.items():
        detector, pyramid = _meta_detector(_any_head(subject), size)
        for num_regions in _nominal_regions(subject, context):
            count, _ = _count_head(model, pyramid, _meta_regions(num_regions, pyramid), size)
            images += [{**detector, "head": count}] * number
            regions += [num_regions] * number
    return images, regions


def _measured(subject: Subject, context: Context) -> Measurement:
    run = open_run(subject, context)
    model = load(subject, context, run.files.category_ids)
    images: list[dict[str, Ruled]] = []
    regions = []
    for batch in run:
        size, first = image_size(batch.images), not images
        counts, pyramid, output = _count_detector(model, batch.images, fvcore=first)
        given = run.given(batch)
        detections = (
            model.detector.detections(output) if given is None else model.detections(as_pyramid(pyramid), size, given)
        )
        found = model.regions(detections)
        counts["head"], _ = _count_head(model, pyramid, found, size, fvcore=first)
        images.append(counts)
        regions.append(len(found.boxes))
    measurement = _measurement(images, regions, images[0])
    return replace(measurement, values=(*measurement.values, *run.rows()), files=run.report())


def _measurement(images: Sequence[dict[str, Ruled]], regions: Sequence[int], check: dict[str, Ruled]) -> Measurement:
    """Means over images, and both rulers on the one image that both have seen."""
    samples = {f"macs_{part}": np.array([image[part].torch.total for image in images]) for part in MODEL_PARTS}
    old = np.array([sum(image[part].torch.old_deconvolution for part in MODEL_PARTS) for image in images])
    means = {name: float(array.mean()) for name, array in samples.items()}
    total, on_top = sum(means[f"macs_{part}"] for part in MODEL_PARTS), float(old.mean())
    paper = {"macs": total, "macs_paper": total + on_top, "macs_head_paper": means["macs_head"] + on_top}
    values = [*rows(means | paper, "MACs"), *rows({"regions": float(np.mean(regions))}, "regions")]
    for ruler in ("torch", "fvcore"):
        counts: dict[str, Count] = {part: getattr(check[part], ruler) for part in MODEL_PARTS}
        for part, count in counts.items():
            values += rows({"check_macs": count.total}, "MACs", ruler=ruler, part=part)
        agreeing = sum(count.conv_and_matmul for count in counts.values())
        values += rows({"check_macs_conv_matmul": agreeing}, "MACs", ruler=ruler)
    uncounted = sorted(set(chain.from_iterable(check[part].torch.uncounted for part in MODEL_PARTS)))
    return Measurement(values=values, samples={**samples, "regions": np.array(regions)}, uncounted=tuple(uncounted))


def _count_detector(
    model: Segmenter, images: Tensor, *, fvcore: bool = False
) -> tuple[dict[str, Ruled], tuple[Tensor, ...], Any]:
    """Count everything before the head; give the pyramid P2..P7 and the detector's output."""
    counts = {}
    counts["backbone"], features = _count(BackbonePart(model), (images,), fvcore)
    counts["neck"], pyramid = _count(NeckPart(model), features, fvcore)
    part = DetectorPart(model, image_size(images))
    counts["detector"], fields = _count(part, pyramid, fvcore)
    return counts, pyramid, part.whole(fields)


def _count_head(
    model: Segmenter, pyramid: tuple[Tensor, ...], regions: Detections, size: tuple[int, int], *, fvcore: bool = False
) -> tuple[Ruled, tuple[Tensor, ...]]:
    part = HeadPart(model, size, regions.region_counts)
    return _count(part, (regions.boxes, regions.image, regions.queries, regions.labels, *pyramid), fvcore)


def _count(part: nn.Module, inputs: tuple[Tensor, ...], fvcore: bool) -> tuple[Ruled, tuple[Tensor, ...]]:
    count, outputs = count_torch(lambda: part(*inputs))
    return Ruled(torch=count, fvcore=count_fvcore(part, inputs) if fvcore else None), outputs


def _nominal_regions(subject: Subject, context: Context) -> tuple[int, ...]:
    if context.regions is not None:
        return (context.regions,)
    detector = subject.detector or "fqdet"
    if subject.backbone not in FITTED_REGIONS or subject.preset != "paper" or detector != "fqdet":
        raise ValueError(
            f"No number of regions is known for {subject.backbone} with {detector} ({subject.preset}) without images; "
            "it is fitted to the paper's totals for the paper's models only; give their number as `regions`, or images "
            "as `coco`."
        )
    class_specific, class_agnostic = FITTED_REGIONS[subject.backbone]
    return class_specific if _meta_model(subject).head.class_specific else class_agnostic


def _any_head(subject: Subject) -> Subject:
    """The detector is the same for all heads: counted once, under the name of one of them."""
    preset = base_preset(subject.preset or "paper")
    head = "mask_rcnn" if "mask_rcnn" in catalog.names("heads") else subject.head
    return Subject(head=head, backbone=subject.backbone, detector=subject.detector, preset=preset)


@cache
def _meta_model(subject: Subject) -> Segmenter:
    with torch.device("meta"):
        return build(subject).eval()


@cache
def _meta_detector(subject: Subject, size: tuple[int, int]) -> tuple[dict[str, Ruled], tuple[Tensor, ...]]:
    counts, pyramid, _ = _count_detector(_meta_model(subject), torch.zeros(1, 3, *size, device="meta"))
    return counts, pyramid


@cache
def _check_detector(subject: Subject) -> tuple[dict[str, Ruled], tuple[Tensor, ...]]:
    images = torch.zeros(1, 3, *CHECK_SIZE)
    counts, pyramid, _ = _count_detector(build(subject).eval(), images, fvcore=True)
    return counts, pyramid


def _meta_regions(num_regions: int, pyramid: tuple[Tensor, ...]) -> Detections:
    return _regions(torch.zeros(num_regions, 4, device="meta"), pyramid)


def _random_regions(num_regions: int, pyramid: tuple[Tensor, ...]) -> Detections:
    """Boxes of 32 to 256 pixels anywhere in the image."""
    generator = torch.Generator().manual_seed(0)
    height, width = CHECK_SIZE
    sides = 32 + 224 * torch.rand(num_regions, 2, generator=generator)
    corners = torch.rand(num_regions, 2, generator=generator) * (torch.tensor([width, height]) - sides)
    return _regions(torch.cat([corners, corners + sides], 1), pyramid)


def _regions(boxes: Tensor, pyramid: tuple[Tensor, ...]) -> Detections:
    """Regions of one image with one prediction each."""
    num_regions = len(boxes)
    index = torch.zeros(num_regions, dtype=torch.long, device=boxes.device)
    return Detections(
        boxes=boxes,
        image=index,
        queries=boxes.new_zeros(num_regions, pyramid[0].shape[1]),
        region=torch.arange(num_regions, device=boxes.device),
        labels=index,
        scores=boxes.new_ones(num_regions),
        region_counts=(num_regions,),
        prediction_counts=(num_regions,),
    )
