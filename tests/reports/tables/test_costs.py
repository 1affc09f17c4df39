"""The cost of the trained heads: one row per head, one machine, one protocol."""

from bench.record import Record
from reports.layout import Table
from reports.select.comparable import comparable
from reports.select.measured import measured
from reports.tables.costs import costs
from tests.reports.embedded_records import demo_records, record, trained

FLOPS = {"images": 20, "macs": 2.51e9, "macs_head": 0.42e9, "regions": 11.5}


def shown(*records: Record) -> Table:
    known = measured(records)
    return costs(*(comparable(known, probe) for probe in ("params", "flops", "speed")))


def test_parameters_multiply_adds_and_times() -> None:
    of_small = [each for each in demo_records() if each.subject.preset == "small" and each.subject.module != "mlp"]
    table = shown(*(each for each in of_small if each.subject.module in (None, "sfm")))
    headings = ["Params M", "head M", "GMACs", "head GMACs", "Regions", "FPS", "ms", "ms (95th)", "head ms"]
    assert [column.name for column in table.columns] == ["Head", *headings]
    numbers = ["1.50", "0.30", "2.51", "0.42", "11.5", "9.87", "101.0", "133.0", "31.0"]
    assert table.texts() == [[name, *numbers] for name in ("Mask R-CNN++", "PointRend++", "RefineMask++", "EffSeg")]
    caption = " ".join(table.caption)
    assert "which the paper calls GFLOPs" in caption
    assert "Means over 20 images." in caption
    assert "on epyc-2c" in caption


def test_times_are_those_of_the_last_machine() -> None:
    other = record(trained("mask_rcnn"), "speed", {"fps_paper": 5.0}, cpu="xeon")
    last = record(trained("effseg"), "speed", {"fps_paper": 7.0}, second=1)
    table = shown(other, last)
    assert table.texts() == [["EffSeg", "7.00"]]
    assert table.caption[-1].endswith("than the newest: Mask R-CNN++ (machine).")


def test_only_what_was_measured_alike_stands_side_by_side() -> None:
    fewer = record(trained("mask_rcnn"), "flops", FLOPS, protocol={"images": "first 6"})
    newest = record(trained("effseg"), "flops", FLOPS, second=1)
    params = record(trained("mask_rcnn"), "params", {"params_total": 1e6})
    table = shown(fewer, newest, params)
    assert table.texts() == [["Mask R-CNN++", "1.00", "", "", ""], ["EffSeg", "", "2.51", "0.42", "11.5"]]
    assert table.caption[-1].endswith("than the newest: Mask R-CNN++ (images).")
