"""The images of a run, one after the other, as the probes that need images see them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import torch

from bench import ranks
from bench.contract import Context
from bench.data.annotations import read_annotations
from bench.data.augment import PAPER_TEST, SMALL_TEST, Resize
from bench.data.coco import CocoImages, open_images
from bench.data.findings import Finding, data_rows
from bench.data.ground_truth import GroundTruth, read_ground_truth
from bench.data.image_ids import original
from bench.data.input_size import resized
from bench.data.layout import Part
from bench.data.lvis_objects import with_lvis_objects
from bench.data.samples import Batch, CocoDataset, Skipped, collate, readable
from bench.files import checksum
from bench.model import weights_folder
from bench.model.boxes_file import read_detections
from bench.model.build import initial_weights
from bench.model.segmenter import Boxes
from bench.model.task import Task
from bench.model.weights import task_of
from bench.record import Scalar, Subject, Value, rows
from bench.rulers.clock import NUM_WARM_UP

_SOURCES = ("detector", "ground_truth")
"""Whose boxes the heads get, where it is not a file's."""


@dataclass(frozen=True, kw_only=True)
class ImageRun:
    """Iterates over batches of one image each, on the device of the run; `skipped` fills up on the way."""

    dataset: CocoDataset
    given_boxes: Mapping[int, Boxes] | None
    true_boxes: bool
    device: str
    dtype: torch.dtype
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def files(self) -> CocoImages:
        """Where the images come from."""
        return self.dataset.files

    def __iter__(self) -> Iterator[Batch]:
        yield from self.batches()
        check_readable(len(self.dataset), self.skipped)

    def batches(self) -> Iterator[Batch]:
        """Iterate without the error that an iteration ends with where no image could be read."""
        for sample in readable(self.dataset, self.skipped):
            batch = collate([sample]).to(self.device)
            yield replace(batch, images=batch.images.to(self.dtype))

    def shard(self) -> "ImageRun":
        """The images of this rank of torchrun, which may be none; all of them without."""
        files = replace(self.files, ids=tuple(ranks.shard(self.files.ids)))
        return replace(self, dataset=replace(self.dataset, files=files), skipped=[])

    def given(self, batch: Batch) -> list[Boxes] | None:
        """Boxes to use instead of the detector's: none, the objects of the images, or those of a file."""
        if self.true_boxes:
            assert batch.objects is not None
            return [
                Boxes(boxes=truth.boxes, labels=truth.labels, scores=truth.boxes.new_ones(len(truth.labels)))
                for truth in batch.objects
            ]
        if self.given_boxes is None:
            return None
        return [self.given_boxes[image_id].to(self.device) for image_id in batch.image_ids]

    def rows(self) -> Iterator[Value]:
        """How many images the run has, and how many of them could not be read."""
        counts = {"images": len(self.dataset) - len(self.skipped), "images_skipped": len(self.skipped)}
        yield from rows(counts, "images")
        yield from data_rows(self.files.findings)

    def report(self) -> dict[str, bytes]:
        """Files that say which images were skipped, and what of the data was repaired or left out."""
        return data_report(self.skipped, self.files.findings)


def data_report(skipped: Sequence[Skipped], findings: Sequence[Finding]) -> dict[str, bytes]:
    """Files for what there is of: images that were skipped, and why; what of the data was repaired or left out."""
    images = [{"image_id": original(each.image_id), "reason": each.reason} for each in skipped]
    odd = [each for each in findings if not each.plain]
    listed = (("skipped.json", images), ("data.json", odd))
    return {name: msgspec.json.format(msgspec.json.encode(entries), indent=1) for name, entries in listed if entries}


def check_readable(num_images: int, skipped: Sequence[Skipped]) -> None:
    """Raise ValueError where every image of a run was skipped."""
    if len(skipped) == num_images:
        reasons = "; ".join(f"{original(skip.image_id)}: {skip.reason}" for skip in skipped[:3])
        raise ValueError(
            f"None of the {num_images} images could be read ({reasons}). A measurement needs at least one. "
            "Repair or replace the files."
        )


def images_protocol(context: Context) -> dict[str, Scalar]:
    """Say which images are measured and whose boxes are used. Files count by content: other data, other record."""
    return {**files_protocol(context), "detections": detections_protocol(context)}


