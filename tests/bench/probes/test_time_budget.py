"""The time budget of a head: who is charged, and that nothing is lost."""

from itertools import count
from time import perf_counter

import pytest
import torch

from bench.contract import Context
from bench.model.build import load
from bench.names import HEAD_PARTS
from bench.planning.plan import load_probes
from bench.probes import time_budget
from bench.record import Subject
from bench.rulers import op_clock
from bench.rulers.op_clock import OUTSIDE, OpClock
from bench.rulers.random_input import random_input
from heads import Budget, top_cells
from tests.bench.found import rows_at

CONTEXT = Context(regions=3)
EFFSEG = Subject(head="effseg", backbone="small_fpn", preset="small", backend="sps", module="sfm")
HEADS = [
    EFFSEG,
    Subject(head="mask_rcnn", backbone="small_fpn", preset="small"),
    Subject(head="point_rend", backbone="small_fpn", preset="small"),
    Subject(head="refine_mask", backbone="small_fpn", preset="small"),
]


def ticking(subject: Subject) -> tuple[op_clock.PartTimes, int]:
    """The budget of a pass by a clock that ticks, a second each, whenever it is read; and how often it was."""
    ticks = count()
    head = load(subject, CONTEXT).head
    given = random_input(3, "small", CONTEXT, size=(128, 160))
    with torch.inference_mode(), OpClock(lambda: float(next(ticks)), time_budget.stages_of(head)) as clock:
        given.walk(head)
    return clock.ms, next(ticks)


@pytest.mark.parametrize("subject", HEADS, ids=lambda subject: str(subject.head))
def test_all_parts_of_all_stages_add_up_to_the_time_inside(subject: Subject) -> None:
    ms, reads = ticking(subject)
    # Entering and leaving take a reading each, an operation three: asking who is charged passes between the first two.
    num_operations, rest = divmod(reads - 2, 3)
    assert rest == 0
    assert sum(ms.values()) == 1000 * (2 * num_operations + 1)
    assert ms[0, "other"] == 1000 * (num_operations + 1)
    assert {part for _, part in ms} <= HEAD_PARTS.keys()


def test_every_stage_of_effseg_selects_subdivides_samples_and_convolves() -> None:
    ms, _ = ticking(EFFSEG)
    parts = {stage: {part for of, part in ms if of == stage} for stage in range(4)}
    refining = {"subdivision", "sampling", "convolution", "bookkeeping", "pointwise"}
    # The pyramid is made ready for sampling before the first of them.
    assert parts[0] == {"roi_align", "dense_convolution", "pointwise", "selection", "sampling", "bookkeeping", *OUTSIDE}
    assert parts[1] == parts[2] == refining | {"selection"}
    assert parts[3] == refining


def test_a_dense_head_has_layers_and_pasting_only() -> None:
    ms, _ = ticking(HEADS[1])
    assert {part for _, part in ms} == {"roi_align", "dense_convolution", "pointwise", *OUTSIDE}


def test_choosing_cells_is_selection_from_beginning_to_end() -> None:
    scores = torch.rand(40, generator=torch.Generator().manual_seed(0))
    with OpClock(perf_counter, []) as clock:
        top_cells(scores, (40,), (2,), Budget(5, "image"))
    assert {part for _, part in clock.ms} == {"selection", "other"}


def test_no_hook_stays_behind_after_an_error() -> None:
    head = load(EFFSEG, CONTEXT).head
    stages = time_budget.stages_of(head)
    with pytest.raises(RuntimeError, match="in vain"), OpClock(lambda: 0.0, stages):
        raise RuntimeError("in vain")
    assert not any(stage._forward_pre_hooks for stage in stages)


def test_values_are_means_and_sums_of_the_budgets() -> None:
    first: op_clock.PartTimes = {(0, "roi_align"): 2.0, (1, "pointwise"): 4.0, (0, "other"): 2.0}
    second: op_clock.PartTimes = {(1, "pointwise"): 2.0, (2, "pointwise"): 6.0, (0, "paste"): 2.0}
    found = list(time_budget.values_of([first, second]))
    assert {(value.name, value.unit) for value in found} == {("clocked_ms", "ms")}
    assert [(value.at, value.value) for value in found] == [
        ({}, 9.0),
        ({"part": "roi_align"}, 1.0),
        ({"part": "pointwise"}, 6.0),
        ({"part": "paste"}, 1.0),
        ({"part": "other"}, 1.0),
        ({"stage": 0, "part": "roi_align"}, 1.0),
        ({"stage": 1, "part": "pointwise"}, 3.0),
        ({"stage": 2, "part": "pointwise"}, 3.0),
    ]


def test_the_probe_measures_without_images_and_says_on_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_budget, "REPETITIONS", 1)
    probe = load_probes(["time_budget"])["time_budget"]
    found = probe.measure(EFFSEG, CONTEXT)
    whole = rows_at(found)
    parts = [value.value for value in found.values if value.at.keys() == {"part"}]
    assert sum(parts) == pytest.approx(whole["clocked_ms"].value)
    assert (whole["regions"].value, whole["regions"].unit, whole["latency_ms_head"].unit) == (3, "regions", "ms")
    protocol = probe.protocol(EFFSEG, CONTEXT)
    assert (protocol["images"], protocol["regions"]) == (None, 3)
