"""The card says what everything was made with."""

from pathlib import Path

from bench.record import Failure
from bench.store import Store
from reports.provenance import provenance
from reports.trainings import read_trainings
from tests.reports.stores import add, subject, training


def test_everything_has_its_row(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    add(store, subject(), "accuracy", {"ap": 1.0})
    add(store, subject("mask_rcnn", weights="random"), "params", {"params": 1.0}, protocol={})
    add(store, subject(), "speed", {}, error=Failure(type="ValueError", message="It broke.", frames=()))
    training(tmp_path / "weights" / "effseg.json", subject(), mask=[1.0])
    tables = {table.title: table.texts() for table in provenance(list(store), read_trainings(tmp_path / "weights"))}
    assert tables["Code"] == [["c0ffee", "3"]]
    assert tables["Machines"] == [["fast-2c", "Fast CPU", "none", "o", "3", "2", "2", "1", "8", "3"]]
    assert [row[:3] for row in tables["Probes"]] == [["accuracy", "1", "1"], ["params", "1", "1"], ["speed", "1", "1"]]
    assert ["COCO annotations", "sha256:a", "2"] in tables["Data"]
    assert tables["Weights that were measured"] == [[subject().name, "sha256:w", "2"]]
    (row,) = tables["Trainings"]
    assert row[:4] == ["effseg", "sha256:w", "glyphs 1 train", "python run_bench.py train glyphs --heads <b>"]
    assert row[5:] == ["c0ffee with changes", "2"]
    assert tables["Failed measurements"] == [["demo", subject().name, "speed", "ValueError: It broke."]]


def test_nothing_is_no_table() -> None:
    assert provenance([], []) == []