def files_protocol(context: Context) -> dict[str, Scalar]:
    """Say which annotated images a run has."""
    annotations = coco_annotations(context)
    return {
        "images": num_images_protocol(context),
        "annotations": read_annotations(annotations).checksum if annotations.is_file() else None,
        "lvis": None if context.lvis is None else read_annotations(context.lvis).checksum,
        **({"objects_without_mask": "left out"} if _part(context).leave_out_maskless else {}),
    }


def num_images_protocol(context: Context) -> str:
    """Say how many images of those annotated are measured."""
    return "all" if context.images is None else f"first {context.images}"


def with_true_boxes(context: Context) -> Context:
    """The same run with the boxes of the objects in the place of the detector's."""
    return replace(context, detections="ground_truth")


def detections_protocol(context: Context) -> str:
    """Say whose boxes the heads get."""
    if context.detections == "ground_truth" and context.lvis is not None:
        return "ground_truth, of LVIS where COCO does not list the image"
    return context.detections if context.detections in _SOURCES else checksum(Path(context.detections))


def coco_annotations(context: Context) -> Path:
    """Where the COCO annotations of a run lie, if there are any. Needs `context.data`."""
    return _part(context).annotations


def coco_truth(context: Context) -> GroundTruth:
    """The objects of the COCO annotations. Raises ValueError without such a file, or for a damaged one."""
    return read_ground_truth(coco_annotations(context), leave_out_maskless=_part(context).leave_out_maskless)


def _part(context: Context) -> Part:
    assert context.data is not None, "a probe that needs images was run without"
    return context.data.val


def open_run(subject: Subject, context: Context) -> ImageRun:
    """Open the annotated images of a run. Needs `context.data`."""
    assert context.data is not None, "a probe that needs images was run without"
    parts = (context.data.train, context.data.val)
    files = open_images(context.data.val, lvis=context.lvis, num_images=context.images, parts=parts)
    return run_of(files, subject, context)


def run_of(files: CocoImages, subject: Subject, context: Context) -> ImageRun:
    """Make a run of images, whose size is that of the weights, else of the subject's preset.

    The boxes of the objects are COCO's, and LVIS's on images that only the LVIS file lists.
    """
    if context.detections == "ground_truth" and context.lvis is not None:
        files = with_lvis_objects(files, context.lvis)
    transform = test_transform(subject, task_of_run(subject, context))
    source = context.detections
    from_file = source not in _SOURCES

    def input_size(height: int, width: int) -> tuple[int, int]:
        return resized(height, width, transform.short, transform.long)

    return ImageRun(
        dataset=CocoDataset(files=files, transform=transform, with_objects=source == "ground_truth"),
        given_boxes=read_detections(Path(source), files, input_size) if from_file else None,
        true_boxes=source == "ground_truth",
        device=context.device,
        dtype=getattr(torch, context.dtype),
    )


def test_transform(subject: Subject, task: Task | None) -> Resize:
    """How images are resized: as the weights of a task want it, else as the preset of a subject says."""
    if task is not None and task.input_size is not None:
        short, long = task.input_size
        return Resize(short=short, long=long)
    return PAPER_TEST if subject.preset in ("paper", None) else SMALL_TEST


def task_of_run(subject: Subject, context: Context) -> Task | None:
    """What the weights of a subject were trained for; None without weights, and where they do not say."""
    if context.weights is None or subject.weights == "none":
        return None
    return task_of(weights_folder.files_of(context.weights, subject))


def input_protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say how large the images are, and how many detections they have; nothing where it is as the preset says."""
    task = task_of_run(subject, context)
    size = test_transform(subject, task)
    said: dict[str, Scalar] = {}
    if size != test_transform(subject, None):
        said["input_size"] = f"{size.short} x {size.long}"
    if task is not None and task.num_detections is not None:
        said["detections_kept"] = task.num_detections
    return said


def finishing_protocol(context: Context) -> dict[str, Scalar]:
    """Say how masks come to the size of the file; nothing where it is the usual way."""
    return {} if context.finishing == "exact" else {"finishing": context.finishing}


def timing_protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what was run; the machine is in the record."""
    return {
        **images_protocol(context),
        "batch": 1,
        "dtype": context.dtype,
        "device": context.device,
        "warm_up": NUM_WARM_UP,
        "paste": "box extent, original size",
        "initial": initial_weights(subject, context),
        **input_protocol(subject, context),
        **finishing_protocol(context),
    }
