"""A results file against annotation files, as numbers and as a record: the Python twin of the verb `evaluate`.

`score` and `values` turn match tables into the values of a record; the probe `accuracy` uses them as well.
"""

import csv
import hashlib
import io
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from jaxtyping import Float64

from bench import machine
from bench.accuracy.analysis import Analysis, analyse
from bench.accuracy.average_precision import metrics, num_classes, per_class, same_as_ap
from bench.accuracy.bootstrap import require_drawable, resample
from bench.accuracy.cap import warn_of_cap
from bench.accuracy.errors import across_classes
from bench.accuracy.joining import NO_CLASS, image_ids
from bench.accuracy.matching import Matches, match
from bench.accuracy.one_class import one_class
from bench.accuracy.predictions import Predictions, from_results, read_predictions
from bench.accuracy.protocol import COUNT_PREFIXES, PRESETS, VALUE_PREFIXES, ScoringProtocol, value_name
from bench.accuracy.selection import Entries
from bench.accuracy.verify import Check, check
from bench.data.cocofy import read_cocofied
from bench.data.findings import data_rows
from bench.data.ground_truth import GroundTruth, read_ground_truth
from bench.data.image_ids import Id, original
from bench.record import Failure, Record, Scalar, Subject, Value, rows

VERSION = 1
"""Version of the accuracy in records, whoever made the predictions. Raise it when the same input gives other values."""

COCO_PROTOCOLS = ("coco", "coco-boundary")
BOX_PROTOCOLS = ("coco-boxes",)
LVIS_PROTOCOLS = ("ap-star", "apb-star")

_log = logging.getLogger(__name__)

_COLUMNS = ("protocol", "category_id", "name", "objects", "predictions", "ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l")


@dataclass(frozen=True, kw_only=True)
class Score:
    """Metrics of predictions by one protocol, under their plain names (`ap`, `ap50`, ...) from 0 to 100.

    Metrics that no class has are left out, and an AP by frequency that equals `ap`. `intervals` are those of metrics
    that have one, `resampled` their values on the resamples these are from.
    """

    matches: Matches
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    resampled: Mapping[str, Float64[np.ndarray, "B"]]
    num_classes: int

    @property
    def protocol(self) -> ScoringProtocol:
        """The rules."""
        return self.matches.protocol


def protocols(
    names: Iterable[str],
    area: Literal["mask", "box"] = "mask",
    *,
    cap: int | None = None,
    class_agnostic: bool = False,
) -> list[ScoringProtocol]:
    """Presets by name, with the area that puts a detection into a size range; that of boxes is always their own.

    `cap` takes the place of the preset's. Raises ValueError for one below 1, and for LVIS's rules without classes.
    """
    if cap is not None and cap < 1:
        raise ValueError(f"The cap on detections is {cap}; expected at least 1; give 100, as COCO has it, or more.")
    chosen = [PRESETS[name] for name in names]
    if class_agnostic and any(each.federated for each in chosen):
        raise ValueError(
            "Scoring without classes is asked for by LVIS's rules; expected COCO's: LVIS says class by class what was "
            "looked for on an image, which means nothing once all classes are one; give COCO annotations alone."
        )
    return [
        replace(
            each,
            detection_area="box" if each.iou == "bbox" else area,
            cap=each.cap if cap is None else cap,
            class_agnostic=class_agnostic,
        )
        for each in chosen
    ]


def score(matches: Iterable[Matches], *, resamples: int = 1000, seed: int = 0) -> list[Score]:
    """Metrics of match tables with 95 % intervals from resampled images; without intervals for 0 resamples."""
    scores = []
    for table in matches:
        names = same_as_ap(table)
        redrawn = resample(table, resamples=resamples, seed=seed) if resamples else None
        bounds = {} if redrawn is None else redrawn.intervals()
        scores.append(
            Score(
                matches=table,
                metrics={name: value for name, value in metrics(table).items() if name not in names},
                intervals={name: interval for name, interval in bounds.items() if name not in names},
                resampled={} if redrawn is None else {name: redrawn.values[name] for name in bounds.keys() - names},
                num_classes=num_classes(table),
            )
        )
    return scores


