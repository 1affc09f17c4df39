"""Heads by images of training: a block of rows and a table of differences for each length."""

from pathlib import Path

import msgspec

from bench.record import Record
from bench.store import Store
from reports.choice import all_tables
from reports.select.measured import measured
from reports.tables.lengths import tables
from tests.reports.embedded_records import AP_STAR, accuracy, demo_records, keep, trained


def after(schedule: str, gain: float, heads: tuple[str, ...] = tuple(AP_STAR)) -> list[Record]:
    found = []
    for head in heads:
        subject = trained(head, preset="small" if head == "effseg" else "small_agnostic")
        found.append(accuracy(msgspec.structs.replace(subject, schedule=schedule), AP_STAR[head] + gain))
    return found


def test_each_length_has_its_rows_and_its_differences(tmp_path: Path) -> None:
    short, long = after("glyphs_1500", -10.0), after("glyphs", -0.5)
    keep(tmp_path, *demo_records())
    keep(tmp_path, *short, *long, recipe="views")
    shown = {table.title: table for table in all_tables(measured(Store(tmp_path)))}
    rows = shown["Heads by images of training"].texts()
    assert [row[:3] for row in rows[:4]] == [
        ["1,500", "Mask R-CNN++", "25.0"],
        ["1,500", "PointRend++", "30.0"],
        ["1,500", "RefineMask++", "34.0"],
        ["1,500", "EffSeg", "34.2"],
    ]
    assert [row[:3] for row in rows[4:]] == [
        ["6,000", "Mask R-CNN++", "34.5"],
        ["6,000", "PointRend++", "39.5"],
        ["6,000", "RefineMask++", "43.5"],
        ["6,000", "EffSeg", "43.7"],
    ]
    apart = shown["What separates heads after 1,500 images, on true boxes"].texts()
    assert [(row[0], row[1][:4]) for row in apart][:2] == [
        ("PointRend++ - Mask R-CNN++", "+5.0"),
        ("RefineMask++ - PointRend++", "+4.0"),
    ]
    assert "What separates heads after 3,000 images, on true boxes" not in shown, "nothing was measured"
    # The tables of the shipped heads do not show what was trained for less long.
    assert shown["Heads on true boxes"].texts()[0][1] == "35.4"
    assert not any(row[1] == "25.0" for row in shown["Heads on true boxes"].texts())


def test_what_was_measured_otherwise_is_left_out_and_said(tmp_path: Path) -> None:
    few = accuracy(after("glyphs", 0.0, ("mask_rcnn",))[0].subject, 35.0, images=10)
    keep(tmp_path, few, *(msgspec.structs.replace(each, started="2027") for each in after("glyphs", 0.0, ("effseg",))))
    table, *_ = tables(measured(Store(tmp_path)))
    assert [row[1] for row in table.texts()] == ["EffSeg"]
    sentence = "Left out of accuracy_true_boxes, because measured otherwise than the newest: "
    assert table.caption[-1] == f"{sentence}Mask R-CNN++ (number of images)."
