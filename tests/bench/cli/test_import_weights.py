"""`import`: what it prints, and its exit codes; what it does is tested where that is done."""

from pathlib import Path

import pytest
import torch

from bench.cli import main
from tests.bench.foreign.checkpoints import subject, theirs_of


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": theirs_of(subject("point_rend")), "epoch": 12}, path)
    return path


def test_a_dry_run_prints_the_map_and_writes_nothing(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = checkpoint.parent / "weights"
    assert main(["import", "detseg", str(checkpoint), "--out", str(out), "--dry-run"]) == 0
    printed = capsys.readouterr()
    rows = [
        [cell.strip() for cell in line.split("\u2502")[1:-1]] for line in printed.out.splitlines() if "\u2502" in line
    ]
    hidden = "heads.gvd.heads.2.point_head.fcs.0.conv.weight"
    assert ["head.point_head.hidden.0.weight", hidden, "256x336", "last axis dropped"] in rows
    stacked = "heads.gvd.group_init_sel.post.0.module_list.0.lin.weight and 8 more"
    assert ["detector.transition.weight", stacked, "9x256x256", "transposed, stacked"] in rows
    assert len(rows) == 491
    assert "point_rend-r50_fpn-paper-published-seed0" in printed.err
    assert "nothing written" in printed.err
    assert not out.exists()


def test_files_that_are_refused_do_not_stop_the_others(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = checkpoint.with_name("page.pth")
    page.write_text("<html>Sign in</html>")
    assert main(["import", "detseg", str(page), str(checkpoint), "--dry-run"]) == 1
    printed = capsys.readouterr().err
    assert "page.pth is an HTML page" in printed
    assert "523" not in printed.partition("page.pth")[0]
    assert "525 tensors, from its entry model" in printed
    assert main(["import", "detseg", str(page), "--dry-run"]) == 2


def test_of_several_entries_one_is_asked_for(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = theirs_of(subject("point_rend"))
    torch.save({"model": state, "model_ema": state}, checkpoint)
    assert main(["import", "detseg", str(checkpoint), "--dry-run"]) == 2
    assert "2 sets of weights" in (printed := capsys.readouterr().err)
    assert "--entry model" in printed
    assert main(["import", "detseg", str(checkpoint), "--dry-run", "--entry", "model_ema"]) == 0
    assert "from its entry model_ema" in capsys.readouterr().err


def test_an_unknown_source_and_no_file_are_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "detseg"]) == 2
    assert "There is no file to import" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["import", "somebody", "x.pth"])
    assert stop.value.code == 2
