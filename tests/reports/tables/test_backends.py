"""Table 2 by measurement: verdicts beside the paper's marks, disagreements said, only comparable records shown."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from bench.record import Failure, Record, Subject
from reports.layout import Table
from reports.renderers.markdown import markdown
from reports.renderers.terminal import terminal
from reports.select.measured import measured
from reports.tables import backends
from tests.reports.invented import invented

COST = {"probe": "backend_cost", "version": 1, "regions": 100}
SPEED = {"probe": "backend_speed", "version": 1, "regions": 100}
MEMORY = {"probe": "memory", "version": 2, "regions": 100, "peak": "profiler"}


def record(
    backend: str,
    protocol: Mapping[str, Any],
    values: Mapping[str, float],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    second: int = 0,
    kernel: str | None = None,
    cpu: str = "epyc",
) -> Record:
    of = Subject(backend=backend, kernel=kernel, weights="none")
    return invented(of, protocol, values, intervals=intervals, second=second, cpu=cpu)


def cost_values(*, can: bool, sfm: int | None, stored: int, nine_rows: int | None = None) -> dict[str, float]:
    values: dict[str, float] = {f"supports_{name}": int(can) for name in ("dilated", "5x5", "deformable", "bilinear")}
    values["supports_neighbors"] = 1
    for stage in (1, 2, 3):
        found = {
            "active_fraction": 0.5,
            "bytes": stored,
            "bytes_features": stored - 10,
            "bytes_index": 10,
            "bytes_formula": stored,
            "bytes_dense": 1000,
            "conv_macs": 90,
            "sfm_macs": sfm,
            "bytes_nine_rows": nine_rows,
            "linear_macs": 10,
            **{f"{name}_macs_active": macs for name, macs in (("linear", 10), ("conv", 90), ("sfm", 270))},
            **{f"{name}_macs_all": 2 * macs for name, macs in (("linear", 10), ("conv", 90), ("sfm", 270))},
        }
        values |= {f"stage{stage}_{name}": value for name, value in found.items() if value is not None}
    return values


RECORDS = [
    record("sps", COST, cost_values(can=True, sfm=270, stored=600)),
    record("dense", COST, cost_values(can=True, sfm=540, stored=1000)),
    record("neighbors", COST, cost_values(can=False, sfm=None, stored=700, nine_rows=4000)),
    record("my_backend", COST, cost_values(can=True, sfm=270, stored=900)),
]


def row(table: Table, label: str) -> dict[str, object]:
    """A row by the names of its columns; those called `paper` are named after the column in front."""
    (found,) = [texts for texts in table.texts() if label in texts[:2]]
    names: list[str] = []
    for column in table.columns:
        names.append(f"{names[-1].split(' paper')[0]} paper" if column.name == "paper" else column.name)
    return dict(zip(names, found, strict=True))


def test_marks_stand_beside_the_papers() -> None:
    table2, _ = backends.tables(measured(RECORDS))
    assert [texts[0] for texts in table2.texts()] == ["Dense", "Neighbors", "Neighbors (9x)", "SPS", "my_backend"]
    dense, sps = row(table2, "Dense"), row(table2, "SPS")
    assert (dense["Saves compute"], dense["Saves compute paper"], dense["MACs /needed"]) == ("no", "no", "2.00")
    assert (sps["Saves compute"], sps["Any 2D op"], sps["Saves storage"]) == ("yes", "yes", "yes")
    assert sps["bytes /Dense"] == "0.60"
    assert row(table2, "Neighbors")["Cannot"] == "d=3 5x5 deform sample"
    assert row(table2, "my_backend")["Saves storage paper"] == ""


def test_disagreement_is_said_and_what_the_mark_of_neighbors_needs() -> None:
    table2, _ = backends.tables(measured(RECORDS))
    caption = " ".join(table2.caption)
    assert "Not in agreement: Neighbors (9x): storage efficient, no here, yes in the paper." in caption
    assert "0.70 of Dense" in caption
    assert "4.00 of Dense" in caption
    (agreeing, _) = backends.tables(measured(RECORDS[:2]))
    assert "All marks agree with the paper's." in agreeing.caption
    (unpublished, _) = backends.tables(measured(RECORDS[3:]))
    assert not any("agree" in text for text in unpublished.caption)
    wrong = [record("sps", COST, cost_values(can=False, sfm=540, stored=1000))]
    (table2, _) = backends.tables(measured(wrong))
    (sentence,) = [text for text in table2.caption if text.startswith("Not in agreement")]
    assert sentence.count("SPS") == 3


def test_costs_say_where_closed_forms_differ() -> None:
    _, costs = backends.tables(measured(RECORDS))
    assert len(costs.rows) == 3 * 5
    assert any("equal the closed form" in text for text in costs.caption)
    assert row_of_stage(costs, "1", "SPS")["formula"] == "equal"
    odd = cost_values(can=True, sfm=271, stored=600) | {"stage2_bytes_formula": 601_000_000}
    _, costs = backends.tables(measured([record("sps", COST, odd)]))
    assert any("DIFFER" in text and "SPS (sfm, stage 2)" in text for text in costs.caption)
    assert row_of_stage(costs, "2", "SPS")["formula"] == "601.00"


def row_of_stage(table: Table, stage: str, label: str) -> dict[str, str]:
    (found,) = [texts for texts in table.texts() if texts[:2] == [stage, label]]
    return dict(zip((column.name for column in table.columns), found, strict=True))


def test_peaks_stand_beside_the_stored_bytes_of_the_same_point() -> None:
    peaks = {"stage1_sfm_peak_bytes": 5e6, "stage1_linear_peak_bytes": 2e6}
    stored = cost_values(can=True, sfm=270, stored=3_000_000)
    *_, table = backends.tables(measured([record("sps", COST, stored), record("sps", MEMORY, peaks)]))
    shown = row_of_stage(table, "1", "SPS")
    assert (shown["stored MB"], shown["linear peak MB"], shown["SFM peak MB"]) == ("3.00", "2.00", "5.00")
    assert shown["conv peak MB"] == ""
    elsewhere = record("sps", MEMORY | {"regions": 5}, peaks)
    *_, table = backends.tables(measured([record("sps", COST, stored), elsewhere]))
    assert row_of_stage(table, "1", "SPS")["stored MB"] == ""
    (alone,) = backends.tables(measured([elsewhere]))
    assert row_of_stage(alone, "1", "SPS")["SFM peak MB"] == "5.00"


def test_the_mark_for_storage_says_that_it_is_about_what_is_stored() -> None:
    table2, _ = backends.tables(measured(RECORDS))
    assert any("stored between operations" in text and "peak memory" in text for text in table2.caption)


def test_a_budget_beyond_all_cells_is_said_in_all_tables_of_its_point() -> None:
    values = cost_values(can=True, sfm=270, stored=600)
    values |= {f"stage{stage}_active_fraction": 1.0 for stage in (1, 2, 3)}
    cost = record("sps", COST | {"budget": 10_000}, values)
    said = "The budget of 10000 cells covers all cells: everything is refined."
    speed = record("sps", SPEED, {"stage1_conv_ms": 5.0})
    assert [said in table.caption for table in backends.tables(measured([cost, speed]))] == [True] * 3
    elsewhere = record("sps", SPEED | {"regions": 5}, {"stage1_conv_ms": 5.0})
    assert [said in table.caption for table in backends.tables(measured([cost, elsewhere]))] == [True, True, False]
    almost = record("sps", COST | {"budget": 10_000}, values | {"stage3_active_fraction": 0.9})
    assert not any(said in table.caption for table in backends.tables(measured([almost])))


def test_no_ratio_to_dense_where_dense_is_not_dense() -> None:
    values = {
        f"stage1_{operation}_{name}": 2.0 for operation in ("linear", "conv", "deform") for name in ("ms", "ratio")
    }
    intervals = {"stage1_linear_ratio": (1.0, 9.0), "stage1_conv_ratio": (1.9, 2.1)}
    (table,) = backends.tables(measured([record("sps", SPEED, values, intervals=intervals)]))
    names = [column.name for column in table.columns]
    followers = {name: after for name, after in pairwise(names) if name.endswith(" ms")}
    assert followers["conv ms"] == "/Dense"
    assert followers["linear ms"] == "conv ms"
    assert followers["deform ms"] == "subdivide ms"
    assert any("no ratio for linear and deform" in text for text in table.caption)
    assert any("within 5% in all" in text for text in table.caption)


def test_latencies_show_what_cannot_be_done_and_how_far_quartiles_are() -> None:
    values = {"stage1_conv_ms": 5.0, "stage1_conv_ratio": 0.5}
    intervals = {"stage1_conv_ratio": (0.45, 0.55)}
    (table,) = backends.tables(measured([record("sps", SPEED, values, intervals=intervals)]))
    texts = table.texts()[0]
    assert texts[:6] == ["1", "SPS", "cannot", "5.0", "0.50", "cannot"]
    assert any("within 10% in all" in text for text in table.caption)


@pytest.mark.parametrize("change", ["protocol", "machine", "older"])
def test_only_comparable_records_are_shown(change: str) -> None:
    values = {"stage1_conv_ms": 5.0, "stage1_conv_ratio": 0.5}
    other = {
        "protocol": record("dense", SPEED | {"regions": 5}, values),
        "machine": record("dense", SPEED, values, cpu="xeon"),
        "older": record("sps", SPEED, values | {"stage1_sfm_ms": 9.0}),
    }[change]
    (table,) = backends.tables(measured([other, record("sps", SPEED, values, second=1)]))
    assert {texts[1] for texts in table.texts()} == {"SPS"}
    assert "9.0" not in table.texts()[0]
    said = {
        "protocol": ["Left out of backend_speed, because measured otherwise than the newest: Dense (regions)."],
        "machine": ["Left out of backend_speed, because measured otherwise than the newest: Dense (machine)."],
        "older": [],
    }[change]
    assert [text for text in table.caption if text.startswith("Left out")] == said


def test_backends_inside_a_head_are_no_rows() -> None:
    inside = Subject(head="effseg", backend="dense", module="sfm", weights="none")
    cost = invented(inside, COST | {"regions": 5}, cost_values(can=True, sfm=540, stored=1000), second=1)
    table2, _ = backends.tables(measured([RECORDS[0], cost]))
    assert [texts[0] for texts in table2.texts()] == ["SPS"]


def test_failed_methods_have_a_row() -> None:
    failure = Failure(type="ValueError", message="No memory.", frames=())
    missing, again = (
        msgspec.structs.replace(record(name, COST, {}, kernel=kernel), error=failure)
        for name, kernel in (("sps", "native"), ("dense", None))
    )
    table2, _ = backends.tables(measured(RECORDS), [missing, missing, again])
    assert [texts[:2] for texts in table2.texts()][-1] == ["SPS:native", "failed"]
    assert len(table2.rows) == 6


def test_kernels_have_rows_of_their_own() -> None:
    values = {"stage1_conv_ms": 5.0, "stage1_conv_ratio": 0.5}
    (table,) = backends.tables(measured([record("sps", SPEED, values), record("sps", SPEED, values, kernel="native")]))
    assert [texts[1] for texts in table.texts()[:2]] == ["SPS", "SPS:native"]


def test_nothing_measured_gives_no_table() -> None:
    assert backends.tables(measured([])) == []


def test_fits_a_terminal() -> None:
    from rich.console import Console
    from rich.measure import Measurement

    peaks = {f"stage{stage}_subdivide_peak_bytes": 1e9 for stage in (1, 2, 3)}
    speed = {f"stage{stage}_conv_ms": 9999.9 for stage in (1, 2, 3)}
    for table in backends.tables(measured([*RECORDS, record("sps", MEMORY, peaks), record("sps", SPEED, speed)])):
        console = Console(width=1000)
        columns = terminal(table)
        columns.caption = None
        assert Measurement.get(console, console.options, columns).maximum <= 120
        assert "nan" not in markdown(table)
