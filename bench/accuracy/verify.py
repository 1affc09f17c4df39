"""Do official libraries find the same numbers? pycocotools for COCO's AP, faster-coco-eval for the others."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bench.accuracy.average_precision import metrics, precision_recall
from bench.accuracy.matching import Matches
from bench.accuracy.official import Official, official
from bench.accuracy.predictions import Predictions
from bench.accuracy.protocol import AREA_NAMES
from bench.data.ground_truth import GroundTruth

TOLERANCE = 1e-9
"""Largest difference on a scale of 0 to 1. The libraries themselves differ by 3e-16 between versions of numpy."""

_ABSENT = -1.0
"""What the libraries write for a class without objects."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Comparison with an official library by one protocol.

    `difference` is the largest one over all metrics, and over the precision of every class, size, IoU threshold and
    recall, on a scale of 0 to 1. `repairs` say how the library's input differs from the files.
    """

    protocol: str
    library: str
    version: str
    difference: float
    repairs: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the library agrees."""
        return self.difference <= TOLERANCE

    def sentence(self) -> str:
        """The finding in words."""
        library = f"{self.library} {self.version}"
        if self.passed:
            return f"{self.protocol}: {library} agrees, the largest difference is {self.difference:.1e}."
        return (
            f"{self.protocol}: {library} differs by {self.difference:.1e}; expected at most {TOLERANCE:.0e}; "
            "do not use these numbers, and report the files as a bug."
        )


def check(truth: GroundTruth, predictions: Predictions, matches: Matches) -> Check:
    """Compute the numbers of `matches` once more, from the ground truth and the predictions that it was made from.

    Raises ValueError where faster-coco-eval is needed and not installed, or cannot express the rules.
    """
    theirs = official(truth, predictions, matches.protocol, matches.image_ids)
    return Check(
        protocol=matches.protocol.name,
        library=theirs.library,
        version=theirs.version,
        difference=max(_curve_difference(matches, theirs), _metric_difference(matches, theirs)),
        repairs=theirs.repairs,
    )


def _curve_difference(matches: Matches, theirs: Official) -> float:
    ours = np.nan_to_num(precision_recall(matches), nan=_ABSENT)
    return float(np.abs(ours - theirs.precision.transpose(3, 0, 2, 1)).max(initial=0))


def _metric_difference(matches: Matches, theirs: Official) -> float:
    ours = metrics(matches)
    means = dict(_means(matches, theirs))
    return max(
        abs(ours.get(name, 100 * _ABSENT) / 100 - means.get(name, _ABSENT)) for name in ours.keys() | means.keys()
    )


def _means(matches: Matches, theirs: Official) -> Iterator[tuple[str, float]]:
    """The libraries' own means of their arrays, for any cap, by our names; what does not exist is left out."""
    protocol = matches.protocol

    def mean(values: Float64[np.ndarray, "..."]) -> float:
        present = values[values != _ABSENT]
        return float(present.mean()) if len(present) else _ABSENT

    yield "ap", mean(theirs.precision[..., 0])
    for name, threshold in (("ap50", 0.5), ("ap75", 0.75)):
        at = np.isclose(protocol.iou_thresholds, threshold)
        if at.any():
            yield name, mean(theirs.precision[at, ..., 0])
    for area, name in enumerate(AREA_NAMES[1:], start=1):
        yield f"ap_{name[0]}", mean(theirs.precision[..., area])
    for letter in {*matches.frequencies} - {""}:
        of_letter = np.array(matches.frequencies) == letter
        yield f"ap_{letter}", mean(theirs.precision[:, :, of_letter, 0])
    for place, cap in enumerate(theirs.caps):
        yield f"ar{cap}", mean(theirs.recall[:, :, 0, place])
    stem = f"ar{protocol.cap}" if protocol.federated else "ar"
    for area, name in enumerate(AREA_NAMES[1:], start=1):
        yield f"{stem}_{name[0]}", mean(theirs.recall[:, :, area, -1])
