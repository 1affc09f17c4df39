"""What `same_numbers` takes for a moved number, and what not."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import cli
from bench.record import Failure
from benchmarks import same_numbers
from benchmarks.same_numbers import Cell, Number, cell, differences


def row(name: str, value: float, unit: str = "", interval: tuple[float, float] | None = None, **at: Any) -> Any:
    """A value of a record, as a record holds it."""
    return SimpleNamespace(name=name, value=value, unit=unit, at=at, interval=interval)


def recorded(*values: Any, probe: str = "accuracy", **fields: Any) -> Any:
    """As much of a record as is compared."""
    protocol = {"probe": probe, "version": 1} | fields.pop("protocol", {})
    parts = {"files": {}, "error": None} | fields
    return SimpleNamespace(values=values, probe=probe, protocol=protocol, **parts)


def told(old: Any, new: Any, arrays: tuple[dict[str, Any], dict[str, Any]] = ({}, {})) -> list[tuple[str, bool]]:
    """Findings of two records of one cell: the text, and whether it is a note."""
    before, after = ({"demo/head/probe": cell(record, of)} for record, of in zip((old, new), arrays, strict=True))
    return [(finding.text, finding.note) for finding in differences(before, after)]


def test_a_record_has_what_is_compared() -> None:
    found = cell(recorded(row("ap", 40.0, "points", (39.0, 41.0), stage=1, clock="wall")), {})
    place = ("ap", (("clock", "wall"), ("stage", 1)))
    assert found.numbers == {place: Number(value=40.0, unit="points", interval=(39.0, 41.0), exact=True)}
    assert found.exact_arrays


def test_equal_records_do_not_differ() -> None:
    assert told(recorded(row("ap", 40.0), row("ap50", 60)), recorded(row("ap50", 60.0), row("ap", 40.0))) == []


def test_cells_of_one_side_are_named() -> None:
    cells = {name: Cell(probe="params", numbers={}) for name in "abc"}
    before, after = ({name: cells[name] for name in names} for names in ("ab", "bc"))
    assert [(found.cell, found.text) for found in differences(before, after)] == [
        ("a", "only before"),
        ("c", "only after"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (row("ap", 40.0, "points", stage=1), row("ap", 40.00000000000001, "points", stage=1), "-> 40.00000000000001"),
        (row("ap", 1, "points"), row("ap", 1, ""), "unit of ap: 'points' -> ''"),
        (row("ap", 1, "", (0.0, 1.0)), row("ap", 1, "", (0.0, 2.0)), "interval of ap: (0.0, 1.0) -> (0.0, 2.0)"),
        (row("ap", 1, "", (0.0, 1.0)), row("ap", 1), "interval of ap: (0.0, 1.0) -> None"),
    ],
)
def test_a_moved_number_is_told(old: Any, new: Any, text: str) -> None:
    ((found, note),) = told(recorded(old), recorded(new))
    assert text in found
    assert not note


def test_values_are_matched_by_name_and_axes() -> None:
    found = told(recorded(row("ms", 1, stage=1)), recorded(row("ms", 1, stage=2)))
    assert found == [("value ms stage=1: only before", False), ("value ms stage=2: only after", False)]


def test_times_are_compared_by_name_alone() -> None:
    old = recorded(row("latency", 1.0, "ms"), row("regions", 97, "regions"), probe="speed")
    new = recorded(row("latency", 2.0, "ms"), row("regions", 96, "regions"), probe="speed")
    arrays = ({"latency": np.ones(3)}, {"latency": np.zeros(4)})
    assert told(old, new, arrays) == [("value regions: 97 -> 96 regions", False)]
    assert told(old, old, ({"latency": np.ones(3)}, {})) == [("array latency: only before", False)]
    other_unit = recorded(row("latency", 1.0, "s"), row("regions", 97, "regions"), probe="speed")
    assert told(old, other_unit) == [("unit of latency: 'ms' -> 's'", False)]


def test_files_are_matched_without_the_key_of_their_record() -> None:
    old = recorded(files={"accuracy-00000000.images.json": "sha256:a", "accuracy-00000000.p.json.gz": "sha256:b"})
    new = recorded(files={"accuracy-11111111.images.json": "sha256:a", "accuracy-11111111.p.json.gz": "sha256:c"})
    assert told(old, new) == [("file p.json.gz: sha256:b -> sha256:c", False)]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ([0.0, 1.0], [-0.0, 1.0], "1 of 2 elements differ"),
        ([0.0, 1.0], [0.0], "float64 [2] -> float64 [1]"),
        (["a"], ["b"], "1 of 1 elements differ"),
        ([1], [1.0], "int64 [1] -> float64 [1]"),
    ],
)
def test_arrays_are_the_same_bit_by_bit(old: list[Any], new: list[Any], text: str) -> None:
    ((found, note),) = told(recorded(), recorded(), ({"x": np.array(old)}, {"x": np.array(new)}))
    assert found == f"array x: {text}"
    assert not note
    nothing_else = ({"x": np.array(old), "n": np.array([np.nan])}, {"x": np.array(old), "n": np.array([np.nan])})
    assert told(recorded(), recorded(), nothing_else) == []


def test_protocols_are_notes() -> None:
    old, new = recorded(protocol={"images": "first 10"}), recorded(protocol={"resamples": 1000})
    assert told(old, new) == [
        ("protocol images: first 10 -> None", True),
        ("protocol resamples: None -> 1000", True),
    ]


def test_the_checksum_of_the_code_is_no_note() -> None:
    old, new = (recorded(probe="certificate", protocol={"sparsity": checksum}) for checksum in "ab")
    assert told(old, new) == []


def test_a_cell_that_failed_on_one_side_differs() -> None:
    failures = [Failure(type="ValueError", message=message, frames=()) for message in "ab"]
    once, again = (recorded(error=failure) for failure in failures)
    assert told(recorded(), once) == [("error: None -> ValueError: a", False)]
    assert told(once, again) == [("error: ValueError: a -> ValueError: b", True)]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Cell]]:
    """What folders hold, by name."""
    place = ("ap", ())
    of = {
        name: {"demo/head/accuracy": Cell(probe="accuracy", numbers={place: number}, protocol={"at": name})}
        for name, value in (("before", 1.0), ("same", 1.0), ("moved", 2.0))
        for number in [Number(value=value, unit="", interval=None, exact=True)]
    }
    monkeypatch.setattr(same_numbers, "read", lambda folder: of[folder.name])
    return of


@pytest.mark.parametrize(("after", "code"), [("same", same_numbers.SAME), ("moved", same_numbers.DIFFERENT)])
@pytest.mark.usefixtures("measured")
def test_the_exit_code_says_whether_a_number_moved(after: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert same_numbers.main(["compare", "before", after]) == code
    *findings, summary = capsys.readouterr().out.splitlines()
    assert findings[-1] == f"note      demo/head/accuracy: protocol at: before -> {after}"
    assert len(findings) == 1 + code
    assert summary.startswith("1 cells on both sides with 1 exact values")
    assert f"{code or 'no'} differences, 1 notes." in summary


def test_nothing_to_compare_proves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert same_numbers.main(["compare", str(tmp_path), str(tmp_path)]) == same_numbers.USAGE
    assert "no records" in capsys.readouterr().err


def test_it_measures_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], Path]] = []

    def run(command: list[str], *, cwd: Path, check: bool) -> subprocess.CompletedProcess[str]:
        ran.append((command, cwd))
        return subprocess.CompletedProcess(command, returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    out = tmp_path / "out"
    assert same_numbers.main(["measure", str(out), "--checkout", str(tmp_path)]) == same_numbers.SAME
    assert [command[2] for command, _ in ran] == ["run", "run", "certify", *["evaluate"] * 3]
    for command, cwd in ran:
        assert (command[1], cwd) == ("run_bench.py", tmp_path)
        cli.parse(command[2:])
    (out / "results").mkdir()
    assert same_numbers.main(["measure", str(out)]) == same_numbers.USAGE


def test_it_scores_the_golden_sets() -> None:
    files = [Path(word) for command in same_numbers.commands(Path("out")) for word in command if word.endswith(".json")]
    assert len(files) == 6
    assert all(file.is_file() for file in files)
