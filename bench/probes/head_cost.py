"""Latency of the head alone, two ways that differ where work overlaps or clocks change.

*Subtracted*, as in the paper's Table 4: the whole model minus the detector, each as 1000 / FPS with the paper's mean of
rates. *Isolated*: the detector runs untimed, the head (with assembly) is timed on its outputs, image by image.
"""

import numpy as np
import torch

from bench.contract import Context, Measurement
from bench.inference.image_run import open_run, timing_protocol
from bench.model.assemble import assemble
from bench.model.build import load
from bench.model.segmenter import image_size
from bench.record import Scalar, Subject, rows
from bench.rulers.clock import NUM_WARM_UP, Clock
from heads import Pyramid

VERSION = 1
TIMED = True
NEEDS_IMAGES = True
NEEDS_WEIGHTS = False


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Images, clock and warm-up are those of the speed probe."""
    return timing_protocol(subject, context)


@torch.inference_mode()
def measure(subject: Subject, context: Context) -> Measurement:
    """Time whole model, detector alone and head alone on every image, interleaved."""
    run = open_run(subject, context)
    model = load(subject, context, run.files.category_ids)
    times: dict[str, list[float]] = {"whole": [], "detector": [], "head": []}
    for batch in run:
        given = run.given(batch)
        for _ in range(1 if times["whole"] else 1 + NUM_WARM_UP):
            whole = Clock(context.device)
            model.predict(batch, given, whole)
            detector = Clock(context.device)
            pyramid: Pyramid = model.neck(model.backbone(batch.images))
            regions = model.regions(model.detections(pyramid, image_size(batch.images), given))
            detector("all")
            head = Clock(context.device)
            stages = model.head(pyramid, regions)
            assemble(stages, regions, batch.input_sizes, batch.original_sizes, finishing=model.finishing)
            head("all")
        for name, clock in (("whole", whole), ("detector", detector), ("head", head)):
            times[name].append(clock.total_ms)
    samples = {f"latency_ms_{name}": np.array(ms) for name, ms in times.items()}
    whole_fps, detector_fps, head_fps = (float((1000 / np.array(ms)).mean()) for ms in times.values())
    rates = {"fps_paper": whole_fps, "fps_detector": detector_fps, "fps_head_isolated": head_fps}
    subtracted_ms = 1000 / whole_fps - 1000 / detector_fps
    if subtracted_ms > 0:  # noise can make a cheap head look free: then it has no rate
        rates["fps_head_subtracted"] = 1000 / subtracted_ms
    latencies = {
        "latency_ms_head_isolated": float(np.median(samples["latency_ms_head"])),
        "latency_ms_head_subtracted": subtracted_ms,
    }
    values = (*run.rows(), *rows(rates, "1/s"), *rows(latencies, "ms"))
    return Measurement(values=values, samples=samples, files=run.report())
