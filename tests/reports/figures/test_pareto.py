"""The figures of accuracy against the cost of the head."""

from pathlib import Path

from bench.record import Record
from reports.figures.pareto import at_equal_regions, at_own_regions
from reports.select.measured import measured
from tests.reports.embedded_records import accuracy, keep, record, region_cost, trained
from tests.reports.figures.drawn import texts


def of_head(head: str, ap_star: float, gmacs: float, ms: float, *, regions: float = 96.0) -> list[Record]:
    """A head that costs so much at 100 regions, and half of it at its own."""
    subject = trained(head)
    return [
        accuracy(subject, ap_star),
        region_cost(subject, {10: (gmacs / 10, ms / 10), 100: (gmacs, ms)}),
        record(subject, "flops", {"macs_head": gmacs * 0.5e9, "regions": regions}),
        record(subject, "speed", {"latency_ms_head_median": ms / 2}),
    ]


HEADS = [
    *of_head("effseg", 40.0, 2.0, 30.0, regions=42.0),
    *of_head("bmask", 35.0, 4.0, 20.0),
    *of_head("mask_rcnn", 30.0, 1.0, 10.0),
    accuracy(trained("mask_rcnn", seed=1), 34.0),
]


def test_who_is_on_the_front_by_either_cost(tmp_path: Path) -> None:
    figure = at_equal_regions(measured(keep(tmp_path, *HEADS)))
    assert figure is not None
    assert figure.title == "Which head is worth its cost, at 100 regions?"
    assert "APB* on true boxes by GMACs, on the front: Mask R-CNN++, EffSeg;" in figure.svg
    assert "APB* on true boxes by ms, on the front: Mask R-CNN++, BMask R-CNN++, EffSeg" in figure.svg
    shown = texts(figure)
    assert [shown.count(name) for name in ("Mask R-CNN++", "BMask R-CNN++", "EffSeg")] == [2, 2, 2]
    assert "GMACs of the head at 100 regions" in shown
    said = "On true boxes: means of seeds 0, 1: Mask R-CNN++; seed 0: EffSeg, BMask R-CNN++."
    assert said in figure.caption


def test_own_regions_are_told(tmp_path: Path) -> None:
    figure = at_own_regions(measured(keep(tmp_path, *HEADS)))
    assert figure is not None
    assert "ms of the head at its own regions" in texts(figure)
    assert "These are 96 on average, but 42: EffSeg." in " ".join(figure.caption)


def test_one_head_and_heads_that_differ_in_more_have_no_figure(tmp_path: Path) -> None:
    other = trained("mask_rcnn", preset="small_agnostic")
    records = [*of_head("effseg", 40.0, 2.0, 30.0), accuracy(other, 50.0), region_cost(other, {100: (1.0, 1.0)})]
    found = measured(keep(tmp_path, *records))
    assert at_equal_regions(found) is None
    assert at_own_regions(found) is None
