"""What the common detector makes of the images of a run, computed once for heads that are measured in turn.

Heads on a frozen detector get the same pyramid and the same boxes, which cost more than most heads. They are kept in
files, not in memory, until heads on another detector or other images are measured, or the process ends. Nothing that
is timed is taken from there.
"""

import shutil
import tempfile
import weakref
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.contract import Context
from bench.data.samples import Skipped
from bench.files import checksum
from bench.inference.image_run import ImageRun, images_protocol, input_protocol
from bench.model import weights_folder
from bench.model.segmenter import DetectorOutput, Segmenter
from bench.record import Subject
from heads import Detections

_MOST_BYTES = 1_000_000_000
"""More than this is computed again for every head: all of COCO would take 100 GB."""


@dataclass(kw_only=True)
class _Kept:
    """Outputs of the detector for all images of a run, a file each, and which images could not be read."""

    key: Hashable
    folder: Path
    image_ids: list[int]
    skipped: list[Skipped]
    num_bytes: int = 0
    complete: bool = False

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def add(self, image_id: int, output: DetectorOutput) -> bool:
        """Keep an output; False where there is no room for it."""
        path = self._file(image_id)
        try:
            # Not safetensors: that forgets strides, and by them kernels are chosen, which round differently.
            torch.save({**vars(output), "detections": vars(output.detections)}, path)
        except (OSError, RuntimeError):
            return False
        self.image_ids.append(image_id)
        self.num_bytes += path.stat().st_size
        return self.num_bytes <= _MOST_BYTES

    def __iter__(self) -> Iterator[tuple[int, DetectorOutput]]:
        for image_id in self.image_ids:
            found = torch.load(self._file(image_id), weights_only=True)
            yield image_id, DetectorOutput(**{**found, "detections": Detections(**found["detections"])})

    def _file(self, image_id: int) -> Path:
        return self.folder / f"{image_id}.pt"


_last: _Kept | None = None


def detected(
    model: Segmenter, subject: Subject, context: Context, run: ImageRun
) -> Iterator[tuple[int, DetectorOutput]]:
    """Every image of a run with its id, as the detector of the model sees it; `run.skipped` fills up on the way."""
    global _last
    key = _key(subject, context, run)
    if key is not None and _last is not None and _last.key == key and _last.complete:
        run.skipped.extend(_last.skipped)
        yield from _last
        return
    _last, kept = None, _begin(key)
    for batch in run.batches():
        (image_id,) = batch.image_ids
        output = model.detect(batch, run.given(batch))
        if kept is not None and not kept.add(image_id, output):
            kept = None
        yield image_id, output
    if kept is not None:
        kept.skipped, kept.complete = list(run.skipped), True
        _last = kept


def _begin(key: Hashable | None) -> _Kept | None:
    if key is None:
        return None
    try:
        folder = Path(tempfile.mkdtemp(prefix="detected-"))
    except OSError:
        return None
    return _Kept(key=key, folder=folder, image_ids=[], skipped=[])


def _key(subject: Subject, context: Context, run: ImageRun) -> Hashable | None:
    """Everything that an output depends on; None where the head has a detector of its own."""
    files = () if context.weights is None else weights_folder.files_of(context.weights, subject)
    if len(files) < 2:
        return None
    return (
        checksum(files[0]),
        subject.backbone,
        subject.detector,
        subject.preset,
        tuple(images_protocol(context).items()),
        tuple(input_protocol(subject, context).items()),
        run.files.ids,
        context.device,
        context.dtype,
        torch.get_num_threads(),
    )
