"""The recipe of models that others trained and published: what their authors state, measured, and what nobody states.

Imports no torch.
"""

from pathlib import Path

import msgspec

from bench.contract import Finishing
from bench.model import weights_folder
from bench.planning.plan import Cell
from bench.record import Subject

SCHEDULE = "published"
"""That of imported weights."""

_NAME = "published"

_DILATING = (None, "fqdet", "fqdetv2")
"""The detectors of the authors' code, which finishes masks so that they are dilated: its AP contains it."""

_HEADS = ("mask_rcnn", "point_rend", "refine_mask", "effseg")
_NUM_IMAGES = 50
"""So many images tell times and multiply-adds; all of them would take as long as the accuracy."""

_NUM_REGIONS = 100
"""Without images, multiply-adds are those for as many regions as there are detections at most."""


def published(weights: Path | None = None) -> list[Cell]:
    """Imported weights beside what their authors state: box and mask AP, AP*, APB*, parameters, multiply-adds, FPS."""
    subjects = [_public(head) for head in _HEADS] if weights is None else _imported(weights)
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


def _public(head: str) -> Subject:
    """What the authors of the paper published with a head."""
    is_effseg = head == "effseg"
    return Subject(
        head=head,
        backend="sps" if is_effseg else None,
        module="sfm" if is_effseg else None,
        backbone="r50_fpn",
        detector="fqdetv2",
        preset="paper",
        schedule=SCHEDULE,
    )


def _imported(weights: Path) -> list[Subject]:
    """The imported models among weights, in the paper's order. Raises ValueError where there is none."""
    found = [each for each in weights_folder.subjects_in(weights) if each.schedule == SCHEDULE]
    if not found:
        raise ValueError(
            f"{weights} has no model that was imported. The recipe published measures weights that others published. "
            f"Check the path, or import their files: run_bench.py import detseg FILE --out {weights}."
        )
    heads = (*_HEADS, *(each.head or "" for each in found))
    return sorted(
        (msgspec.structs.replace(each, weights="random") for each in found),
        key=lambda each: (heads.index(each.head or ""), weights_folder.stem(each)),
    )