def values(scores: Iterable[Score]) -> Iterator[Value]:
    """Values of a record: the metrics, and over how many classes and images each mean is.

    Raises KeyError for a protocol that has no name in records.
    """
    for each in scores:
        protocol = each.protocol.name
        prefix = COUNT_PREFIXES[protocol]
        for metric, value in each.metrics.items():
            interval = each.intervals.get(metric)
            yield Value(name=value_name(protocol, metric), value=value, unit="points", interval=interval)
        yield Value(name=f"{prefix}_classes", value=each.num_classes, unit="classes")
        yield Value(name=f"{prefix}_images", value=len(each.matches.image_ids), unit="images")


def unscored(predictions: Predictions, matches: Matches) -> Iterator[Value]:
    """Counts beside metrics: predictions on images that are not of these matches, and images without a prediction.

    There are many of the latter where a part of a data set was run and all of it scored.
    """
    prefix = COUNT_PREFIXES[matches.protocol.name]
    num_elsewhere = int((~np.isin(predictions.image_id, matches.image_ids)).sum())
    num_empty = int((~np.isin(matches.image_ids, predictions.image_id)).sum())
    yield Value(name=f"{prefix}_left_out", value=num_elsewhere, unit="predictions")
    yield Value(name=f"{prefix}_images_empty", value=num_empty, unit="images")


def resampled_arrays(scores: Iterable[Score]) -> dict[str, Float64[np.ndarray, "B"]]:
    """Metrics on the resamples as a record keeps them: `resampled_<value name>`.

    Resample `b` is made of the same images for every result on the same images with the same seed, so that two records
    can be compared without anything else.
    """
    return {
        f"resampled_{value_name(each.protocol.name, metric)}": values
        for each in scores
        for metric, values in sorted(each.resampled.items())
    }


