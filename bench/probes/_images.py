"""The images of a run, one after the other, as the probes that need images see them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import torch

from bench.augment import PAPER_TEST, SMALL_TEST
from bench.coco import CocoImages, open_coco
from bench.data import Batch, CocoDataset, Skipped, collate, readable
from bench.detections_file import read_detections
from bench.input_size import resized
from bench.model import Boxes
from bench.plan import Context
from bench.record import Scalar, Subject

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
        for sample in readable(self.dataset, self.skipped):
            batch = collate([sample]).to(self.device)
            yield replace(batch, images=batch.images.to(self.dtype))
        if len(self.skipped) == len(self.dataset):
            reasons = "; ".join(f"{skip.image_id}: {skip.reason}" for skip in self.skipped[:3])
            raise ValueError(
                f"None of the {len(self.dataset)} images could be read ({reasons}). A measurement needs at least one. "
                "Repair or replace the files."
            )

    def given(self, batch: Batch) -> list[Boxes] | None:
        """Boxes to use instead of the detector's: none, the objects of the images, or those of a file.

        Raises ValueError where objects are asked for and not known.
        """
        if self.true_boxes:
            if batch.objects is None:
                raise ValueError(
                    f"The ground-truth boxes of image {batch.image_ids[0]} are not known: only an LVIS file lists it. "
                    "Ground-truth boxes come from COCO annotations. Run without the LVIS file."
                )
            return [
                Boxes(boxes=truth.boxes, labels=truth.labels, scores=truth.boxes.new_ones(len(truth.labels)))
                for truth in batch.objects
            ]
        if self.given_boxes is None:
            return None
        return [self.given_boxes[image_id].to(self.device) for image_id in batch.image_ids]

    def values(self) -> dict[str, int]:
        """How many images the run has, and how many of them could not be read."""
        return {"images": len(self.dataset) - len(self.skipped), "images_skipped": len(self.skipped)}

    def report(self) -> dict[str, bytes]:
        """A file that says which images were skipped and why, where there are any."""
        if not self.skipped:
            return {}
        return {"skipped.json": msgspec.json.format(msgspec.json.encode(self.skipped), indent=1)}


def images_protocol(context: Context) -> dict[str, Scalar]:
    """Say which images are measured and whose boxes are used. Files count by content: other data, other record."""
    assert context.coco is not None, "a probe that needs images was run without"
    annotations = context.coco / "annotations" / "instances_val2017.json"
    return {
        "images": "all" if context.images is None else f"first {context.images}",
        "annotations": _checksum(annotations) if annotations.is_file() else None,
        "lvis": None if context.lvis is None else _checksum(context.lvis),
        "detections": context.detections if context.detections in _SOURCES else _checksum(Path(context.detections)),
    }


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def open_run(subject: Subject, context: Context) -> ImageRun:
    """Open the images of a run; their size depends on the subject's preset. Needs `context.coco`."""
    assert context.coco is not None, "a probe that needs images was run without"
    files = open_coco(context.coco, lvis=context.lvis, num_images=context.images)
    transform = SMALL_TEST if subject.preset == "small" else PAPER_TEST
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
