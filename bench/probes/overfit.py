"""Can a head learn at all? Train from scratch on four real images and measure the masks on the same images.

The boxes are those of the objects, so that only the masks are judged. A head that stays below a mean IoU of 0.8 within
1,000 steps while the others do not has a bug. This says nothing about accuracy on other images.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bench.contract import Context, Measurement
from bench.data.samples import Batch, Sample, Skipped, collate, readable
from bench.inference.image_run import images_protocol, open_run
from bench.model.assemble import Crop
from bench.model.build import build
from bench.model.segmenter import Boxes, Segmenter
from bench.record import Scalar, Subject, rows

VERSION = 1
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = False

NUM_IMAGES = 4
NUM_STEPS = 1000
IMAGES_PER_STEP = 2
MIN_SIDE = 32
LEARNING_RATE = 1e-3


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what was trained on what, and how."""
    return {
        **images_protocol(replace(context, detections="ground_truth")),
        "images": f"first {NUM_IMAGES} with objects of at least {MIN_SIDE} px",
        "steps": NUM_STEPS,
        "images_per_step": IMAGES_PER_STEP,
        "optimizer": f"AdamW {LEARNING_RATE}, cosine",
        "dtype": "float32",
    }


def measure(subject: Subject, context: Context) -> Measurement:
    """Train, then measure the mask IoU of every object."""
    samples = large_objects(open_run(subject, replace(context, images=None, detections="ground_truth")).dataset)
    model = build(subject).to(context.device)
    losses = train(model, samples, NUM_STEPS, subject.seed)
    overlaps = mask_overlaps(model, samples)
    values = [*rows({"mask_iou_mean": float(overlaps.mean()), "mask_iou_min": float(overlaps.min())})]
    values += rows({"objects": len(overlaps)}, "objects")
    for name, of_name in losses.items():
        values += rows({"loss_last": float(of_name[-10:].mean())}, loss=name)
    curves = {f"loss_{name}": of_name for name, of_name in losses.items()}
    return Measurement(values=values, samples={**curves, "mask_iou": overlaps})


def large_objects(samples: Iterable[Sample | Skipped]) -> list[Sample]:
    """The first four images that have objects of at least 32 x 32 input pixels, with these objects only."""
    chosen: list[Sample] = []
    for sample in readable(samples, []):
        if sample.objects is None:
            continue
        boxes = sample.objects.boxes
        large = ((boxes[:, 2:] - boxes[:, :2]).prod(1) >= MIN_SIDE**2).nonzero()[:, 0]
        if len(large):
            chosen.append(replace(sample, objects=sample.objects.select(large)))
        if len(chosen) == NUM_IMAGES:
            return chosen
    raise ValueError(
        f"Only {len(chosen)} images have objects of at least {MIN_SIDE} x {MIN_SIDE} pixels; the overfitting test "
        f"needs {NUM_IMAGES}; give a larger data set."
    )


def train(model: Segmenter, samples: Sequence[Sample], num_steps: int, seed: int) -> dict[str, np.ndarray]:
    """Train on the same images over and over; give every loss of every step, by name."""
    model.train()
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    curves: dict[str, list[float]] = {}
    for batch in _batches(samples, num_steps):
        losses = model(batch.to(device), generator, true_boxes=True)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        # Sums over all regions of a step have occasional spikes.
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        for name, loss in losses.items():
            curves.setdefault(name, []).append(loss.item())
    return {name: np.array(curve) for name, curve in curves.items()}


def mask_overlaps(model: Segmenter, samples: Sequence[Sample]) -> np.ndarray:
    """Mask IoU of every object at input resolution, in its own box."""
    model.eval()
    overlaps = []
    for sample in samples:
        batch, truth = collate([replace(sample, original_size=sample.input_size)]), sample.objects
        assert truth is not None
        given = Boxes(boxes=truth.boxes, labels=truth.labels, scores=torch.ones(len(truth.labels)))
        device = next(model.parameters()).device
        (image,) = model.predict(batch.to(device), [given.to(device)])
        overlaps += [_overlap(crop, mask) for crop, mask in zip(image.crops, truth.masks, strict=True)]
    return np.array(overlaps)


def _batches(samples: Sequence[Sample], num_steps: int) -> Iterator[Batch]:
    for step in range(num_steps):
        start = step * IMAGES_PER_STEP
        yield collate([samples[(start + place) % len(samples)] for place in range(IMAGES_PER_STEP)])


def _overlap(crop: Crop, truth: Tensor) -> float:
    height, width = crop.mask.shape
    mask = crop.mask.cpu()
    inside = truth[crop.top : crop.top + height, crop.left : crop.left + width]
    intersection = int((mask & inside).sum())
    return intersection / max(int(mask.sum()) + int(truth.sum()) - intersection, 1)
