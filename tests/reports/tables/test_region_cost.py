"""The table of costs at equal regions."""

from reports.select.comparable import comparable
from reports.select.measured import measured
from reports.tables.region_cost import region_cost
from tests.reports.embedded_records import region_cost as record
from tests.reports.embedded_records import trained


def test_every_cost_at_every_number_of_regions_in_the_order_of_the_tables() -> None:
    costs = {10: (0.5, 30.0), 50: (2.25, 140.4), 100: (4.5, 270.0)}
    records = [
        record(trained("query_dot"), dict.fromkeys(costs, (0.38, 5.0))),
        record(trained("effseg"), costs),
        record(trained("effseg", seed=1), dict.fromkeys(costs, (9.0, 9.0))),
    ]
    table = region_cost(comparable(measured(records), "region_cost"))
    assert table.title == "Costs at 10, 50 and 100 regions"
    assert [column.name for column in table.columns][1:4] == ["GMACs at 10", "GMACs at 50", "GMACs at 100"]
    assert table.texts() == [
        ["EffSeg", "0.50", "2.25", "4.50", "30", "140", "270"],
        ["Query-dot", "0.38", "0.38", "0.38", "5", "5", "5"],
    ]
    assert "on epyc-2c" in " ".join(table.caption)


def test_other_numbers_of_regions_do_not_compare() -> None:
    records = [
        record(trained("mask_rcnn"), {7: (1.0, 1.0)}),
        record(trained("effseg"), {10: (1.0, 1.0)}, second=1),
    ]
    table = region_cost(comparable(measured(records), "region_cost"))
    assert table.title == "Costs at 10 regions"
    assert [row[0] for row in table.rows] == ["EffSeg"]
    assert table.caption[-1].endswith("than the newest: Mask R-CNN++ (regions).")


def test_nothing_measured_is_no_table() -> None:
    assert region_cost(comparable([], "region_cost")).rows == ()
