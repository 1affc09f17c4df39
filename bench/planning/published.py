"""The recipe of models that others trained and published: what their authors state, measured, and what nobody states.

Imports no torch.
"""

from pathlib import Path

from bench.contract import Finishing
from bench.planning.plan import Cell
from bench.planning.subjects import HEADS, among, subject
from bench.record import Subject

SCHEDULE = "published"
"""That of imported weights."""

_NAME = "published"

_DILATING = (None, "fqdet", "fqdetv2")
"""The detectors of the authors' code, which finishes masks so that they are dilated: its AP contains it."""

_NUM_IMAGES = 50
"""So many images tell times and multiply-adds; all of them would take as long as the accuracy."""

_NUM_REGIONS = 100
"""Without images, multiply-adds are those for as many regions as there are detections at most."""


def published(weights: Path | None = None) -> list[Cell]:
    """Imported weights beside what their authors state: box and mask AP, AP*, APB*, parameters, multiply-adds, FPS."""
    if weights is None:
        subjects = [subject(head, detector="fqdetv2", schedule=SCHEDULE) for head in HEADS]
    else:
        subjects = among(
            weights,
            lambda each: each.schedule == SCHEDULE,
            what="model that was imported",
            command=f"import detseg FILE --out {weights}",
        )
    return [
        *(Cell(recipe=_NAME, subject=of, probe="params") for of in subjects),
        # Model by model, what is compared with the authors' numbers first: what else is measured can wait.
        *(cell for of in subjects for cell in _compared(of)),
        *(Cell(recipe=_NAME, subject=of, probe="flops", images=_NUM_IMAGES, regions=_NUM_REGIONS) for of in subjects),
        *(Cell(recipe=_NAME, subject=of, probe="speed", images=_NUM_IMAGES) for of in subjects),
        *(_masks(of, "exact") for of in subjects if of.detector in _DILATING),
    ]


def _compared(of: Subject) -> list[Cell]:
    """What authors state: the AP of boxes, and of masks finished as theirs are."""
    finishing: Finishing = "dilated" if of.detector in _DILATING else "exact"
    return [Cell(recipe=_NAME, subject=of, probe="box_accuracy"), _masks(of, finishing)]


def _masks(of: Subject, finishing: Finishing) -> Cell:
    return Cell(recipe=_NAME, subject=of, probe="accuracy", finishing=finishing)
