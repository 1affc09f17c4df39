"""Class-agnostic heads beside the usual ones, and EffSeg's modules."""

from pathlib import Path

from bench.record import Record, Scalar
from reports.layout import Table
from reports.select.comparable import comparable
from reports.select.measured import measured
from reports.tables.variants import agnostic, modules
from tests.reports.embedded_records import accuracy, demo_records, keep, trained


def shown(folder: Path, *records: Record) -> tuple[list[Table], list[Table]]:
    known = measured(keep(folder, *records))
    found, params = comparable(known, "accuracy_true_boxes"), comparable(known, "params")
    return agnostic(found, params), modules(found, params)


def test_class_agnostic_heads_stand_below_the_usual_ones(tmp_path: Path) -> None:
    (table, apart), _ = shown(tmp_path, *demo_records())
    assert [row[:2] for row in table.rows] == [
        ("Mask R-CNN++", "per class"),
        ("Mask R-CNN++", "one"),
        ("PointRend++", "per class"),
        ("PointRend++", "one"),
        ("RefineMask++", "per class"),
        ("RefineMask++", "one"),
        ("EffSeg", "one"),
    ]
    assert table.texts()[1][2:5] == ["0.30", "34.5", "32.0-37.0"]
    assert table.texts()[0][3] == "35.0", "the same seed, not the mean over seeds"
    differences = {row[0]: row[1][:4] for row in apart.texts()}
    assert differences == {
        "PointRend++ - Mask R-CNN++": "+5.0",
        "RefineMask++ - PointRend++": "+4.0",
        "EffSeg - RefineMask++": "+0.7",
        "EffSeg - PointRend++": "+4.7",
        "Mask R-CNN++, one - per class": "-0.5",
        "PointRend++, one - per class": "-0.5",
        "RefineMask++, one - per class": "-0.5",
    }


def test_modules_in_the_papers_order_beside_sfm(tmp_path: Path) -> None:
    _, (table, apart) = shown(tmp_path, *demo_records())
    assert [row[0] for row in table.rows] == ["MLP", "Conv", "DeformConv", "SFM", "Dense SFM"]
    assert [row[2] for row in table.texts()] == ["42.2", "43.7", "43.8", "44.2", "44.2"]
    assert [(row[0], row[1][:4], row[-1]) for row in apart.texts()] == [
        ("MLP - SFM", "-2.0", ""),
        ("Conv - SFM", "-0.5", "all"),
        ("DeformConv - SFM", "-0.4", "all"),
        ("Dense SFM - SFM", "+0.0", "all"),
    ]


def test_variants_measured_on_other_images_are_left_out(tmp_path: Path) -> None:
    newest = accuracy(trained("effseg", module="conv"), 50.0, protocol={"images": "first 6"}, second=1)
    _, (table, apart) = shown(tmp_path, accuracy(trained("effseg"), 44.0), newest)
    assert [row[0] for row in table.rows] == ["Conv"]
    sentence = "Left out of accuracy_true_boxes, because measured otherwise than the newest: EffSeg SFM (images)."
    assert table.caption[-1] == apart.caption[-1] == sentence


def test_variants_that_are_all_left_out_are_said(tmp_path: Path) -> None:
    usual = [accuracy(trained(head), 50.0, second=1) for head in ("mask_rcnn", "effseg")]
    older: dict[str, Scalar] = {"images": "first 6"}
    changed = accuracy(trained("mask_rcnn", preset="small_agnostic"), 50.0, protocol=older)
    other = accuracy(trained("effseg", module="conv"), 50.0, protocol=older)
    (of_agnostic, _), (of_modules, _) = shown(tmp_path, *usual, changed, other)
    assert [row[:2] for row in of_agnostic.rows] == [("Mask R-CNN++", "per class"), ("EffSeg", "one")]
    assert "Mask R-CNN++ small_agnostic (images)" in of_agnostic.caption[-1]
    assert [row[0] for row in of_modules.rows] == ["SFM"]
    assert "EffSeg Conv (images)" in of_modules.caption[-1]


def test_no_variants_are_no_tables(tmp_path: Path) -> None:
    assert shown(tmp_path, accuracy(trained("effseg"), 44.0), accuracy(trained("mask_rcnn"), 44.0)) == ([], [])
