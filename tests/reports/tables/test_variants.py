"""Class-agnostic heads beside the usual ones, and EffSeg's modules."""

from pathlib import Path

from bench.record import Record
from reports.layout import Table
from reports.select.frame import load
from reports.select.trained import results
from reports.tables.variants import agnostic, modules
from tests.reports.embedded_records import accuracy, demo_records, keep, trained


def shown(folder: Path, *records: Record) -> tuple[list[Table], list[Table]]:
    keep(folder, *records)
    known = load(folder)
    found, params = results(known, "accuracy_true_boxes"), results(known, "params")
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
    assert "EffSeg seed 0" in table.caption[-1]
    assert "Conv - SFM, seed 0: not comparable, measured with another images." in apart.caption


def test_no_variants_are_no_tables(tmp_path: Path) -> None:
    assert shown(tmp_path, accuracy(trained("effseg"), 44.0), accuracy(trained("mask_rcnn"), 44.0)) == ([], [])
