"""Latency of every image, by phase; FPS as the paper computes it and as throughput.

Inside the clock: backbone, neck, detector with non-maximum suppression, head, assembly with Eq. 3 and pasting at the
original size. Outside: reading, copying to the device and run-length encoding, which is timed apart. Batch 1, after
warm-up passes on the first image.
"""

import numpy as np

from bench.contract import Context, Measurement
from bench.inference.image_run import open_run, timing_protocol
from bench.model.assemble import encode
from bench.model.build import load
from bench.record import Scalar, Subject, rows
from bench.rulers.clock import NUM_WARM_UP, Clock

VERSION = 1
TIMED = True
NEEDS_IMAGES = True
NEEDS_WEIGHTS = False


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say which images, on what device, after how much warm-up."""
    return timing_protocol(subject, context)


def measure(subject: Subject, context: Context) -> Measurement:
    """Time every image of the run, one at a time."""
    run = open_run(subject, context)
    model = load(subject, context, run.files.category_ids)
    times: list[dict[str, float]] = []
    regions = []
    for batch in run:
        given = run.given(batch)
        for _ in range(1 if times else 1 + NUM_WARM_UP):
            clock = Clock(context.device)
            predictions = model.predict(batch, given, clock)
        total = clock.total_ms
        for image in predictions:
            encode(image)
        clock("encode")
        times.append({"total": total, **clock.ms})
        regions.append(sum(len(image.crops) for image in predictions))
    by_phase = {phase: np.array([of_image[phase] for of_image in times]) for phase in times[0]}
    samples = {f"latency_ms_{phase}": ms for phase, ms in by_phase.items()}
    total_ms = by_phase.pop("total")
    rates = {"fps_paper": float((1000 / total_ms).mean()), "fps_throughput": float(1000 / total_ms.mean())}
    latencies = {"latency_ms_median": float(np.median(total_ms)), "latency_ms_p95": float(np.percentile(total_ms, 95))}
    values = [*run.rows(), *rows(rates, "1/s"), *rows(latencies, "ms")]
    for phase, ms in by_phase.items():
        values += rows({"latency_ms_median": float(np.median(ms))}, "ms", phase=phase)
    values += rows({"regions": float(np.mean(regions))}, "regions")
    return Measurement(values=values, samples=samples, files=run.report())
