"""The matrix of paired differences."""

from pathlib import Path

from bench.record import Record
from reports.cells import Number
from reports.layout import Table
from reports.select.comparable import comparable
from reports.select.measured import measured
from reports.select.trained import usual
from reports.tables.differences import difference
from reports.tables.matrix import matrix
from tests.reports.embedded_records import accuracy, demo_records, keep, trained


def shown(folder: Path, *records: Record) -> Table:
    return matrix("true boxes", usual(comparable(measured(keep(folder, *records)), "accuracy_true_boxes")))


def test_row_less_column_with_a_star_where_the_interval_leaves_out_zero(tmp_path: Path) -> None:
    table = shown(tmp_path, *demo_records())
    assert table.title == "Who draws better outlines, on true boxes"
    assert [column.name for column in table.columns] == ["APB*", "Mask R-CNN", "PointRend", "RefineMask", "EffSeg"]
    assert table.texts() == [
        ["Mask R-CNN++", "", "-5.0*", "-9.0*", "-9.2*"],
        ["PointRend++", "+5.0*", "", "-4.0*", "-4.2*"],
        ["RefineMask++", "+9.0*", "+4.0*", "", "-0.2"],
        ["EffSeg", "+9.2*", "+4.2*", "+0.2", ""],
    ]
    assert "Means of seeds 0, 1, 2." in table.caption
    here, there = table.rows[0][2], table.rows[1][1]
    assert isinstance(here, Number)
    assert isinstance(there, Number)
    assert here.interval is not None
    assert there.interval == (-here.interval[1], -here.interval[0])


def test_heads_with_other_seeds_are_compared_on_those_that_both_have(tmp_path: Path) -> None:
    records = [
        *(accuracy(trained("effseg", seed=seed), 40.0 + 6 * seed) for seed in (0, 1, 2)),
        *(accuracy(trained("mask_rcnn", seed=seed), 30.0) for seed in (0, 1, 2)),
        accuracy(trained("query_dot", seed=1), 45.0),
    ]
    table = shown(tmp_path, *records)
    assert table.texts()[2] == ["Query-dot", "+15.0*", "-1.0", ""]
    assert table.texts()[0][2] == "-16.0*", "the mean of three"
    assert table.caption[-2:] == (
        "Means of seeds 0, 1, 2: Mask R-CNN++, EffSeg; seed 1: Query-dot.",
        "Two heads are compared on the seeds that both have.",
    )


def test_heads_without_a_seed_in_common_have_no_difference(tmp_path: Path) -> None:
    table = shown(tmp_path, accuracy(trained("effseg", seed=1), 40.0), accuracy(trained("mask_rcnn"), 30.0))
    assert table.texts() == [["Mask R-CNN++", "", ""], ["EffSeg", "", ""]]
    assert difference("apb_star", [], []) is None


def test_without_resamples_no_star_can_be_given() -> None:
    records = [accuracy(trained(head), ap) for head, ap in (("mask_rcnn", 10.0), ("effseg", 60.0))]
    table = matrix("true boxes", usual(comparable(measured(records), "accuracy_true_boxes")))
    assert table.texts()[1][1] == "+50.0"
    assert "No record has its resamples beside it: no star can be given." in table.caption


def test_one_head_is_no_matrix(tmp_path: Path) -> None:
    assert shown(tmp_path, accuracy(trained("effseg"), 40.0)).rows == ()
