"""Published numbers of other heads: only beside what was measured, and never among ours."""

import msgspec

from bench.record import Record, Subject
from reports import paper
from reports.choice import tables_of
from reports.select.measured import measured
from reports.tables.elsewhere import elsewhere
from tests.reports.invented import invented

SUBJECT = Subject(head="query_dot", backbone="r50_fpn", preset="paper", schedule="none", weights="random")


def records(*heads: str) -> list[Record]:
    values = {"params_trainable": 36e6, "params_head": 1e6}
    protocol = {"probe": "params", "version": 1}
    subjects = [msgspec.structs.replace(SUBJECT, head=head) for head in heads]
    return [invented(of, dict(protocol), values, unit="parameters") for of in subjects]


def test_only_heads_that_were_measured() -> None:
    table = elsewhere(measured(records("query_dot", "mask_rcnn")))
    assert [row[:2] for row in table.rows] == [
        ("Query-dot", each.name) for each in paper.OTHER_DETECTORS if each.head == "query_dot"
    ]
    assert all(each.source and each.name for each in paper.OTHER_DETECTORS)
    assert "another detector" in table.title
    assert not elsewhere(measured(records("mask_rcnn"))).has_numbers


def test_it_stands_after_table_3_whose_row_has_no_published_number() -> None:
    tables = tables_of("main", measured(records("bmask")))
    assert [table.title.partition(":")[0] for table in tables] == ["Table 3", "Other heads"]
    (row,) = [row for row in tables[0].rows if "BMask R-CNN++" in row]
    assert 36.6 not in row
    assert 36.6 in tables[1].rows[0]


def test_every_head_has_a_name_and_the_papers_come_first() -> None:
    assert list(paper.HEADS)[:4] == [row.head for row in paper.TABLE4]
    assert {each.head for each in paper.OTHER_DETECTORS} <= set(paper.HEADS)
