"""The relative columns of Table 4."""

import csv
import os
from pathlib import Path

import pytest

from bench.record import Record
from reports import paper
from reports.select.measured import measured
from reports.tables.relative import relative
from tests.reports.tables.test_of_paper import record, subject


def as_published() -> list[Record]:
    """All heads as the paper has them."""
    made = []
    for row in paper.TABLE4:
        made.append(record(subject(row.head), "params", {"params_head": row.values["params_m"] * 1e6}))
        made.append(record(subject(row.head), "flops", {"macs_head_paper": row.values["gmacs"] * 1e9}))
        made.append(record(subject(row.head), "head_cost", {"fps_head_subtracted": row.values["fps"]}))
    return made


def test_the_published_percentages_follow_from_the_published_numbers() -> None:
    file = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[3] / ".." / "shared")) / "paper" / "table4.csv"
    if not file.is_file():
        pytest.skip(f"no published tables: {file} is not there; set BENCH_TEST_DATA to the folder that holds paper/")
    with file.open() as lines:
        published = {row["head"]: row for row in csv.DictReader(lines)}
    shown = relative(measured(as_published()))
    names = ("params_decrease_pct", "gflops_decrease_pct", "fps_gain_pct")
    for row in shown.texts():
        expected = [published[row[0]][name] for name in names]
        assert row[1::2] == row[2::2] == expected, "ours are the paper's here"
    assert len(shown.rows) == 4


def test_states_stay_words_and_nothing_measured_is_no_table() -> None:
    other = record(subject("effseg"), "head_cost", {"fps_head_subtracted": 9.0}, cpu="xeon")
    here = record(subject("refine_mask"), "head_cost", {"fps_head_subtracted": 8.0}, second=9)
    shown = relative(measured([other, here]))
    assert shown.rows[3][:2] == ("EffSeg", "left out")
    assert shown.rows[2][1] == 0
    assert not relative(measured([record(subject("effseg"), "params", {"params_head": 1e6})])).has_numbers
