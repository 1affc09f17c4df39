"""The recipe of heads that were trained on a frozen detector by `train heads-on-frozen`. Imports no torch."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bench.model import weights_folder
from bench.planning.plan import Cell
from bench.record import Subject

_HEADS = ("mask_rcnn", "point_rend", "refine_mask", "effseg")
_COSTS_IMAGES = 50
"""So many images tell times and multiply-adds; all of them would take as long as the accuracy."""


def frozen(weights: Path | None = None) -> list[Cell]:
    """Heads that `train heads-on-frozen` made on one detector: accuracy on its boxes and on true ones, and cost."""
    subjects = [_planned(head) for head in _HEADS] if weights is None else _trained(weights)
    return [
        *_cells(subjects[:1], ("box_accuracy",)),
        *_cells(subjects, ("params", "accuracy")),
        *_cells(subjects, ("accuracy_true_boxes",)),
        *_cells(subjects, ("flops", "speed"), images=_COSTS_IMAGES),
    ]


def _cells(subjects: Iterable[Subject], probes: Sequence[str], images: int | None = None) -> list[Cell]:
    return [
        Cell(recipe=frozen.__name__, subject=subject, probe=probe, images=images)
        for subject in subjects
        for probe in probes
    ]


def _planned(head: str) -> Subject:
    """A head of the paper, before any is trained: the detector of these is that of the weights they are trained on."""
    is_effseg = head == "effseg"
    return Subject(
        head=head,
        backend="sps" if is_effseg else None,
        module="sfm" if is_effseg else None,
        backbone="r50_fpn",
        preset="paper",
        schedule="frozen_1ep",
    )


def _trained(weights: Path) -> list[Subject]:
    """The heads that were trained on a frozen detector among weights. Raises ValueError where there is none."""
    found = [each for each in weights_folder.subjects_in(weights) if each.schedule.startswith("frozen_")]
    if not found:
        raise ValueError(
            f"{weights} has no head that was trained on a frozen detector. The recipe frozen measures these. Check the "
            "path, or train them: run_bench.py train heads-on-frozen."
        )
    heads = (*_HEADS, *(each.head or "" for each in found))
    return sorted(
        (msgspec.structs.replace(each, weights="random") for each in found),
        key=lambda each: (each.schedule, each.seed, heads.index(each.head or ""), each.module or ""),
    )
