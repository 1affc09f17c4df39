"""What the command line says before, while and after it works, and how soon it says it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from bench.cli.examples import EXAMPLES
from bench.record import Scalar, Subject
from bench.store import Store
from tests.bench.fake_probe import FakeProbe
from tests.reports.invented import invented

RECORD_OF = "heads/effseg-sps-sfm-r50_fpn-paper-none-seed0/params"


def run_heads(*options: str) -> int:
    return cli.main(["run", "heads", "--probes", "params", *options])


def test_plan_first_then_progress_then_where_to_look(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    run_heads()
    err = capsys.readouterr().err
    assert err.startswith("4 cells: 0 in store, 4 to do (time unknown)\n[1/4] heads/mask_rcnn")
    assert "\r" not in err, "nothing moves where nobody watches"
    assert re.search(r"\n4 cells: 4 measured in \d+ s, 0 from the store, 0 failed\n", err)
    assert "Records are in results. Tables and figures of all: run_bench.py report\n" in err
    assert re.search(r"What a number means: run_bench.py explain heads/mask_rcnn\S+/params\n$", err)


def test_the_time_is_judged_by_the_store(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    run_heads("--heads", "effseg")
    capsys.readouterr()
    run_heads("--dry-run")
    assert "4 cells: 1 in store, 3 to do (about 0 s)\n" in capsys.readouterr().err


def test_the_sum_of_a_run_that_failed(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    probe.broken_head = "point_rend"
    run_heads("--results", "mine")
    err = capsys.readouterr().err
    assert "0 from the store, 1 failed" in err
    (command,) = re.findall(r"Why it failed: run_bench.py (explain heads/point_rend\S+/params --results mine)", err)
    assert cli.main(command.split()) == 0
    assert "It failed and has no values: RuntimeError: a [bracket] broke" in capsys.readouterr().out


def test_subjects_without_weights_are_left_out_by_name(
    probe: FakeProbe, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folder that lacks some files of the recipe: the others are measured. One that lacks all is the wrong one."""
    folder = tmp_path / "weights"
    folder.mkdir()
    assert run_heads("--weights", str(folder)) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.match(r"error: The folder \S+/weights has weights for nothing that is to be measured\.", error)
    assert "one of effseg-sfm-r50_fpn-paper-12ep-seed0.safetensors, mask_rcnn-" in error
    (folder / "effseg-sfm-r50_fpn-paper-12ep-seed0.safetensors").touch()
    assert run_heads("--weights", str(folder), "--backends", "sps", "dense") == 0
    lines = capsys.readouterr().err.splitlines()
    for line, head in zip(lines, ("mask_rcnn", "point_rend", "refine_mask"), strict=False):
        name = f"{head}-r50_fpn-paper-12ep-seed0"
        assert line.startswith(f"Left out: {name} (params), without weights: {folder}/{name}.safetensors is not there")
    assert lines[3].startswith("2 cells: 0 in store, 2 to do")
    assert run_heads("--weights", str(folder), "--heads", "mask_rcnn") == 2


def test_a_terminal_sees_what_is_at_work(
    probe: FakeProbe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # which makes rich take a stream for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    run_heads("--heads", "effseg")
    err = capsys.readouterr().err
    assert re.search(r"\[1/1\] heads/effseg\S+/params  measuring; left: time unknown\s*\r", err)
    assert err.index("measuring") < err.index("\x1b[2K") < err.index(" s\n")


def test_explain(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    run_heads("--heads", "effseg")
    capsys.readouterr()
    assert cli.main(["explain", RECORD_OF]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{RECORD_OF}\nParameters, total and trainable")
    assert re.search(r"\n  params_head +2906192 parameters\n", out)
    assert "\n  * The weights are random" in out
    assert "results/" in out
    assert cli.main(["explain", "heads/efseg/params"]) == 2
    assert f"expected one such as {RECORD_OF}; check the name" in capsys.readouterr().err


def test_explain_says_where_values_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    protocol: dict[str, Scalar] = {"probe": "backend_speed", "version": 1}
    values = {"stage1_sfm_ms": 5.25}
    made = invented(Subject(backend="sps"), protocol, values, unit="ms", intervals={"stage1_sfm_ms": (5.0, 5.5)})
    cell = Store(tmp_path).add("sparsity", "0123abcd", made).cell
    assert cli.main(["explain", cell, "--results", str(tmp_path)]) == 0
    assert re.search(r"\n  ms \(stage 1, operation sfm\) +5\.25 ms +\[5, 5\.5\]\n", capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["run", "heads", "--results", "file/x"], ["report", "--out", "file"]])
def test_a_folder_that_cannot_be_written(
    probe: FakeProbe, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    Path("file").write_text("mine")
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert re.search(r"error: --(results|out) file\S* cannot be written: .*/file is a file\. It must be a folder", err)
    assert Path("file").read_text() == "mine"


def test_an_empty_store_says_how_to_fill_it(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report"]) == 2
    assert "Make some, for example: run_bench.py run heads" in capsys.readouterr().err
    assert not Path("report").exists()


@pytest.mark.parametrize("verb", EXAMPLES)
def test_every_help_ends_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert not stop.value.code
    assert capsys.readouterr().out.endswith(f"  run_bench.py {EXAMPLES[verb][-1]}\n")


def test_help_names_every_verb_and_completion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert all(f"  run_bench.py {verb}" in out for verb in EXAMPLES)
    assert "--tyro-print-completion bash" in out


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
