"""The oracle ladder as a table: rungs in order, trained heads below, one data set, nothing of random weights."""

import msgspec
import pytest

from bench.record import Record, Scalar, Subject
from reports.layout import Table
from reports.select.measured import measured
from reports.tables.ceiling import ceiling
from tests.reports.invented import invented

DATA: dict[str, Scalar] = {"images": "all", "annotations": "sha256:a", "lvis": "sha256:b"}


def record(
    head: str,
    ap: float,
    *,
    probe: str = "ceiling",
    weights: str = "none",
    data: dict[str, Scalar] = DATA,
    second: int = 0,
    **subject: str,
) -> Record:
    values = {"ap": ap, "ap_s": ap / 2, "ap_star": ap - 1, "ap_images": 215, "ap_classes": 70, "ap_star_images": 65}
    values["ap_star_classes"] = 40
    of = Subject(head=head, weights=weights, **subject)  # type: ignore[arg-type]
    protocol = {"probe": probe, "version": 1, **data}
    return invented(of, protocol, values, intervals={"ap": (ap - 0.5, ap + 0.5)}, second=second)


RUNGS = [record(name, ap) for name, ap in (("grid112_soft", 99.5), ("grid14_soft", 95.0), ("grid14_binary", 85.0))]


def shown(*records: Record) -> Table:
    return ceiling(measured(records))


def names(table: Table) -> list[str]:
    return [str(row[0]) for row in table.rows]


def test_rungs_are_in_order_with_intervals_beside() -> None:
    table = shown(*RUNGS)
    assert [column.name for column in table.columns] == ["Masks", "AP", "interval", "APS", "AP*", "interval"]
    assert names(table) == ["14 binary", "14 soft", "112 soft"]
    assert table.texts()[0] == ["14 binary", "85.0", "84.5-85.5", "42.5", "84.0", ""]
    assert table.texts()[2][2] == "99.0-100"
    assert "COCO's masks on 215 images, mean over 70 classes." in " ".join(table.caption)
    assert "LVIS's masks on 65 images, mean over 40 classes." in " ".join(table.caption)


def test_the_newest_record_counts() -> None:
    (row,) = shown(record("grid14_soft", 90.0), record("grid14_soft", 95.0, second=1)).rows
    assert row[1] == 95


def test_trained_heads_follow_and_random_ones_do_not() -> None:
    trained = [
        record("effseg", 40.0 + 20 * second, probe=probe, weights="sha256:1", schedule="12ep", second=second)
        for second, probe in enumerate(("accuracy", "accuracy_true_boxes"))
    ]
    random = record("mask_rcnn", 1.0, probe="accuracy", weights="random")
    assert names(shown(*RUNGS, *trained, random))[3:] == ["EffSeg, detected boxes", "EffSeg, true boxes"]


def test_heads_are_named_by_what_tells_them_apart() -> None:
    heads = [
        record(head, 40.0, probe="accuracy", weights="sha256:1", backbone="r50_fpn", **module)
        for head, module in (("effseg", {"module": "sfm"}), ("effseg", {"module": "conv"}), ("mask_rcnn", {}))
    ]
    labels = ["EffSeg SFM, detected boxes", "EffSeg Conv, detected boxes", "Mask R-CNN++, detected boxes"]
    assert names(shown(*heads)) == labels


def test_other_data_are_left_out_and_said() -> None:
    other = record("grid28_soft", 98.0, data={**DATA, "images": "first 5"})
    heads = record("mask_rcnn", 40.0, probe="accuracy", weights="sha256:1", data={**DATA, "lvis": "sha256:old"})
    table = shown(other, heads, *RUNGS)
    assert names(table) == names(shown(*RUNGS))
    assert table.caption[-2:] == (
        "Left out of ceiling, because measured otherwise than the newest: grid28_soft (images).",
        "Left out, because measured on other data than the newest: heads on detected boxes.",
    )


def test_foreign_files_are_no_heads() -> None:
    data: dict[str, Scalar] = {**DATA, "predictions": "sha256:c"}
    foreign = record("predictions", 40.0, probe="accuracy", weights="sha256:1", data=data, second=1)
    assert shown(foreign, *RUNGS) == shown(*RUNGS)


@pytest.mark.parametrize("records", [[], [record("mask_rcnn", 1.0, probe="accuracy", weights="random")]])
def test_nothing_measured_is_an_empty_table(records: list[Record]) -> None:
    table = shown(*records)
    assert not table.rows
    assert not table.has_numbers


def test_only_what_was_measured_has_a_column() -> None:
    coarse = (
        msgspec.structs.replace(each, values=tuple(value for value in each.values if "star" not in value.name))
        for each in RUNGS
    )
    table = shown(*coarse)
    assert [column.name for column in table.columns] == ["Masks", "AP", "interval", "APS"]
    assert "LVIS" not in " ".join(table.caption)
