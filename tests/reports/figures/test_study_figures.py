"""Figures of single studies: where time goes, where heads refine, what perfect masks reach; places of labels."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure as Drawing

from bench.record import Subject
from bench.store import Store
from reports.figures.activity import _traced, activity
from reports.figures.budget import budget
from reports.figures.ladder import ladder
from reports.figures.places import Labelled, label_points
from reports.figures.style import Figure
from reports.figures.time_budget import time_budget
from reports.select.measured import Measured, measured
from tests.reports.figures.drawn import texts
from tests.reports.stores import DATA, MACHINE, add, subject


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


def test_a_map_for_every_stage(store: Store) -> None:
    assert activity([]) is None
    values = {"images": 3, "stage1_active_fraction": 0.5, "stage2_active_fraction": 0.25}
    maps = {"stage1_active_map": np.full((28, 28), 0.5), "stage2_active_map": np.full((56, 56), 0.25)}
    entry = add(store, subject("effseg"), "trace", values, samples=maps)
    figure = activity(measured(store))
    assert {"28 x 28: 50 %", "56 x 56: 25 %"} <= set(texts(figure))
    entry.path.with_suffix(".npz").unlink()
    assert activity(measured(store)) is None


def scene(active: np.ndarray, boxes: list[list[float]]) -> dict[str, np.ndarray]:
    """Arrays of image 7, 20 pixels high and 40 wide, whose boxes are split into 4 x 4 cells in the only stage."""
    return {
        "image_ids": np.array([7]),
        "stage1_active_map": np.full((4, 4), 0.5),
        "scene7_pixels": np.arange(800, dtype=np.uint8).reshape(20, 40),
        "scene7_boxes": np.array(boxes, np.float32),
        "scene7_stage1_active": np.packbits(active.reshape(len(active), -1), axis=1),
    }


def test_active_cells_are_where_they_are_in_the_image(store: Store) -> None:
    """A box of 8 x 8 pixels, of which the upper half is active, and one that lies half outside, all active."""
    active = np.ones((2, 4, 4), bool)
    active[0, 2:] = False
    samples = scene(active, [[10, 4, 18, 12], [36, 2, 44, 10]])
    add(store, subject("effseg"), "trace", {"images": 1, "stage1_active_fraction": 0.75}, samples=samples)
    (record,) = measured(store)
    found = _traced(record, "EffSeg", 1).snapshots[0]
    expected = np.zeros((20, 40), bool)
    expected[4:8, 10:18] = True
    expected[2:10, 36:] = True
    assert np.array_equal(found.covered(1), expected)
    assert found.share(1) == 100 * (32 + 32) / (64 + 32)
    figure = activity(measured(store))
    assert {"4 x 4: 75 %", "67 % of the boxes", "image 7"} <= set(texts(figure))


def test_what_two_boxes_refine_counts_once(store: Store) -> None:
    active = np.zeros((2, 4, 4), bool)
    active[0, :2] = active[1, :1] = True
    samples = scene(active, [[8, 4, 16, 12]] * 2)
    add(store, subject("effseg"), "trace", {"images": 1, "stage1_active_fraction": 0.375}, samples=samples)
    assert "50 % of the boxes" in texts(activity(measured(store)))


def test_all_heads_share_the_room_for_images(store: Store) -> None:
    values = {"images": 2, "stage1_active_fraction": 0.5}
    samples = scene(np.ones((1, 4, 4), bool), [[0, 0, 9, 9]])
    others = {name.replace("scene7", "scene9"): array for name, array in samples.items()}
    samples = {**samples, **others, "image_ids": np.array([7, 9])}
    add(store, subject("effseg"), "trace", values, samples=samples)
    shown = texts(activity(measured(store)))
    assert "image 7" in shown
    assert "image 9" in shown
    add(store, subject("point_rend"), "trace", values, samples=samples)
    shown = texts(activity(measured(store)))
    assert shown.count("image 7") == 2
    assert "image 9" not in shown


def test_the_ladder_rises_with_the_grid_beside_the_heads_on_the_same_data(store: Store) -> None:
    assert ladder([]) is None
    for side, ap in ((112, 99.0), (14, 80.0), (28, 90.0)):
        rung = Subject(head=f"grid{side}_soft", weights="none")
        add(store, rung, "ceiling", {"ap": ap}, intervals={"ap": (ap - 1, ap + 0.5)})
    add(store, subject("effseg"), "accuracy_true_boxes", {"ap": 40.0})
    figure = ladder(measured(store))
    assert figure is not None
    assert "AP, soft: 14 80.0, 28 90.0, 112 99.0" in figure.svg
    assert {"AP", "soft", "EffSeg"} <= set(texts(figure))
    assert "APB" not in texts(figure)


@pytest.mark.parametrize(
    ("drawn", "probe", "values"),
    [
        (activity, "trace", {"images": 1, "stage1_active_fraction": 0.5}),
        (budget, "budget", {"cells_trained": 9.0, "latency_ms_trained": 5.0, "apb_trained": 40.0}),
        (ladder, "ceiling", {"ap": 80.0}),
    ],
)
def test_what_a_figure_leaves_out_is_said(
    store: Store, drawn: Callable[[Sequence[Measured]], Figure | None], probe: str, values: dict[str, float]
) -> None:
    maps = {"stage1_active_map": np.full((4, 4), 0.5)}
    add(store, subject("grid14_soft"), probe, values, samples=maps, protocol={**DATA, "images": "first 5"})
    add(store, subject("grid28_soft"), probe, values, samples=maps, second=1)
    figure = drawn(measured(store))
    assert figure is not None
    said = f"Left out of {probe}, because measured otherwise than the newest: grid14_soft (images)."
    assert figure.caption[-1] == said


def test_heads_on_other_data_are_not_on_the_ladder(store: Store) -> None:
    add(store, Subject(head="grid14_soft", weights="none"), "ceiling", {"ap": 80.0})
    add(store, subject("effseg"), "accuracy_true_boxes", {"ap": 40.0}, protocol={**DATA, "lvis": "sha256:other"})
    assert "EffSeg" not in texts(ladder(measured(store)))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.2, 0.8)), min_size=1, max_size=4))
def test_labels_stay_in_their_panel(points: list[tuple[float, float]]) -> None:
    axes = Drawing().subplots()
    axes.set(xlim=(-0.3, 1.3), ylim=(0, 1))
    found = [Labelled(text="PointRend++", x=x, y=y, low=y - 0.1, high=y + 0.1) for x, y in points]
    label_points(axes, found, (3.0, 2.0))
    places = [each.xy for each in axes.texts]
    assert all(0 < x < 1 and 0 < y < 1 for x, y in places)


def test_points_on_top_of_each_other_have_labels_that_do_not_touch() -> None:
    axes = Drawing().subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    label_points(axes, [Labelled(text="Head", x=0.5, y=0.5, low=0.4, high=0.6)] * 2, (3.0, 2.0))
    first, second = (each.xy for each in axes.texts)
    assert abs(first[1] - second[1]) * 2.0 > 0.13 or abs(first[0] - second[0]) * 3.0 > 4 * 0.066
