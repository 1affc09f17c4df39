"""The command line as a whole: wrong lines, help, and what it does without a verb."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import cli, machine, ranks
from bench.planning import own_data, recipes
from tests.bench.fake_probe import FakeProbe


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "hads"],
            "There is no recipe named 'hads'. Did you mean 'heads'? Known: break_even, budget, ",
        ),
        (["run", "heads", "--heads", "efseg"], "There is no head named 'efseg'. Did you mean 'effseg'?"),
        (["run", "heads", "--coco", "nowhere"], "--coco nowhere is not there"),
        (["run", "heads", "--images", "0"], "--images is 0. It must be at least 1."),
        (
            ["run", "heads", "--device", "gpu"],
            "--device gpu is no device of torch. It must be one that torch knows. Use cpu or cuda.",
        ),
        (["run", "heads", "--weights", "nowhere"], "There is no file nowhere."),
        (["report", "--results", "nowhere"], "There is no record with values in nowhere."),
    ],
)
def test_usage_errors(probe: FakeProbe, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert f"error: {message}" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["run", "heads", "--results", "file/x"], ["report", "--out", "file"]])
def test_a_folder_that_cannot_be_written(
    probe: FakeProbe, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    Path("file").write_text("mine")
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert re.search(r"error: --(results|out) file\S* cannot be written: .*/file is a file\. It must be a folder", err)
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize("arguments", [["rum"], ["run"], ["run", "heads", "--imagse", "3"], ["list", "colours"]])
def test_wrong_arguments(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(arguments)
    assert exit_info.value.code == 2


def test_without_arguments(
    probe: FakeProbe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(own_data, "NUM_IMAGES", 1)
    monkeypatch.setattr(cli, "_MOST_PROCESSES", 1)  # others would not know the fake
    monkeypatch.setattr(recipes, "backends", list)  # whose tables need what only their probes measure
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cli.main([]) == 0
    err = capsys.readouterr().err
    assert re.search(r"(\d\d+) cells: 0 in store, \1 to do", err)
    assert "demo/effseg-sps-sfm-small_fpn-small-glyphs-seed0/accuracy" in err
    assert "Cost of the heads" in Path("report/tables.md").read_text()
    assert "<table" in Path("report/index.html").read_text()
    assert cli.main(["report"]) == 0
    assert "EffSeg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-signal.SIGKILL, "was ended by SIGKILL, as a system does that is out of memory."),
        (-signal.SIGSEGV, "was ended by SIGSEGV."),
        (70, "ended with code 70."),
    ],
)
def test_a_process_that_dies_is_said_and_nothing_is_reported(
    probe: FakeProbe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    monkeypatch.setattr(ranks, "launch", lambda *_: code)
    monkeypatch.setattr(machine, "card", lambda: SimpleNamespace(cores=3))
    assert cli.main([]) == 1
    err = capsys.readouterr().err
    assert f"error: One of 3 processes {said}" in err
    assert "repeat the command" in err
    assert not Path("report").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_of_the_installed_command(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/run-bench"])
    with pytest.raises(SystemExit):
        cli.main(["--tyro-print-completion", shell])
    script = capsys.readouterr().out
    assert "run-bench" in script
    assert "explain" in script


def test_what_needs_no_torch_does_not_wait_for_it(tmp_path: Path) -> None:
    """Nor for pandas and matplotlib: help, lists and explanations appear at once."""
    code = """
import sys, bench.cli
for line in (["list"], ["list", "recipes"], ["explain", "heads/x/params"], ["--help"], ["report", "--help"],
             ["doctor", "--help"], ["run", "--help"]):
    try:
        bench.cli.main(line)
    except SystemExit:
        pass
print([name for name in ("torch", "pandas", "matplotlib", "pycocotools", "fvcore") if name in sys.modules])
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--dry-run" in done.stdout
    assert done.stdout.endswith("\n[]\n")


def test_run_bench_is_the_command_line(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "run_bench.py"
    done = subprocess.run([sys.executable, script, "report"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no record with values in results.")
