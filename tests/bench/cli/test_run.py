"""`run`: exit codes, what goes to which stream, and what it says before, while and after it works."""

import re
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


@pytest.fixture(autouse=True)
def heads_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted here must not depend on which other heads there are."""
    monkeypatch.setattr(recipes, "every_head", lambda: list(recipes.HEADS))


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


def test_failed_cells(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    probe.broken_head = "point_rend"
    assert run_heads() == 1
    assert "RuntimeError: a [bracket] broke" in capsys.readouterr().err
    probe.broken_head = ""
    assert run_heads() == 0
    assert "4 cells: 3 in store, 1 to do" in capsys.readouterr().err


def test_the_sum_of_a_run_that_failed(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    probe.broken_head = "point_rend"
    run_heads("--results", "mine")
    err = capsys.readouterr().err
    assert "0 from the store, 1 failed" in err
    (command,) = re.findall(r"Why it failed: run_bench.py (explain heads/point_rend\S+/params --results mine)", err)
    assert cli.main(command.split()) == 0
    assert "It failed and has no values: RuntimeError: a [bracket] broke" in capsys.readouterr().out


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


def test_records_are_read_by_scripts(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    """A record of `--json` is the record of the store."""
    run_heads("--heads", "effseg", "--json", "-")
    line = capsys.readouterr().out
    (path,) = Path("results").rglob("params-*.json")
    record: Record = decode(line.encode())
    assert record == decode(path.read_bytes())


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
    assert (
        "Left out: params, flops, region_cost, head_cost, time_budget (20 cells), which need images: --data DIR." in err
    )
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_that_is_not_there(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_heads("--device", "cuda") == 2
    assert "torch sees 0 CUDA devices" in capsys.readouterr().err


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
