"""Heads on a frozen detector: a table for every detector and training, none of which mixes two of them."""

from pathlib import Path

import msgspec

from bench.record import Record
from reports.choice import all_tables, tables_of
from reports.layout import Table
from reports.select.measured import measured
from tests.reports.embedded_records import accuracy, keep, record, trained


def on(made: Record, schedule: str, detector: str | None = None) -> Record:
    subject = msgspec.structs.replace(made.subject, schedule=schedule, detector=detector, preset="paper")
    return msgspec.structs.replace(made, subject=subject)


RECORDS = [
    on(made, *training)
    for points, training in ((0, ("frozen_1ep", "torchvision")), (5, ("frozen_1ep",)), (9, ("frozen_3ep",)))
    for place, head in enumerate(("effseg", "mask_rcnn"))
    for made in (
        accuracy(trained(head), 50 + points - 4 * place, probe="accuracy"),
        accuracy(trained(head), 60 + points - 4 * place),
        record(trained(head), "params", {"params_head": 2e5 + place}),
        record(trained(head), "flops", {"macs": 7e9 + place}),
    )
]


def headlines(tables: list[Table]) -> dict[str, Table]:
    return {
        of.title.partition("(")[2]: of for of in tables if of.title.startswith("Heads on one frozen detector (fqdet")
    }


def test_only_heads_of_one_detector_and_length_share_a_table(tmp_path: Path) -> None:
    store = measured(keep(tmp_path, *RECORDS, recipe="frozen"))
    tables = tables_of("frozen", store)
    titles = [of.title for of in tables if of.title.startswith("Heads on one frozen detector")]
    assert len(titles) == 3
    assert any("torchvision" in title for title in titles)
    one, three = headlines(tables).values()
    assert "frozen_1ep" in one.title
    assert "frozen_3ep" in three.title
    assert [row[0] for row in one.rows] == ["Mask R-CNN++", "EffSeg"]
    assert [row[1] for row in one.rows] == [49.0, 53.0]
    assert [row[1] for row in three.rows] == [53.0, 57.0]
    assert {"AP", "AP true boxes", "head M", "GMACs"} <= {column.name for column in one.columns}
    differences = [of for of in tables if of.title.startswith("What separates")]
    assert len(differences) == 6
    assert all([row[0] for row in of.rows] == ["EffSeg - Mask R-CNN++"] for of in differences)


def test_a_report_shows_them_and_no_table_of_the_paper_does(tmp_path: Path) -> None:
    titles = [of.title for of in all_tables(measured(keep(tmp_path, *RECORDS, recipe="frozen")))]
    assert len(titles) == 9
    assert all("frozen_" in title for title in titles)
