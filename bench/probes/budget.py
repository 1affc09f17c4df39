"""What does accuracy cost? EffSeg with more and fewer refined cells than it was trained with, on true boxes.

The time is that of the head alone, for the regions of one image, all budgets one right after the other.
"""

import numpy as np

from bench.contract import Context, Measurement
from bench.inference.image_run import with_true_boxes
from bench.inference.variants import accuracies, run_ways, times_budget, variants_protocol
from bench.record import Scalar, Subject, Value
from bench.rulers.clock import NUM_WARM_UP

VERSION = 1
TIMED = True
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True

FACTORS = {"none": 0.0, "eighth": 0.125, "quarter": 0.25, "half": 0.5, "trained": 1.0, "double": 2.0, "fourfold": 4.0}
"""Budgets as multiples of the one in training; `none` refines one cell a stage, which is as good as none."""

REFERENCE = "trained"


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what accuracies and times depend on; the machine is in the record."""
    return {
        **variants_protocol(subject, context),
        "device": context.device,
        "warm_up": NUM_WARM_UP,
        "factors": ", ".join(map(str, FACTORS.values())),
    }


def measure(subject: Subject, context: Context) -> Measurement:
    """Measure every budget; `<metric>_difference` is what another one than in training changes, with an interval."""
    found, run = run_ways(subject, with_true_boxes(context), {name: times_budget(by) for name, by in FACTORS.items()})
    values = [*accuracies(found, "budget", REFERENCE), *run.rows()]
    for name, way in found.items():
        values += [
            Value(name="cells", value=float(way.cells.mean()), unit="cells", at={"budget": name}),
            Value(name="latency_ms", value=float(np.median(way.head_ms)), unit="ms", at={"budget": name}),
        ]
    samples = {f"latency_ms_{name}": way.head_ms for name, way in found.items()}
    return Measurement(values=values, samples=samples, files=run.report())
