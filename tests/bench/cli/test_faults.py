"""Disk, permissions, memory, pipes, Ctrl-C: said in words, with an exit code, and nothing that was finished is lost."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from bench.cli.faults import explained
from bench.cli.listing import List
from bench.record import decode
from bench.store import Store
from tests.bench.fake_probe import FakeProbe

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "A file cannot be written: No space left on device. What"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), "aaa... is no name of a file: File name too"),
        (
            PermissionError(errno.EACCES, "Permission denied", Path("x")),
            "x: Permission denied. Inputs must be readable, and outputs",
        ),
        (OSError(errno.EIO, "Input/output error", b"x"), "x: Input/output error. Expected to read and write it."),
        (RuntimeError("I/O error: File too large (os error 27)"), "A file cannot be written: File too large. What was"),
        (MemoryError("8 TB"), "There is not enough memory (8 TB). Expected room for what was asked for. Give fewer"),
    ],
    ids=["full", "long", "forbidden", "broken", "library", "memory"],
)
def test_what_is_no_mistake_of_the_project_is_explained(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(verb: List) -> int:
        raise error

    monkeypatch.setattr(List, "__call__", fail)
    assert cli.main(["list"]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert len(re.findall(r"[.:] [A-Z]", err)) >= 2


def test_a_mistake_of_the_project_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explained(KeyError("x")) is None

    def fail(verb: List) -> int:
        raise KeyError("x")

    monkeypatch.setattr(List, "__call__", fail)
    with pytest.raises(KeyError):
        cli.main(["list"])


def test_ctrl_c_outside_the_cells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(verb: List) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(List, "__call__", interrupt)
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err.startswith("stopped: Stopped by Ctrl-C. ")


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    """`run_bench.py list | head -0`, whatever the size of the pipe."""
    script = "import sys; from bench.cli import main; sys.exit(main(['list', 'recipes']))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_loses_no_measurement(
    probe: FakeProbe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add, added = Store.add, []

    def full(self: Store, *arguments: object) -> object:
        if added:
            raise OSError(errno.ENOSPC, "No space left on device")
        added.append(add(self, *arguments))  # type: ignore[arg-type]
        return added[0]

    monkeypatch.setattr(Store, "add", full)
    assert cli.main(["run", "heads", "--probes", "params", "--json", "lines"]) == 1
    out, err = capsys.readouterr()
    assert "Mask R-CNN++" in out, "the table of what was stored before"
    message, line = re.findall(r"^error: (.*)\n(.*)$", err, re.MULTILINE)[0]
    assert "params cannot be written. A file cannot be written: No space left on device. What was finished" in message
    records = [decode(each) for each in Path("lines").read_bytes().splitlines()]
    assert decode(line.encode()) == records[1]
    assert records[1].get("params_head").value == 2_906_192
    assert len(list(Store(Path("results")))) == 1
