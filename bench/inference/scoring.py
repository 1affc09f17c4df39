"""Predictions of a model as a file, and the file's accuracy: what the probes of accuracy have in common.

Everything is computed from the bytes of `predictions.json`, so that the numbers can be had again without the model.
"""

from collections.abc import Sequence

import msgspec

from bench import ranks
from bench.accuracy.archive import pack
from bench.accuracy.cap import warn_of_cap
from bench.accuracy.evaluate import (
    COCO_PROTOCOLS,
    LVIS_PROTOCOLS,
    protocols,
    resampled_arrays,
    rules,
    score,
    unscored,
    values,
)
from bench.accuracy.matching import Matches, match, merge
from bench.accuracy.predictions import decode_predictions
from bench.contract import Context, Measurement
from bench.data import cocofy
from bench.data.ground_truth import GroundTruth
from bench.inference.image_run import coco_annotations, coco_truth, images_protocol, open_run
from bench.inference.predict import Found, join, model_protocol, predict
from bench.record import Scalar, Subject, Value

# The same for all, because two results are compared on the same resamples of the images.
RESAMPLES = 1000
SEED = 0


def truths(context: Context) -> list[tuple[GroundTruth, tuple[str, ...]]]:
    """Annotations of the images, and the protocols that go with them: of COCO, of LVIS (cocofied), or both.

    Raises ValueError where there is neither. Needs `context.data`.
    """
    annotations = coco_annotations(context)
    found: list[tuple[GroundTruth, tuple[str, ...]]] = []
    if annotations.is_file():
        found.append((coco_truth(context), COCO_PROTOCOLS))
    if context.lvis is not None:
        found.append((cocofy.read_cocofied(context.lvis), LVIS_PROTOCOLS))
    if not found:
        raise ValueError(
            f"There are no annotations: {annotations} is not there and no LVIS file was given. Accuracy needs one of "
            "them. Put the file there, or give one of LVIS as `lvis`."
        )
    return found


def scoring_protocol(context: Context) -> dict[str, Scalar]:
    """Say how predictions are scored."""
    names = (COCO_PROTOCOLS if coco_annotations(context).is_file() else ()) + (LVIS_PROTOCOLS if context.lvis else ())
    lvis_version = None if context.lvis is None else cocofy.version(context.lvis)
    return {"lvis_version": lvis_version, **rules(protocols(names), resamples=RESAMPLES, seed=SEED)}


def accuracy_protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what an accuracy depends on."""
    return {**images_protocol(context), **model_protocol(subject, context), **scoring_protocol(context)}


def measure_accuracy(subject: Subject, context: Context) -> Measurement:
    """Predict every image and score the file of predictions; the match tables and resamples are kept as samples.

    Images that could not be read are not of the run: their objects do not count as missed. Predictions on images that
    an annotation file lacks do not count for it, and `*_left_out` says how many. Ranks match what they predicted.
    """
    annotated = truths(context)  # first: a damaged file must not cost the predictions
    shares = ranks.gather(_matched(predict(subject, context, open_run(subject, context)), annotated))
    if ranks.rank() > 0:
        return Measurement()
    found = join((share for share, _, _ in shares), subject)
    tables = [merge(parts) for parts in zip(*(tables for _, tables, _ in shares), strict=True)]
    by_name = {table.protocol.name: table for table in tables}
    for truth, (name, *_) in annotated:
        warn_of_cap(by_name[name], truth.name)
    scores = score(tables, resamples=RESAMPLES, seed=SEED)
    counts = [_sum(of_ranks) for of_ranks in zip(*(counts for _, _, counts in shares), strict=True)]
    return Measurement(
        values=(*found.rows(), *values(scores), *counts),
        samples={**pack(tables), **resampled_arrays(scores)},
        files={"predictions.json": found.content, "images.json": found.image_ids, **found.report()},
    )


def _matched(
    found: Found, annotated: Sequence[tuple[GroundTruth, tuple[str, ...]]]
) -> tuple[Found, list[Matches], list[Value]]:
    """Predictions of a rank, its match tables, and for each the predictions left out and the images without any."""
    predictions = decode_predictions(found.content, "predictions.json", [truth for truth, _ in annotated])
    tables = [
        table
        for truth, names in annotated
        for table in match(truth, predictions, protocols(names), images=found.results.keys())
    ]
    return found, tables, [value for table in tables for value in unscored(predictions, table)]


def _sum(of_ranks: Sequence[Value]) -> Value:
    """The same count of all ranks together."""
    return msgspec.structs.replace(of_ranks[0], value=sum(each.value for each in of_ranks))
