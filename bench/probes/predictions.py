"""Predicted masks of all images of the run, as a COCO results file beside the record.

Masks are at original size in run-length encoding; there is no `bbox`, with which evaluators would take its area for
the mask's. The file is valid without a single prediction: `[]`, reported as `predictions` 0.
"""

from bench import ranks
from bench.contract import Context, Measurement
from bench.inference.image_run import images_protocol, open_run
from bench.inference.predict import join, model_protocol, predict
from bench.record import Scalar, Subject

VERSION = 1
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = False
SHARED = True


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the masks depend on."""
    return {**images_protocol(context), **model_protocol(subject, context)}


def measure(subject: Subject, context: Context) -> Measurement:
    """Predict every image; `images_empty` are those on which nothing was found."""
    shares = ranks.gather(predict(subject, context, open_run(subject, context)))
    found = join(shares, subject)
    return Measurement(
        values=tuple(found.rows()),
        files={"predictions.json": found.content, "images.json": found.image_ids, **found.report()},
    )