def rules(scoring: Iterable[ScoringProtocol], *, resamples: int, seed: int) -> dict[str, Scalar]:
    """The part of a record's protocol about how predictions are scored: `class_agnostic` only where it is true."""
    known = list(scoring)
    return {
        **{f"cap_{VALUE_PREFIXES[each.name]}": each.cap for each in known},
        "detection_area": ", ".join(dict.fromkeys(each.detection_area for each in known)),
        "dilation_ratio": next((each.dilation_ratio for each in known if each.iou == "boundary"), None),
        **({"class_agnostic": True} if any(each.class_agnostic for each in known) else {}),
        "resamples": resamples,
        "seed": seed,
    }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one results file. `checks` say how far official libraries are off, where they were asked.

    `analyses` say where they lose, protocol by protocol, where this was asked for.

    `images` are those of the run, as in a record: "all" of each annotation file, or the checksum of their list.
    """

    predictions: Predictions
    coco: GroundTruth | None
    lvis: GroundTruth | None
    images: str
    left_out_maskless: bool
    scores: tuple[Score, ...]
    analyses: tuple[Analysis, ...]
    checks: tuple[Check, ...]
    resamples: int
    seed: int
    started: str
    seconds: float

    @property
    def protocol(self) -> dict[str, Scalar]:
        """How it was evaluated, as in a record. Files count by their content."""
        return {
            "probe": "accuracy",
            "version": VERSION,
            "predictions": _named(self.predictions.sha256),
            "annotations": None if self.coco is None else _named(self.coco.sha256),
            "lvis": None if self.lvis is None else _named(self.lvis.sha256),
            "lvis_version": None if self.lvis is None else self.lvis.version,
            "images": self.images,
            **({"objects_without_mask": "left out"} if self.left_out_maskless else {}),
            **({"errors": True} if self.analyses else {}),
            **rules((each.protocol for each in self.scores), resamples=self.resamples, seed=self.seed),
        }

    def record(self) -> Record:
        """The evaluation as a record whose subject is the results file.

        A check that failed makes it a record with an error: numbers that two libraries disagree on are none.
        """
        failed = [check.sentence() for check in self.checks if not check.passed]
        error = Failure(type="VerificationError", message=" ".join(failed), frames=()) if failed else None
        return Record(
            subject=Subject(
                head=Path(self.predictions.name).name.removesuffix(".gz").removesuffix(".json"),
                weights=_named(self.predictions.sha256),
            ),
            protocol=self.protocol,
            machine=machine.card(),
            code=machine.code(),
            values=() if failed else tuple(self._values()),
            error=error,
            started=self.started,
            seconds=self.seconds,
        )

    def per_class_csv(self) -> str:
        """One row per protocol and class, as CSV with a header; a cell is empty where a class has no such value."""
        names = {
            int(category): name
            for truth in (self.lvis, self.coco)
            if truth is not None
            for category, name in zip(truth.category_ids, truth.category_names, strict=True)
        } | ({NO_CLASS: "all classes"} if any(each.protocol.class_agnostic for each in self.scores) else {})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for each in self.scores:
            for row in per_class(each.matches):
                counts = (row.num_objects, row.num_detections)
                numbers = (row.ap, row.ap50, row.ap75, row.ap_s, row.ap_m, row.ap_l)
                writer.writerow((each.protocol.name, row.category_id, names[row.category_id], *counts, *numbers))
        return text.getvalue()

    def _values(self) -> Iterator[Value]:
        yield from values(self.scores)
        counts = {"predictions": len(self.predictions.score), "predictions_unknown": self.predictions.num_unknown}
        yield from rows(counts, "predictions")
        for scored in self.scores:
            yield from unscored(self.predictions, scored.matches)
        for analysis in self.analyses:
            yield from analysis.values(resamples=self.resamples, seed=self.seed)
        yield from data_rows(found for truth in (self.coco, self.lvis) if truth is not None for found in truth.findings)
        for each in self.checks:
            library = each.library.replace("-", "_")
            yield Value(name=f"check_{library}_{VALUE_PREFIXES[each.protocol]}", value=each.difference)


def _named(checksum: str) -> str:
    return f"sha256:{checksum.removeprefix('sha256:')}"


def evaluate(
    predictions: Path | Sequence[Mapping[str, object]],
    *,
    coco: Path | None = None,
    lvis: Path | None = None,
    images: Collection[Id] | None = None,
    area: Literal["mask", "box"] = "mask",
    boxes: bool = False,
    class_agnostic: bool = False,
    cap: int | None = None,
    errors: bool = False,
    verify: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    allow_unknown: bool = False,
    leave_out_maskless: bool = False,
) -> Evaluation:
    """Score COCO results, a file or what it would hold, on the images that the model was run on.

    The COCO file gives AP and boundary AP, the LVIS file, cocofied on the fly, AP* and APB*. With `boxes` it is the AP
    of boxes instead, those of the results or of their masks, by COCO's rules; with `class_agnostic` all classes are
    one, by COCO's rules too; `cap` is how many predictions count, instead of 100. `images` are the ids of the run,
    None for all of each annotation file. `verify` has the official libraries compute the same numbers. `allow_unknown`
    leaves out what no annotation file knows: images of the run, and predictions by their image or class, which are
    counted; `leave_out_maskless` objects of the COCO file that have only a box. Otherwise both are errors.
    Raises ValueError without an annotation file, with LVIS annotations in COCO's place, for `boxes` or
    `class_agnostic` with LVIS annotations, for a negative number of resamples or seed, a cap below 1, and for damaged
    input.
    """
    require_drawable(resamples, seed, fewest=0)
    if coco is None and lvis is None:
        raise ValueError(
            "There is nothing to compare the predictions with; expected COCO annotations (for AP), LVIS annotations "
            "(for AP*) or both; give at least one annotation file."
        )
    of_coco = protocols(BOX_PROTOCOLS if boxes else COCO_PROTOCOLS, area, cap=cap, class_agnostic=class_agnostic)
    of_lvis = protocols(LVIS_PROTOCOLS, area, cap=cap, class_agnostic=class_agnostic) if lvis is not None else []
    if boxes and lvis is not None:
        raise ValueError(
            f"{lvis} was given for the AP of boxes; expected COCO annotations, by whose rules boxes are scored; "
            "give these alone."
        )
    started, begin = datetime.now(UTC).isoformat(timespec="microseconds"), time.perf_counter()
    coco_truth = None if coco is None else _read_coco(coco, leave_out_maskless)
    lvis_truth = None if lvis is None else read_cocofied(lvis)
    truths = [truth for truth in (coco_truth, lvis_truth) if truth is not None]
    run = None if images is None else _run(images, truths, allow_unknown)
    if isinstance(predictions, Path):
        found = read_predictions(predictions, truths, allow_unknown=allow_unknown, class_agnostic=class_agnostic)
    else:
        found = from_results(predictions, truths, allow_unknown=allow_unknown, class_agnostic=class_agnostic)
    scores: list[Score] = []
    analyses: list[Analysis] = []
    checks: list[Check] = []
    for truth, scoring in ((coco_truth, of_coco), (lvis_truth, of_lvis)):
        if truth is not None:
            compared = one_class(truth, found) if class_agnostic else (truth, found)
            entries = Entries(*compared, run)
            overlaps = across_classes(entries, scoring) if errors else None
            tables = match(*compared, scoring, images=run, overlaps=overlaps)
            warn_of_cap(tables[0], truth.name)
            scores += score(tables, resamples=resamples, seed=seed)
            checks += [check(truth, found, table) for table in tables] if verify else []
            analyses += [] if overlaps is None else analyse(entries, tables, overlaps)
            if scores[-1].num_classes == 0:
                _log.warning("%s has no object on these images that counts: every number is n/a.", truth.name)
    _warn_of_nothing(found, scores)
    return Evaluation(
        predictions=found,
        coco=coco_truth,
        lvis=lvis_truth,
        images="all" if run is None else _named(hashlib.sha256(msgspec.json.encode(run)).hexdigest()),
        left_out_maskless=leave_out_maskless,
        scores=tuple(scores),
        analyses=tuple(analyses),
        checks=tuple(checks),
        resamples=resamples,
        seed=seed,
        started=started,
        seconds=time.perf_counter() - begin,
    )


def _read_coco(path: Path, leave_out_maskless: bool) -> GroundTruth:
    truth = read_ground_truth(path, leave_out_maskless=leave_out_maskless)
    # Synsets alone make no LVIS: without lists of what was looked for, COCO's rules are the only ones that there are.
    if "LVIS" in truth.version and len(truth.negative) + len(truth.not_exhaustive) > 0:
        raise ValueError(
            f"{path} was given as COCO annotations and is {truth.version}; by COCO's rules, all that LVIS does not "
            "annotate would be a mistake; give it as LVIS annotations."
        )
    return truth


def _run(images: Collection[Id], truths: Sequence[GroundTruth], allow_unknown: bool) -> list[int]:
    """The images of a run, each once and ascending, those that no annotation file knows left out where allowed."""
    every = set(image_ids([*images], truths, name="The list of images").tolist())
    known = {image_id for truth in truths for image_id in truth.image_ids.tolist()}
    unknown = every - known
    if unknown and not allow_unknown:
        raise ValueError(
            f"The images of the run include {original(min(unknown))}, which no annotation file given lists "
            f"({len(unknown)} of {len(every)} are unknown); expected some of {len(known)}; give the annotation file "
            "that belongs to it, or say `allow_unknown`: unknown ones are left out."
        )
    return sorted(every & known)


def _warn_of_nothing(predictions: Predictions, scores: Sequence[Score]) -> None:
    """Zeros for want of predictions look like those of a bad model."""
    if len(predictions.score):
        return
    if predictions.num_unknown:
        _log.warning(
            "All %d predictions of %s are on images or of classes that no annotation file knows: none is left.",
            predictions.num_unknown,
            predictions.name,
        )
    elif any(each.num_classes for each in scores):
        _log.warning("%s holds no predictions: every annotated object counts as missed.", predictions.name)
