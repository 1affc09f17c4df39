"""The recipe of heads that were trained on a frozen detector by `train heads-on-frozen`. Imports no torch."""

from pathlib import Path

from bench.planning.plan import Cell
from bench.planning.subjects import HEADS, among, cells, one_of, subject

_NAME = "frozen"
_COSTS_IMAGES = 50
"""So many images tell times and multiply-adds; all of them would take as long as the accuracy."""


def frozen(weights: Path | None = None) -> list[Cell]:
    """Heads that `train heads-on-frozen` made on one detector: accuracy on its boxes and on true ones, and cost."""
    if weights is None:  # the detector is that of the weights which the heads will be trained on
        subjects = [subject(head, schedule="frozen_1ep") for head in HEADS]
    else:
        subjects = among(
            weights,
            lambda each: each.schedule.startswith("frozen_"),
            what="head that was trained on a frozen detector",
            command="train heads-on-frozen",
        )
    return [
        *cells(_NAME, one_of(subjects), ("box_accuracy",)),
        *cells(_NAME, subjects, ("params", "accuracy")),
        *cells(_NAME, subjects, ("accuracy_true_boxes",)),
        *cells(_NAME, subjects, ("flops", "speed"), images=_COSTS_IMAGES),
    ]
