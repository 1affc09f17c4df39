"""The figure of where the time goes."""

import msgspec

from bench.store import Store
from reports.figures.time_budget import time_budget
from reports.select.measured import measured
from tests.reports.figures.drawn import texts
from tests.reports.stores import MACHINE, add, subject


def test_phases_add_up_without_those_outside_the_clock(store: Store) -> None:
    assert time_budget([]) is None
    phases = {"latency_ms_backbone_median": 10.0, "latency_ms_head_median": 25.0, "latency_ms_encode_median": 100.0}
    add(store, subject("effseg"), "speed", {**phases, "latency_ms_median": 36.0, "latency_ms_p95": 50.0})
    add(store, subject("mask_rcnn"), "speed", {"fps_paper": 9.0})
    shown = texts(time_budget(measured(store)))
    assert {"EffSeg", "backbone", "head", "35"} <= set(shown)
    assert not {"encode", "Mask R-CNN++"} & set(shown)


def test_times_of_two_machines_are_not_side_by_side(store: Store) -> None:
    add(store, subject("effseg"), "speed", {"latency_ms_head_median": 1.0})
    (entry,) = store
    slow = msgspec.structs.replace(MACHINE, cpu="Slow CPU")
    other = msgspec.structs.replace(
        entry.record, machine=slow, subject=subject("mask_rcnn"), started="2026-02-01T00:00:00.000000+00:00"
    )
    store.add("demo", "00000001", other)
    figure = time_budget(measured(store))
    assert figure is not None
    assert {"EffSeg", "Mask R-CNN++"} & set(texts(figure)) == {"Mask R-CNN++"}
    assert "EffSeg (machine)" in figure.caption[-1]
