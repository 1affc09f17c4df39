"""`doctor`: what is there, what is missing, how to get it."""

import json
import re
from pathlib import Path

import pytest
import torch

from bench import cli


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
