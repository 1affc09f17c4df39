"""The accuracy of a model whose head gets the boxes and classes of the objects: what better detection could give."""

from bench.accuracy import evaluate
from bench.contract import Context, Measurement
from bench.inference.image_run import with_true_boxes
from bench.inference.scoring import accuracy_protocol, measure_accuracy
from bench.record import Scalar, Subject

VERSION = evaluate.VERSION
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True
SHARED = True


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the accuracy depends on."""
    return accuracy_protocol(subject, with_true_boxes(context))


def measure(subject: Subject, context: Context) -> Measurement:
    """Measure with the boxes of the objects, crowds left out, in the place of the detector's.

    They are COCO's, and on images that only the LVIS file lists, LVIS's (cocofied).
    """
    return measure_accuracy(subject, with_true_boxes(context))
