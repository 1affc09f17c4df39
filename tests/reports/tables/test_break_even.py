"""Break-even tables: a row per place, columns per method, crossings in words that say no more than was measured."""

import msgspec
import pytest

from bench.record import Record, Subject
from reports.layout import Table
from reports.select.measured import measured
from reports.tables import break_even
from tests.reports.invented import invented

PERCENTS = {1: 0.05, 10: 0.4, 50: 1.5, 100: 3.0}
REGIONS = {5: 2.0, 50: 0.8}


def record(
    backend: str = "sps", kernel: str | None = None, operation: str = "sfm", scale: float = 1.0, **crossings: float
) -> Record:
    """`crossings`: what stage 1 has, such as `fraction_time_crossing=30.0`."""
    values: dict[str, float] = {f"operation_is_{operation}": 1}
    intervals = {}
    for stage in (1, 2, 3):
        for sweep, ratios in (("fraction", PERCENTS), ("regions", REGIONS)):
            for place, ratio in ratios.items():
                point = f"stage{stage}_{sweep}{place}"
                share = place / 100 if sweep == "fraction" else 1 / place
                found = {"ratio": scale * ratio, "ms": 10.0, "active_fraction": share, "macs": share * 1e6}
                found |= {"dense_macs": 1e6, "bytes": 200.0, "dense_bytes": 100.0}
                values |= {f"{point}_{name}": value for name, value in found.items()}
            values |= {f"stage{stage}_{sweep}_{cost}_crossings": 0 for cost in ("time", "macs", "bytes")}
    for name, place in crossings.items():
        values |= {f"stage1_{name}": place, f"stage1_{name}s": 1}
        if "time" in name:
            intervals[f"stage1_{name}"] = (place - 2, place + 2)
    of = Subject(backend=backend, kernel=kernel, weights="none")
    return invented(of, {"probe": "break_even", "version": 1}, values, intervals=intervals)


def changed(of: Record, value: float, name: str, **at: str | int) -> Record:
    """The record with another value at one place."""
    old = of.get(name, **at)
    new = msgspec.structs.replace(old, value=value)
    return msgspec.structs.replace(of, values=tuple(new if each is old else each for each in of.values))


def sentence(table: Table, label: str = "SPS") -> str:
    (found,) = [text for text in table.caption if text.startswith(f"{label}: ")]
    return found


def test_a_table_per_stage_and_sweep() -> None:
    tables = break_even.tables(measured([record()]))
    assert [table.title.partition("stage ")[2] for table in tables] == [
        f"{stage}: {sweep}" for stage in (1, 2, 3) for sweep in ("active fraction", "number of regions")
    ]
    assert [texts[0] for texts in tables[0].texts()] == ["1", "10", "50", "100"]
    assert [column.name for column in tables[0].columns] == ["Active %", "SPS SFM ms", "x time", "x bytes"]
    assert tables[0].texts()[0] == ["1", "10.0", "0.05", "2.00"]
    assert tables[1].texts()[1] == ["50", "2.0", "10.0", "0.80", "2.00"]
    assert sum(text.startswith("Protocol") for table in tables for text in table.caption) == 1


def test_crossings_in_words() -> None:
    crossings = {"fraction_time_crossing": 31.3, "fraction_macs_crossing": 100.0, "regions_time_crossing": 25.0}
    fraction, regions, *_ = break_even.tables(measured([record(**crossings)]))
    said = sentence(fraction)
    assert "faster below 31.3 % active (95 % interval 29.3 to 33.3)" in said
    assert "; fewer multiply-adds below 100 % active;" in said
    assert "no fewer bytes anywhere from 1 to 100 % active (no crossing in range)" in said
    assert "SPS: faster above 25 regions (95 % interval 23 to 27);" in sentence(regions)


@pytest.mark.parametrize(("scale", "words"), [(0.1, "faster anywhere"), (100.0, "not faster anywhere")])
def test_no_crossing(scale: float, words: str) -> None:
    table = break_even.tables(measured([record(scale=scale)]))[0]
    assert sentence(table).startswith(f"SPS: {words} from 1 to 100 % active (no crossing in range)")


def test_many_crossings_are_not_hidden() -> None:
    of_noise = changed(record(fraction_time_crossing=30.0), 3, "crossings", stage=1, sweep="fraction", cost="time")
    assert "the first of 3 crossings" in sentence(break_even.tables(measured([of_noise]))[0])


def test_operations_are_named_and_kernels_share_their_bytes() -> None:
    records = [record(), record(kernel="native"), record("neighbors", operation="conv")]
    table = break_even.tables(measured(records))[0]
    names = [column.name for column in table.columns]
    assert names == [
        "Active %",
        "Neighbors conv ms",
        "x time",
        "x bytes",
        "SPS SFM ms",
        "x time",
        "x bytes",
        "SPS:native SFM ms",
        "x time",
    ]
    assert "SFM: SPS, SPS:native; 3x3 convolution: Neighbors." in table.caption[0]


def test_convolution_has_a_table_of_the_methods_it_was_measured_of_beside_the_sfm() -> None:
    both = record()
    of_conv = [
        msgspec.structs.replace(value, at={**value.at, "sweep": "conv_fraction"})
        for value in both.where(stage=2, sweep="fraction")
    ]
    both = msgspec.structs.replace(both, values=(*both.values, *of_conv))
    tables = break_even.tables(measured([both, record("neighbors", operation="conv")]))
    (table,) = [table for table in tables if "3x3 convolution" in table.title]
    assert table.title.startswith("Break-even with Dense, stage 2: active fraction")
    assert [column.name for column in table.columns] == ["Active %", "SPS conv ms", "x time", "x bytes"]
    assert not any("hardest" in text for text in table.caption)
    assert tables.index(table) == 3
    assert len(tables) == 7


def test_a_budget_beyond_all_cells_is_said() -> None:
    all_refined = changed(record(), 1.0, "active_fraction", stage=1, sweep="regions", place=5)
    all_refined.protocol["region_counts_budget"] = 10_000
    fraction, regions, _, regions_of_stage_2, *_ = break_even.tables(measured([all_refined]))
    said = "The budget of 10000 cells covers all cells of 5 regions: everything is refined there."
    assert said in regions.caption
    assert not any("covers all cells" in text for table in (fraction, regions_of_stage_2) for text in table.caption)


def test_every_table_says_what_is_left_out() -> None:
    older = record("dense")
    older.protocol["version"] = 0
    tables = break_even.tables(measured([older, record()]))
    assert [column.name for column in tables[0].columns][1:2] == ["SPS SFM ms"]
    said = "Left out of break_even, because measured otherwise than the newest: Dense (version)."
    assert all(table.caption.count(said) == 1 for table in tables)


def test_nothing_measured_gives_no_table() -> None:
    assert break_even.tables(measured([])) == []
