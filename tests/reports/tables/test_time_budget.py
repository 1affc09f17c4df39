"""The time budget of heads as a table: stages and parts add up, other conditions stay out."""

from bench.record import Record, Scalar, Subject
from reports.select.measured import measured
from reports.tables.time_budget import head_budget
from tests.reports.invented import invented

PROTOCOL: dict[str, Scalar] = {"probe": "time_budget", "version": 1, "dtype": "float32", "images": None}
EFFSEG = {
    "clocked_ms": 20.0,
    "roi_align_ms": 3.0,
    "convolution_ms": 9.0,
    "paste_ms": 5.0,
    "other_ms": 3.0,
    "stage0_roi_align_ms": 3.0,
    "stage1_convolution_ms": 4.0,
    "stage2_convolution_ms": 5.0,
    "latency_ms_head": 19.5,
    "regions": 100.0,
}


def record(head: str, values: dict[str, float], **conditions: Scalar) -> Record:
    of = Subject(head=head, backbone="r50_fpn", preset="paper")
    return invented(of, PROTOCOL | conditions, values)


def test_a_row_for_every_stage_and_one_for_all() -> None:
    table = head_budget(measured([record("effseg", EFFSEG)]))
    names = ["Head", "Stage", "RoIAlign", "sparse convolution", "pasting", "other", "sum"]
    assert [column.name for column in table.columns] == names
    assert [row[1:] for row in table.texts()] == [
        ["0", "3.0", "", "", "", "3.0"],
        ["1", "", "4.0", "", "", "4.0"],
        ["2", "", "5.0", "", "", "5.0"],
        ["all", "3.0", "9.0", "5.0", "3.0", "20.0"],
    ]
    assert "19.5 ms" in " ".join(table.caption)


def test_only_what_was_measured_as_the_newest_is_compared() -> None:
    records = [record("mask_rcnn", EFFSEG, dtype="bfloat16"), record("point_rend", EFFSEG), record("effseg", EFFSEG)]
    table = head_budget(measured(records))
    assert {row[0] for row in table.texts()} == {"EffSeg", "PointRend++"}
    sentence = "Left out of time_budget, because measured otherwise than the newest: Mask R-CNN++ (dtype)."
    assert table.caption[-1] == sentence


def test_without_records_there_is_nothing_to_show() -> None:
    assert not head_budget(measured([])).has_numbers
