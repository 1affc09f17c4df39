"""The figure of where heads refine: maps, and cells where they are in the image."""

import numpy as np

from bench.store import Store
from reports.figures.activity import _traced, activity
from reports.select.measured import measured
from tests.reports.figures.drawn import texts
from tests.reports.stores import add, subject


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
