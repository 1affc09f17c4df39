"""The accuracy of true masks squeezed through a grid per object: the best that a head with such a grid could reach.

Every annotated object is read off the grid of its box, `soft` as the share of each cell that it covers or `binary` as
the cells of which it covers more than half, and pasted back as every head's masks are. Scored against the file that the
objects came from: COCO's for AP and boundary AP, LVIS's for AP* and APB*. Needs no image file and no weights.
"""

import re
from collections.abc import Collection, Sequence

import msgspec
import numpy as np

from bench.accuracy import evaluate
from bench.accuracy.archive import pack
from bench.accuracy.boundary import band_ious
from bench.accuracy.evaluate import protocols, score, values
from bench.accuracy.matching import Matches, match
from bench.accuracy.predictions import decode_predictions
from bench.contract import Context, Measurement
from bench.data.ground_truth import GroundTruth
from bench.inference.image_run import files_protocol
from bench.inference.scoring import RESAMPLES, SEED, scoring_protocol, truths
from bench.inference.squeeze import Rung, Squeezed, squeeze
from bench.model.assemble import encode_crop
from bench.model.segmenter import CocoResult
from bench.record import Scalar, Subject, Value, rows

VERSION = 1
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = False
OWN_FILES = True

_SUFFIXES = {"coco": "", "ap-star": "_star"}
"""What is added to the names of an annotation file's values, by the first protocol that goes with it."""


def rung(subject: Subject) -> Rung:
    """The grid that a subject names, such as `grid28_soft`. Raises ValueError for another head, schedule or weights."""
    name = re.fullmatch(r"grid([1-9]\d*)_(soft|binary)", subject.head or "")
    if name is None or (subject.schedule, subject.weights) != ("none", "none"):
        raise ValueError(
            f"The ceiling of {subject.name} with weights {subject.weights!r} was asked for. It has the head "
            "grid{side}_soft or grid{side}_binary, schedule 'none' and weights 'none'. Name a grid, or another probe."
        )
    return Rung(side=int(name[1]), soft=name[2] == "soft")


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say whose objects are squeezed and how they are scored; the subject says through which grid."""
    scored = {"scoring_version": evaluate.VERSION, **scoring_protocol(context)}
    return {**files_protocol(context), "boxes": "annotated, else the mask's", "paste": "bilinear > 0.5", **scored}


def measure(subject: Subject, context: Context) -> Measurement:
    """Squeeze, paste and score all objects but crowds; those without a pixel left are missing predictions.

    The box is the annotated one, and the mask's own where that has little in common with it (`boxes_replaced`).
    Beside the metrics, `mean_iou` and `mean_boundary_iou` are the mean overlaps of an object with its own squeezed
    mask, 0 where that is missing.
    """
    grid, annotated = rung(subject), truths(context)
    known = sorted({int(image_id) for truth, _ in annotated for image_id in truth.image_ids})
    images = set(known[: context.images])
    scored = [
        _score(truth, names, grid, images)
        for truth, names in annotated
        if not images.isdisjoint(truth.image_ids.tolist())
    ]
    parts = [part for part, _ in scored]
    return Measurement(
        values=(
            Value(name="images", value=len(images), unit="images"),
            *(value for part in parts for value in part.values),
        ),
        samples=pack([table for _, tables in scored for table in tables]),
        files={name: content for part in parts for name, content in part.files.items()},
    )


def _score(
    truth: GroundTruth, names: Sequence[str], grid: Rung, images: Collection[int]
) -> tuple[Measurement, list[Matches]]:
    """Values of one annotation file, by protocols with these names, and the match tables."""
    suffix = _SUFFIXES[names[0]]
    results: list[CocoResult] = []
    index: list[int] = []
    found_ious: list[float] = []
    num_objects = num_replaced = 0
    for each in squeeze(truth, grid, images):  # each mask is forgotten once it is encoded
        num_objects += 1
        num_replaced += each.box_replaced
        if each.mask.mask.any():
            results.append(_result(truth, each))
            index.append(each.truth)
            found_ious.append(each.iou)
    content = msgspec.json.encode(results)
    predictions = decode_predictions(content, f"predictions{suffix}.json", [truth])
    scoring = protocols(names)
    tables = match(truth, predictions, scoring, images=images)
    counts = {
        f"objects{suffix}": num_objects,
        f"objects_lost{suffix}": num_objects - len(results),
        f"boxes_replaced{suffix}": num_replaced,
    }
    overlaps: dict[str, float] = {}
    if num_objects:
        ious = np.array(found_ious)
        bands = band_ious(
            truth, predictions, np.arange(len(index)), np.array(index, np.int64), scoring[-1].dilation_ratio
        )
        overlaps[f"mean_iou{suffix}"] = float(ious.sum() / num_objects)
        overlaps[f"mean_boundary_iou{suffix}"] = float(np.minimum(ious, bands).sum() / num_objects)
    measured = Measurement(
        values=(*values(score(tables, resamples=RESAMPLES, seed=SEED)), *rows(counts, "objects"), *rows(overlaps)),
        files={f"predictions{suffix}.json": content},
    )
    return measured, tables


def _result(truth: GroundTruth, squeezed: Squeezed) -> CocoResult:
    """A prediction of score 1 with the class of the object."""
    category = int(truth.category_ids[truth.category[squeezed.truth]])
    mask = encode_crop(squeezed.mask, squeezed.size)
    return CocoResult(image_id=squeezed.image_id, category_id=category, score=1.0, segmentation=mask)
