"""The command line: exit codes, what goes to which stream, messages for people."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import cli
from bench.cli import train
from bench.files import checksum
from bench.model import weights_folder
from bench.planning import own_data, recipes
from bench.record import Record, Subject, decode
from bench.training.schedule import Schedule
from tests.bench.fake_probe import FakeProbe


def run_heads(*options: str) -> int:
    return cli.main(["run", "heads", "--probes", "params", *options])


def test_complete(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_heads() == 0
    out, err = capsys.readouterr()
    assert "4 cells: 0 in store, 4 to do" in err
    assert "[4/4] heads/effseg-sps-sfm-r50_fpn-paper-none-seed0/params" in err
    assert "Table 4" in out
    assert "2.91" in out
    assert run_heads() == 0
    out, err = capsys.readouterr()
    assert "4 cells: 4 in store, 0 to do" in err
    assert "2.91" in out


def test_failed_cells(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    probe.broken_head = "point_rend"
    assert run_heads() == 1
    assert "RuntimeError: a [bracket] broke" in capsys.readouterr().err
    probe.broken_head = ""
    assert run_heads() == 0
    assert "4 cells: 3 in store, 1 to do" in capsys.readouterr().err


def test_interrupt(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    probe.interrupted_head = "refine_mask"
    assert run_heads() == 1
    assert "Stopped: 2 of 4 cells are in the store." in capsys.readouterr().err
    probe.interrupted_head = ""
    assert run_heads() == 0


def test_json_on_standard_output_is_pure(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    probe.broken_head, probe.chatter = "point_rend", "chatter"
    assert run_heads("--json", "-") == 1
    out, err = capsys.readouterr()
    records = [decode(line.encode()) for line in out.splitlines()]
    assert [record.subject.head for record in records] == ["mask_rcnn", "point_rend", "refine_mask", "effseg"]
    assert [record.error is None for record in records] == [True, False, True, True]
    assert "chatter" in err
    assert "Table 4" in err
    # Cells that were in the store are printed as well, as they are stored.
    assert run_heads("--json", "-") == 1
    again = [decode(line.encode()) for line in capsys.readouterr().out.splitlines()]
    assert [again[i] for i in (0, 2, 3)] == [records[i] for i in (0, 2, 3)]


def test_json_file(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_heads("--json", "records.jsonl") == 0
    assert len(Path("records.jsonl").read_text().splitlines()) == 4
    assert "Table 4" in capsys.readouterr().out


def test_force_and_options_reach_the_records(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--heads", "effseg", "--regions", "60", "--results", "elsewhere", "--json", "-")
    run_heads(*arguments)
    run_heads(*arguments, "--force")
    first, second = (decode(line.encode()) for line in capsys.readouterr().out.splitlines())
    assert first.protocol["regions"] == 60
    assert first.started < second.started
    assert len(list(Path("elsewhere").rglob("*.json"))) == 2


def test_dry_run_measures_nothing(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_heads("--dry-run", "--backends", "sps", "dense") == 0
    out, err = capsys.readouterr()
    assert not out
    assert "5 cells: 0 in store, 5 to do" in err
    assert "to do    heads/effseg-dense-sfm-r50_fpn-paper-none-seed0/params" in err
    assert not Path("results").exists()


def test_probes_without_images(probe: FakeProbe, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    probe.NEEDS_IMAGES = True
    assert cli.main(["run", "heads", "--dry-run"]) == 0
    err = capsys.readouterr().err
    assert "Left out: params, flops, head_cost, time_budget (16 cells), which need images: --coco DIR." in err
    assert run_heads() == 2
    assert "The probe params needs images" in capsys.readouterr().err
    assert run_heads("--coco", str(tmp_path)) == 2
    assert "There is no directory" in capsys.readouterr().err
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "000000000007.jpg").touch()
    annotations = tmp_path / "annotations" / "instances_val2017.json"
    annotations.parent.mkdir()
    annotations.write_text('{"images": [{"id": 7, "height": 4, "width": 4}], "annotations": [], "categories": []}')
    assert run_heads("--coco", str(tmp_path)) == 0


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_that_is_not_there(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_heads("--device", "cuda") == 2
    assert "torch sees 0 CUDA devices" in capsys.readouterr().err


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


def test_training_first(monkeypatch: pytest.MonkeyPatch, probe: FakeProbe, tmp_path: Path) -> None:
    """`--train` makes the weights of all that the recipe measures, then measures with these."""
    asked: list[tuple[str, list[str | None], Path]] = []

    def make(schedule: Schedule, subjects: list[Subject], folder: Path, **_: object) -> int:
        asked.append((schedule.name, [subject.head for subject in subjects], folder))
        folder.mkdir()
        for subject in subjects:
            weights_folder.file(folder, weights_folder.stem(subject)).write_bytes(b"weights")
        return 0

    monkeypatch.setattr(train, "make", make)
    monkeypatch.setattr(own_data, "NUM_IMAGES", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cli.main(["run", "budget", "--train", "--probes", "params", "--weights", "own"]) == 0
    assert asked == [("glyphs", ["effseg"], Path("own"))]
    (record,) = (decode(path.read_bytes()) for path in Path("results").rglob("*.json"))
    assert record.subject.weights == checksum(*sorted(Path("own").iterdir()))
    monkeypatch.setattr(train, "make", lambda *_, **__: 1)
    assert cli.main(["run", "budget", "--train", "--probes", "params"]) == 1


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("effseg", "sps", "dense_sfm", "params", "modules", "coco"):
        assert f"\n  {name} " in out
    assert cli.main(["list", "recipes"]) == 0
    out = capsys.readouterr().out
    assert "\n    main/effseg-sps-sfm-r50_defenc-paper-none-seed0/params\n" in out
    assert "\n  pointwise" not in out


def test_doctor(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"ok +torch +{re.escape(torch.__version__.partition('+')[0])}\b", out)
    assert "ImageNet weights" in out

    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    images = [{"id": 1, "height": 4, "width": 4}, {"id": 2, "height": 4, "width": 4}]
    content = json.dumps({"images": images, "annotations": [], "categories": []})
    (tmp_path / "annotations" / "instances_val2017.json").write_text(content)
    (tmp_path / "val2017" / "000000000001.jpg").touch()
    cli.main(["doctor", "--coco", str(tmp_path)])
    assert "lacks 1 of the 2 images of the run: 000000000002.jpg" in capsys.readouterr().out
    (tmp_path / "val2017" / "000000000002.jpg").touch()
    cli.main(["doctor", "--coco", str(tmp_path)])
    assert "all 2 images of the annotations are there" in capsys.readouterr().out
    (tmp_path / "annotations" / "instances_val2017.json").unlink()
    cli.main(["doctor", "--coco", str(tmp_path)])
    assert "instances_val2017.json cannot be read" in capsys.readouterr().out


def test_doctor_accepts_real_data(coco_mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor", "--coco", str(coco_mini)])
    assert "ok      COCO val2017" in capsys.readouterr().out


def test_run_bench_is_the_command_line(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "run_bench.py"
    done = subprocess.run([sys.executable, script, "report"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no record with values in results.")


def test_records_are_read_by_scripts(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    """A record of `--json` is the record of the store."""
    run_heads("--heads", "effseg", "--json", "-")
    line = capsys.readouterr().out
    (path,) = Path("results").rglob("params-*.json")
    record: Record = decode(line.encode())
    assert record == decode(path.read_bytes())
