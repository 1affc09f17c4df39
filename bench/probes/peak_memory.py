"""The most memory that a model needs for an image: weights, the image, and what is computed on the way to its masks.

Inside: backbone, neck, detector with non-maximum suppression, head, assembly with Eq. 3 and pasting at the original
size, batch 1. A part's peak is on top of what it was handed (`bench.rulers.peak_memory`): the head's, which includes
assembly, comes on top of weights, image, pyramid and detections. Outside: run-length encoding, and what does not come
from torch's allocator, such as scratch of oneDNN, or CUDA's context and the blocks that its allocator keeps in reserve.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

import numpy as np
from torch import Tensor

from bench.contract import Context, Measurement
from bench.data.samples import Batch
from bench.inference.image_run import open_run, timing_protocol
from bench.model.build import load
from bench.model.segmenter import Boxes, Segmenter
from bench.names import MODEL_PARTS
from bench.record import Scalar, Subject, Value, rows
from bench.rulers.peak_memory import PhaseMemory, account, phase_peaks

VERSION = 1
TIMED = True
NEEDS_IMAGES = True
NEEDS_WEIGHTS = False

_HEAD_PHASES = ("head", "assemble")


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say which images, on what device, by whose account; every image has a pass before that does not count."""
    return {**timing_protocol(subject, context), "warm_up": 1, "peak": account(context.device)}


def measure(subject: Subject, context: Context) -> Measurement:
    """Measure every image of the run, one at a time."""
    run = open_run(subject, context)
    model = load(subject, context, run.files.category_ids)
    weights = sum(map(_bytes, chain(model.parameters(), model.buffers())))
    peaks: list[dict[str, int]] = []
    for batch in run:
        phases = phase_peaks(partial(_walk, model, batch, run.given(batch)), context.device)
        whole = weights + _bytes(batch.images) + max(phase.peak for phase in phases)
        peaks.append({"total": whole, **{part: _of_part(phases, part) for part in MODEL_PARTS}})
    samples = {f"peak_bytes_{part}": np.array([of_image[part] for of_image in peaks]) for part in peaks[0]}
    values: list[Value] = [*run.rows()]
    for name, array in samples.items():
        summary = {"peak_bytes_median": float(np.median(array)), "peak_bytes_max": int(array.max())}
        part = name.removeprefix("peak_bytes_")
        values += rows(summary, "bytes") if part == "total" else rows(summary, "bytes", part=part)
    return Measurement(values=values, samples=samples, files=run.report())


def _walk(model: Segmenter, batch: Batch, given: Sequence[Boxes] | None, lap: Callable[[str], None]) -> None:
    """As `Segmenter.predict`; the head begins when the maps of the backbone are released."""
    output = model.detect(batch, given, lap)
    lap("released")
    model.masks(output, lap)


def _of_part(phases: Sequence[PhaseMemory], part: str) -> int:
    """The peak of a part on top of what it was handed."""
    names = _HEAD_PHASES if part == "head" else (part,)
    own = [phase for phase in phases if phase.phase in names]
    return max(phase.peak for phase in own) - own[0].before


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
