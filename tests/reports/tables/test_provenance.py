"""The card says what everything was made with."""

from dataclasses import replace
from pathlib import Path

import msgspec

from bench.record import Failure, Value
from bench.store import Store
from reports.cells import record_of
from reports.select.trainings import read_trainings
from reports.tables.provenance import provenance
from tests.reports.stores import MACHINE, add, subject, training


def test_everything_has_its_row(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    add(store, subject(), "accuracy", {"ap": 1.0})
    add(store, subject("mask_rcnn", weights="random"), "params", {"params": 1.0}, protocol={})
    add(store, subject(), "speed", {}, error=Failure(type="ValueError", message="It broke.", frames=()))
    training(tmp_path / "weights" / "effseg.json", subject(), mask=[1.0])
    tables = {table.title: table.texts() for table in provenance(list(store), read_trainings(tmp_path / "weights"))}
    assert tables["Code"] == [["c0ffee", "3"]]
    assert tables["Machines"] == [["fast-2c", "Fast CPU", "2", "1", "8", "none", "o", "3", "2", "3"]]
    assert tables["Commands"] == [["demo", "python run_bench.py run demo", "3", "0.1"]]
    assert [row[:3] for row in tables["Probes"]] == [["accuracy", "1", "1"], ["params", "1", "1"], ["speed", "1", "1"]]
    assert ["COCO annotations", "sha256:a", "2"] in tables["Data"]
    assert tables["Weights that were measured"] == [[subject().name, "sha256:w", "2"]]
    (row,) = tables["Trainings"]
    assert row[:4] == ["effseg", "sha256:w", "glyphs 1 train", "python run_bench.py train glyphs --heads <b>"]
    assert row[5:] == ["c0ffee with changes", "2"]
    assert tables["Failed measurements"] == [["demo", subject().name, "speed", "ValueError: It broke."]]


def test_a_failure_leads_to_its_record(tmp_path: Path) -> None:
    entry = add(
        Store(tmp_path), subject(), "speed", {}, error=Failure(type="ValueError", message="It broke.", frames=())
    )
    (table,) = [table for table in provenance([entry], []) if table.title == "Failed measurements"]
    name = record_of(table.rows[0][-1])
    assert name is not None
    assert (tmp_path / name) == entry.path


def test_a_gpu_has_columns_where_there_is_one(tmp_path: Path) -> None:
    entry = add(Store(tmp_path), subject(), "speed", {"fps_paper": 1.0})
    machine = msgspec.structs.replace(MACHINE, gpu="Fast GPU", gpu_memory_bytes=2**36, gpu_power_limit_w=300.0)
    other = replace(entry, record=msgspec.structs.replace(entry.record, machine=machine))
    (table,) = [table for table in provenance([entry, other], []) if table.title == "Machines"]
    names = [column.name for column in table.columns]
    shown = [dict(zip(names, row, strict=True)) for row in table.texts()]
    assert [(row["GPU"], row["GPU GiB"], row["GPU W, limit"]) for row in shown] == [
        ("none", "", ""),
        ("Fast GPU", "64", "300"),
    ]
    assert "GPU MHz, highest" not in names


def test_the_verbs_that_are_no_recipes_are_named_as_such(tmp_path: Path) -> None:
    entry = add(Store(tmp_path), subject(), "accuracy", {"ap": 1.0})
    (table,) = [table for table in provenance([replace(entry, recipe="evaluate")], []) if table.title == "Commands"]
    assert table.texts()[0][1] == "python run_bench.py evaluate --predictions FILE"


def test_files_that_are_no_records_are_named_the_first_of_many(tmp_path: Path) -> None:
    paths = [tmp_path / "m" / "demo" / "<b>" / f"speed-{number:08}.json" for number in range(25)]
    few, many = (provenance([], [], dict.fromkeys(some, "It is <empty>.")) for some in (paths[:2], paths))
    ((table,), (cut,)) = few, many
    assert table.texts() == [[f"m/demo/<b>/speed-0000000{number}.json", "It is <empty>."] for number in (0, 1)]
    assert len(table.caption) == 1
    assert len(cut.rows) == 20
    assert cut.caption[-1].startswith("5 more are not listed here")


def test_axes_that_nobody_knows_are_named_and_counted(tmp_path: Path) -> None:
    values = [Value(name="ms", value=1.0, at={"stage": 1, "colour": colour}) for colour in ("red", "blue")]
    entries = []
    for seed, of in enumerate((values, values[:1], [Value(name="ms", value=1.0, at={"stage": 1})])):
        entry = add(Store(tmp_path), subject(seed=seed), "mine", {})
        entries.append(replace(entry, record=msgspec.structs.replace(entry.record, values=tuple(of))))
    (table,) = [each for each in provenance(entries, []) if "does not know" in each.title]
    assert table.texts() == [["colour", "3", "2"]]


def test_records_of_schema_1_are_like_all_others(tmp_path: Path) -> None:
    entry = add(Store(tmp_path), subject(), "speed", {"latency_ms_head_median": 1.0})
    old = msgspec.json.decode(entry.path.read_bytes())
    old |= {"schema": 1, "values": {"latency_ms_head_median": 1.0}, "units": {"latency_ms_head_median": "ms"}}
    entry.path.write_bytes(msgspec.json.encode(old | {"intervals": {}}))
    store = Store(tmp_path)
    titles = {table.title for table in provenance(list(store), [], store.skipped)}
    assert not titles & {"Files that are no readable records", "Axes of values that this version does not know"}


def test_nothing_is_no_table() -> None:
    assert provenance([], []) == []
