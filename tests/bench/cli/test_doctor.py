"""`doctor`: what is there, what is missing, how to get it. What it says of data sets has tests of its own."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

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


def test_doctor_of_a_data_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A folder in another layout, how to say otherwise what it has, and what is wrong with it."""
    (tmp_path / "images" / "default").mkdir(parents=True)
    (tmp_path / "annotations").mkdir()
    Image.new("L", (64, 48)).save(tmp_path / "images" / "default" / "frame [1].PNG")
    annotation = {
        "id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 20, 1, 20, 20, 1, 20]], "iscrowd": 0,
        "bbox": [1, 1, 19, 19], "area": 361,
    }  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "frame [1].PNG", "height": 48, "width": 64}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "cell"}],
    }
    path = tmp_path / "annotations" / "instances_default.json"
    path.write_text(json.dumps(content))
    assert cli.main(["doctor", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"ok      data set         {tmp_path}: CVAT, one part\n" in out
    assert f"--train-images {tmp_path / 'images' / 'default'} --train-annotations {path} --val-images" in out
    assert out.endswith(f"to do:           run_bench.py prepare split --data {tmp_path} --val 0.2 --seed 0\n")
    named = ["--val-images", str(tmp_path / "images"), "--val-annotations", str(path)]
    assert cli.main(["doctor", *named]) == 0
    out = capsys.readouterr().out
    assert f"data set         {tmp_path / 'annotations'}: named parts, one part\n" in out
    assert f"prepare split --train-images {tmp_path / 'images'} --train-annotations" in out


def test_doctor_of_no_data_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["doctor", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"missing data set         The folder {tmp_path} is empty; expected pictures and an annotation file" in out
    assert out.count("data set  ") == 1
