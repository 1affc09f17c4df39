"""The accuracy of the boxes that all heads of a common detector get: AP of boxes by COCO's rules."""

from dataclasses import replace

import msgspec
import torch

from bench.accuracy import evaluate
from bench.accuracy.cap import warn_of_cap
from bench.accuracy.evaluate import rules, score, values
from bench.accuracy.matching import match
from bench.accuracy.predictions import decode_predictions
from bench.accuracy.protocol import PRESETS
from bench.contract import Context, Measurement
from bench.inference.detected import detected
from bench.inference.image_run import check_readable, coco_truth, images_protocol, open_run
from bench.inference.predict import model_protocol
from bench.inference.scoring import RESAMPLES, SEED
from bench.model.build import load
from bench.model.segmenter import DetectorOutput
from bench.record import Scalar, Subject, Value

VERSION = evaluate.VERSION
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True

RULES = PRESETS["coco-boxes"]


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the boxes depend on, and how they are scored."""
    return {
        **images_protocol(_of_detector(context)),
        **model_protocol(subject, context),
        **rules([replace(RULES, name="coco")], resamples=RESAMPLES, seed=SEED),  # whose cap it is, in records
    }


@torch.inference_mode()
def measure(subject: Subject, context: Context) -> Measurement:
    """Score what the detector finds, whatever the head; boxes count as they are, also where they leave the image.

    Only images that COCO's annotations list count. Raises ValueError without these annotations.
    """
    context = _of_detector(context)
    truth, run = coco_truth(context), open_run(subject, context)
    model = load(subject, context, run.files.category_ids)
    listed = set(truth.image_ids.tolist())
    found = {
        image_id: _results(image_id, output, run.files.category_ids) if image_id in listed else []
        for image_id, output in detected(model, subject, context, run)
    }
    check_readable(len(run.dataset), run.skipped)
    content = msgspec.json.encode([result for of_image in found.values() for result in of_image])
    predictions = decode_predictions(content, "boxes.json", [truth])
    (table,) = match(truth, predictions, [RULES], images=found.keys())
    warn_of_cap(table, truth.name)
    return Measurement(
        values=(
            *values(score([table], resamples=RESAMPLES, seed=SEED)),
            Value(name="boxes", value=len(predictions.score), unit="boxes"),
            *run.rows(),
        ),
        files=run.report(),
    )


def _of_detector(context: Context) -> Context:
    return replace(context, detections="detector")


def _results(image_id: int, output: DetectorOutput, category_ids: tuple[int, ...]) -> list[dict[str, object]]:
    """The detections of an image as COCO results, in original pixels."""
    (height, width), (input_height, input_width) = output.original_sizes[0], output.input_sizes[0]
    each = output.detections.per_prediction()
    scale = each.boxes.new_tensor([width / input_width, height / input_height] * 2)
    boxes = (each.boxes * scale).double()
    boxes[:, 2:] = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    return [
        {"image_id": image_id, "category_id": category_ids[label], "score": value, "bbox": box}
        for box, label, value in zip(boxes.tolist(), each.labels.tolist(), each.scores.tolist(), strict=True)
    ]
