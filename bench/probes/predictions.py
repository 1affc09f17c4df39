"""Predicted masks of all images of the run, as a COCO results file beside the record.

Masks are at original size in run-length encoding; there is no `bbox`, with which evaluators would take its area for
the mask's. The file is valid without a single prediction: `[]`, reported as `predictions` 0.
"""

import logging

import msgspec

from bench.build import initial_weights, load
from bench.model import coco_results
from bench.plan import Context, Measurement
from bench.probes._images import images_protocol, open_run
from bench.record import Scalar, Subject

VERSION = 1
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = False

log = logging.getLogger(__name__)


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the masks depend on."""
    return {
        **images_protocol(context),
        "batch": 1,
        "dtype": context.dtype,
        "initial": initial_weights(subject, context),
    }


def measure(subject: Subject, context: Context) -> Measurement:
    """Predict every image; `images_empty` are those on which nothing was found."""
    model = load(subject, context)
    run = open_run(subject, context)
    results, num_empty = [], 0
    for batch in run:
        predictions = model.predict(batch, run.given(batch))
        found = list(coco_results(batch.image_ids, predictions, run.files.category_ids))
        results += found
        num_empty += not found
    if not results:
        log.warning("Nothing was found in any image of %s: its predictions.json is an empty list.", subject.name)
    values = {**run.values(), "images_empty": num_empty, "predictions": len(results)}
    units = {name: "predictions" if name == "predictions" else "images" for name in values}
    files = {"predictions.json": msgspec.json.encode(results), **run.report()}
    return Measurement(values=values, units=units, files=files)
