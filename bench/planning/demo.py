"""The recipe of the embedded benchmark: what was trained on it, the shipped weights or somebody's. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

from bench import catalog
from bench.planning.own_data import SHIPPED
from bench.planning.plan import Cell
from bench.planning.subjects import among, cells, one_of
from bench.record import Subject

_NAME = "demo"
_TRUE_BOXES_IMAGES = 150
_DETECTED_IMAGES = 80
"""Fewer: a head draws up to 100 masks on each of these, twenty times as many as in true boxes."""

_DRAWN_IMAGES = 40
"""Enough for the worst and the best of a hundred objects."""

_TIMED_IMAGES = 8
_COUNTED_IMAGES = 3


def demo(weights: Path | None = None) -> list[Cell]:
    """Everything below on the embedded data with the shipped weights, sized for a laptop."""
    trained = among(
        weights or SHIPPED,
        lambda each: each.schedule == "glyphs",
        what="head that was trained on the embedded data",
        command="train glyphs",
    )
    usual = [each for each in trained if _is_usual(each)]
    # Of each head, the seeds follow each other: `among` sorts by seed.
    first = [each for each in usual if each.seed == min(other.seed for other in usual if other.head == each.head)]
    effseg = [each for each in first if each.head == "effseg"]
    return [
        *cells(_NAME, first, ("speed",), images=_TIMED_IMAGES),
        *cells(_NAME, first, ("flops",), images=_COUNTED_IMAGES),
        *cells(_NAME, first, ("region_cost",)),
        # What looks at the same images with the same boxes and preset stands together: the detector does so once.
        *_in_true_boxes([each for each in trained if each.preset != "small"]),
        *_in_true_boxes([each for each in trained if each.preset == "small"]),
        *cells(_NAME, first, ("pictures",), images=_DRAWN_IMAGES),
        *cells(_NAME, one_of([*effseg, *first]), ("box_accuracy",), images=_TRUE_BOXES_IMAGES),
        *cells(_NAME, first, ("accuracy",), images=_DETECTED_IMAGES),
        *cells(_NAME, effseg, ("policies", "budget"), images=30),
        *cells(_NAME, effseg, ("trace",), images=12),
        *cells(
            _NAME,
            (Subject(backend=backend, weights="none") for backend in catalog.names("sparsity")),
            ("backend_cost",),
            regions=20,
            budget=2_000,
        ),
    ]


def _in_true_boxes(subjects: Sequence[Subject]) -> list[Cell]:
    return cells(_NAME, subjects, ("params", "accuracy_true_boxes"), images=_TRUE_BOXES_IMAGES)


def _is_usual(subject: Subject) -> bool:
    """Whether a head is as its small preset has it: EffSeg with the paper's module."""
    return subject.preset == "small" and subject.module in (None, "sfm")
