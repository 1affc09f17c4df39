"""The figure of what perfect masks reach through a grid."""

from bench.record import Subject
from bench.store import Store
from reports.figures.ladder import ladder
from reports.select.measured import measured
from tests.reports.figures.drawn import texts
from tests.reports.stores import DATA, add, subject


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


def test_heads_on_other_data_are_not_on_the_ladder(store: Store) -> None:
    add(store, Subject(head="grid14_soft", weights="none"), "ceiling", {"ap": 80.0})
    add(store, subject("effseg"), "accuracy_true_boxes", {"ap": 40.0}, protocol={**DATA, "lvis": "sha256:other"})
    assert "EffSeg" not in texts(ladder(measured(store)))
