"""A results file against annotation files, as numbers and as a record: the Python twin of the verb `evaluate`.

`score` and `values` turn match tables into the values of a record; the probe `accuracy` uses them as well.
"""

import csv
import io
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from bench import machine
from bench.accuracy.average_precision import metrics, num_classes, per_class
from bench.accuracy.bootstrap import intervals
from bench.accuracy.cocofy import read_cocofied
from bench.accuracy.ground_truth import GroundTruth, read_ground_truth
from bench.accuracy.matching import Matches, match
from bench.accuracy.predictions import Predictions, read_predictions
from bench.accuracy.protocol import PRESETS, VALUE_PREFIXES, ScoringProtocol
from bench.accuracy.verify import Check, check
from bench.record import Failure, Record, Scalar, Subject

VERSION = 1
"""Version of the accuracy in records, whoever made the predictions. Raise it when the same input gives other values."""

COCO_PROTOCOLS = ("coco", "coco-boundary")
LVIS_PROTOCOLS = ("ap-star", "apb-star")

_COLUMNS = ("protocol", "category_id", "name", "objects", "predictions", "ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l")


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one protocol says about predictions: metrics by their plain names (`ap`, `ap50`, ...) from 0 to 100.

    Metrics that no class has are left out. `intervals` are those of the metrics that have one.
    """

    matches: Matches
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    num_classes: int

    @property
    def protocol(self) -> ScoringProtocol:
        """The rules."""
        return self.matches.protocol


def protocols(names: Iterable[str], area: Literal["mask", "box"] = "mask") -> list[ScoringProtocol]:
    """Presets by name, with the area that puts a detection into a size range."""
    return [replace(PRESETS[name], detection_area=area) for name in names]


def score(matches: Iterable[Matches], *, resamples: int = 1000, seed: int = 0) -> list[Score]:
    """Metrics of match tables with 95 % intervals from resampled images; without intervals for 0 resamples."""
    return [
        Score(
            matches=table,
            metrics=metrics(table),
            intervals=intervals(table, resamples=resamples, seed=seed) if resamples else {},
            num_classes=num_classes(table),
        )
        for table in matches
    ]


def value_name(protocol: str, metric: str) -> str:
    """How a record calls a metric of a protocol: `ap50` of `ap-star` is `ap_star50`, `ar_s` of `coco-boundary` `arb_s`.

    Raises KeyError for a protocol that has no name in records.
    """
    prefix = VALUE_PREFIXES[protocol]
    return metric[:2] + prefix.removeprefix("ap") + metric[2:]


def values(
    scores: Iterable[Score],
) -> tuple[dict[str, int | float], dict[str, str], dict[str, tuple[float, float]]]:
    """Values, units and intervals of a record; beside the metrics, how many classes and images each mean is over.

    Raises KeyError for a protocol that has no name in records.
    """
    found: dict[str, int | float] = {}
    units: dict[str, str] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for each in scores:
        protocol = each.protocol.name
        prefix = VALUE_PREFIXES[protocol]
        named = {value_name(protocol, metric): value for metric, value in each.metrics.items()}
        counted = {f"{prefix}_classes": each.num_classes, f"{prefix}_images": len(each.matches.image_ids)}
        found |= named | counted
        units |= dict.fromkeys(named, "points") | {f"{prefix}_classes": "classes", f"{prefix}_images": "images"}
        bounds |= {value_name(protocol, metric): interval for metric, interval in each.intervals.items()}
    return found, units, bounds


def rules(scoring: Iterable[ScoringProtocol], *, resamples: int, seed: int) -> dict[str, Scalar]:
    """What a record's protocol says about how predictions are scored."""
    known = list(scoring)
    return {
        **{f"cap_{VALUE_PREFIXES[each.name]}": each.cap for each in known},
        "detection_area": ", ".join(dict.fromkeys(each.detection_area for each in known)),
        "dilation_ratio": next((each.dilation_ratio for each in known if each.iou == "boundary"), None),
        "resamples": resamples,
        "seed": seed,
    }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one results file. `checks` say how far official libraries are off, where they were asked."""

    predictions: Predictions
    coco: GroundTruth | None
    lvis: GroundTruth | None
    scores: tuple[Score, ...]
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
            **rules((each.protocol for each in self.scores), resamples=self.resamples, seed=self.seed),
        }

    def record(self) -> Record:
        """The evaluation as a record whose subject is the results file.

        A check that failed makes it a record with an error: numbers that two libraries disagree on are none.
        """
        found, units, bounds = self._values()
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
            values={} if failed else found,
            units={} if failed else units,
            intervals={} if failed else bounds,
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
        }
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for each in self.scores:
            for row in per_class(each.matches):
                counts = (row.num_objects, row.num_detections)
                numbers = (row.ap, row.ap50, row.ap75, row.ap_s, row.ap_m, row.ap_l)
                writer.writerow((each.protocol.name, row.category_id, names[row.category_id], *counts, *numbers))
        return text.getvalue()

    def _values(self) -> tuple[dict[str, int | float], dict[str, str], dict[str, tuple[float, float]]]:
        found, units, bounds = values(self.scores)
        extra: dict[str, int | float] = {"predictions": len(self.predictions.score)}
        extra["predictions_unknown"] = self.predictions.num_unknown
        for each in self.scores:
            extra[f"{VALUE_PREFIXES[each.protocol.name]}_left_out"] = num_elsewhere(self.predictions, each.matches)
        differences = {
            f"check_{check.library.replace('-', '_')}_{VALUE_PREFIXES[check.protocol]}": check.difference
            for check in self.checks
        }
        units |= dict.fromkeys(extra, "predictions") | dict.fromkeys(differences, "")
        return found | extra | differences, units, bounds


def _named(checksum: str) -> str:
    return f"sha256:{checksum.removeprefix('sha256:')}"


def num_elsewhere(predictions: Predictions, matches: Matches) -> int:
    """Predictions that do not count because they are on images that are not of these matches."""
    return int((~np.isin(predictions.image_id, matches.image_ids)).sum())


def evaluate(
    predictions: Path,
    *,
    coco: Path | None = None,
    lvis: Path | None = None,
    area: Literal["mask", "box"] = "mask",
    verify: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    allow_unknown: bool = False,
) -> Evaluation:
    """Score a COCO results file on all images of each annotation file.

    The COCO file gives AP and boundary AP, the LVIS file, cocofied on the fly, AP* and APB*. `verify` has the official
    libraries compute the same numbers. `allow_unknown` leaves out and counts predictions whose image or class no file
    knows, otherwise an error. Raises ValueError without an annotation file and for damaged input.
    """
    if coco is None and lvis is None:
        raise ValueError(
            f"There is nothing to compare {predictions} with; expected COCO annotations (for AP), LVIS annotations "
            "(for AP*) or both; give at least one annotation file."
        )
    started, begin = datetime.now(UTC).isoformat(timespec="microseconds"), time.perf_counter()
    coco_truth = None if coco is None else read_ground_truth(coco)
    lvis_truth = None if lvis is None else read_cocofied(lvis)
    truths: Sequence[GroundTruth] = [truth for truth in (coco_truth, lvis_truth) if truth is not None]
    found = read_predictions(predictions, truths, allow_unknown=allow_unknown)
    scores: list[Score] = []
    checks: list[Check] = []
    for truth, names in ((coco_truth, COCO_PROTOCOLS), (lvis_truth, LVIS_PROTOCOLS)):
        if truth is not None:
            tables = match(truth, found, protocols(names, area))
            scores += score(tables, resamples=resamples, seed=seed)
            checks += [check(truth, found, table) for table in tables] if verify else []
    return Evaluation(
        predictions=found,
        coco=coco_truth,
        lvis=lvis_truth,
        scores=tuple(scores),
        checks=tuple(checks),
        resamples=resamples,
        seed=seed,
        started=started,
        seconds=time.perf_counter() - begin,
    )
