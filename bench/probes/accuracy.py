"""AP, boundary AP, AP* and APB* of a model, with intervals, from its file of predictions beside the record."""

from bench.accuracy import evaluate
from bench.contract import Context, Measurement
from bench.inference.scoring import accuracy_protocol, measure_accuracy
from bench.record import Scalar, Subject

VERSION = evaluate.VERSION
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True
SHARED = True


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the accuracy depends on."""
    return accuracy_protocol(subject, context)


def measure(subject: Subject, context: Context) -> Measurement:
    """Predict, write, score: COCO annotations give AP and boundary AP, the LVIS file AP* and APB*."""
    return measure_accuracy(subject, context)
