"""Where each stage of a head refined the masks: shares of the boxes, and maps of how often every cell was refined.

A cell is *active* in a stage if the stage's prediction replaces what the stages before say there: the cells that
EffSeg and PointRend++ select, the boundary cells of RefineMask++, all cells of a stage that stands for itself. The
active fraction is the share of the box that these cells cover, the statistic of the paper's Figure 1, which gives 65,
35 and 20 % for the one object it shows. `processed_fraction` is the share that the stage computed, which is all of
the box in a dense stage whatever it replaces.

Of the first images everything is kept that it takes to draw the active cells where they are in the image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from bench.contract import Context, Measurement
from bench.data.images import read_image
from bench.data.samples import Batch
from bench.inference.image_run import ImageRun, images_protocol, open_run
from bench.inference.predict import model_protocol
from bench.model.build import load
from bench.model.segmenter import image_size
from bench.record import Scalar, Subject, Value, rows
from bench.store import Array
from heads import Detections, Pyramid, Stage, compose

VERSION = 2
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True

NUM_IMAGE_MAPS = 16
"""So many images keep maps of their own; those of all images of COCO would be gigabytes."""

NUM_SNAPSHOTS = 4
"""Of so many images the boxes, the active cells and a small picture are kept."""

SNAPSHOT_SIDE = 320
"""Longest side of such a picture, in pixels."""

_QUANTILES = {"p10": 0.1, "median": 0.5, "p90": 0.9}


@dataclass(frozen=True, kw_only=True)
class Refined:
    """Where one stage of an image was active, and the share of all its cells that it computed."""

    active: Bool[Tensor, "R S S"]
    processed_fraction: float


@dataclass(kw_only=True)
class StageTrace:
    """Statistics of one stage over some images. Fractions are of boxes, `total` counts regions by cell."""

    total: Array
    num_regions: int = 0
    of_regions: list[Array] = field(default_factory=list)
    of_images: list[float] = field(default_factory=list)
    processed: list[float] = field(default_factory=list)
    image_maps: list[Array] = field(default_factory=list)

    def add(self, refined: Refined) -> None:
        """Count one image, which must have regions."""
        active = refined.active.cpu().numpy()
        counts = active.sum(axis=0)
        self.total += counts
        self.num_regions += len(active)
        self.of_regions.append(active.mean(axis=(1, 2)))
        self.of_images.append(float(active.mean()))
        self.processed.append(refined.processed_fraction)
        if len(self.image_maps) < NUM_IMAGE_MAPS:
            self.image_maps.append(counts.astype(np.uint16))

    def rows(self, stage: int) -> Iterator[Value]:
        """Means over images, with the spread over images and over regions."""
        regions = np.concatenate(self.of_regions)
        yield from rows({"side": len(self.total)}, "cells", stage=stage)
        fractions = {
            "active_fraction": float(np.mean(self.of_images)),
            "active_fraction_std": float(np.std(self.of_images)),
            "processed_fraction": float(np.mean(self.processed)),
            **{f"region_fraction_{name}": float(np.quantile(regions, at)) for name, at in _QUANTILES.items()},
        }
        yield from rows(fractions, stage=stage)

    def samples(self) -> dict[str, Array]:
        """Share of the regions in which each cell was active, the counts of the first images, and all fractions."""
        return {
            "active_map": self.total / self.num_regions,
            "image_maps": np.stack(self.image_maps),
            "region_fractions": np.concatenate(self.of_regions),
            "image_fractions": np.array(self.of_images),
        }


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An image in grey, small, with its boxes (xyxy, in pixels of the picture) and the active cells by stage.

    `active` has the cells of a region as bits, rows first, padded with zeros to whole bytes.
    """

    pixels: UInt8[np.ndarray, "h w"]
    boxes: Float32[np.ndarray, "R 4"]
    active: dict[int, UInt8[np.ndarray, "R N"]] = field(default_factory=dict)

    def add(self, number: int, refined: Refined) -> None:
        """Keep the active cells of a stage."""
        self.active[number] = np.packbits(refined.active.flatten(1).cpu().numpy(), axis=1)

    def samples(self) -> dict[str, Array]:
        """All that is known of the snapshot."""
        of_stages = {f"stage{number}_active": bits for number, bits in self.active.items()}
        return {"pixels": self.pixels, "boxes": self.boxes, **of_stages}


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the masks depend on."""
    return {**images_protocol(context), **model_protocol(subject, context)}


@torch.inference_mode()
def measure(subject: Subject, context: Context) -> Measurement:
    """Trace every image. Images without regions count as images, but have no fractions."""
    run = open_run(subject, context)
    model = load(subject, context, run.files.category_ids)
    traces: dict[int, StageTrace] = {}
    num_regions: list[int] = []
    traced_ids: list[int] = []
    snapshots: list[Snapshot] = []
    for batch in run:
        pyramid: Pyramid = model.neck(model.backbone(batch.images))
        regions = model.regions(model.detections(pyramid, image_size(batch.images), run.given(batch)))
        num_regions.append(len(regions.boxes))
        if not len(regions.boxes):
            continue
        traced_ids += batch.image_ids
        if len(traced_ids) <= NUM_SNAPSHOTS:
            snapshots.append(_snapshot(run, batch, regions))
        for number, refined in enumerate(trace(model.head(pyramid, regions)), start=1):
            side = refined.active.shape[-1]
            traces.setdefault(number, StageTrace(total=np.zeros((side, side), np.int64))).add(refined)
            if len(traced_ids) <= NUM_SNAPSHOTS:
                snapshots[-1].add(number, refined)
    values = [*run.rows(), *rows({"regions": float(np.mean(num_regions))}, "regions")]
    samples: dict[str, Array] = {"image_ids": np.array(traced_ids, np.int64)}
    for number, of_stage in traces.items():
        values += of_stage.rows(number)
        samples |= {f"stage{number}_{name}": array for name, array in of_stage.samples().items()}
    for image_id, snapshot in zip(traced_ids, snapshots, strict=False):
        samples |= {f"scene{image_id}_{name}": array for name, array in snapshot.samples().items()}
    return Measurement(values=values, samples=samples, files=run.report())


def trace(stages: Sequence[Stage]) -> Iterator[Refined]:
    """Say of every stage after the first where it replaced the mask so far, by the rule of `compose` itself."""
    for number, stage in enumerate(stages[1:], start=1):
        # Not-a-number shows in the composed mask wherever, and only where, this stage's predictions end up.
        marked = replace(stage, mask_logits=torch.full_like(stage.mask_logits, torch.nan))
        active = compose([*stages[:number], marked]).isnan()
        processed = 1.0 if stage.point is None else len(stage.point) / active.numel()
        yield Refined(active=active, processed_fraction=processed)


def _snapshot(run: ImageRun, batch: Batch, regions: Detections) -> Snapshot:
    """Of a batch of one image, which could be read just now."""
    (image_id,), (size,), (input_size,) = batch.image_ids, batch.original_sizes, batch.input_sizes
    picture = read_image(run.files.paths[image_id], size, run.files.rule).convert("L")
    picture.thumbnail((SNAPSHOT_SIDE, SNAPSHOT_SIDE))
    scale = np.array([picture.width / input_size[1], picture.height / input_size[0]] * 2, np.float32)
    boxes = regions.boxes.float().cpu().numpy() * scale
    return Snapshot(pixels=np.asarray(picture), boxes=boxes)
