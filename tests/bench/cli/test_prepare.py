"""`prepare split`: what it says, and what to do next. The data sets of the other two have tests of their own."""

import json
from pathlib import Path

import pytest
from PIL import Image

from bench import cli
from bench.data.layout import recognise


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten pictures in CVAT's layout, the last two the same; the third class is on one of them."""
    root = tmp_path / "my cells"
    (root / "images" / "default").mkdir(parents=True)
    (root / "annotations").mkdir()
    images, annotations = [], []
    for number in range(10):
        name = f"frame {number}.PNG"
        Image.new("L", (8, 8), min(number, 8)).save(root / "images" / "default" / name)
        images.append({"id": number, "file_name": name, "height": 8, "width": 8})
        annotations.append({
            "id": number, "image_id": number, "category_id": 3 if number == 0 else number % 2 + 1, "iscrowd": 0,
            "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]], "bbox": [1, 1, 4, 4], "area": 16,
        })  # fmt: skip
    categories = [{"id": number, "name": "abc"[number - 1]} for number in (1, 2, 3)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "instances_default.json").write_text(json.dumps(content))
    return root


def test_split(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prepare", "split", "--data", str(root), "--val", "0.2", "--seed", "0"]) == 0
    out = root / "split-0.2-seed0"
    assert capsys.readouterr().out == (
        f"{out}: split of CVAT\ntrain: 8 pictures, 8 objects\nval: 2 pictures, 2 objects\n"
        "classes without an object in val: c\n"
        "1 pictures are copies of others (same content, or same source): they stay with these\n"
        f"next: run_bench.py doctor --data '{out}'\nthen: run_bench.py train own --data '{out}'\n"
    )
    assert recognise(out).is_split
    assert cli.main(["prepare", "split", "--data", str(root)]) == 0
    assert "as it was there already" in capsys.readouterr().out
    assert cli.main(["prepare", "split", "--data", str(out)]) == 2
    assert "say which part to split: --part train." in capsys.readouterr().err
    assert cli.main(["prepare", "split", "--data", str(out), "--part", "train"]) == 0
    assert (out / "split-train-0.2-seed0").is_dir()
    assert cli.main(["prepare", "split", "--data", str(root), "--seed", "1", "--out", str(out)]) == 2
    assert "has other content already" in capsys.readouterr().err


def test_split_of_named_parts(root: Path, tmp_path: Path) -> None:
    annotations = root / "annotations" / "instances_default.json"
    arguments = ["--train-images", str(root / "images"), "--train-annotations", str(annotations)]
    assert cli.main(["prepare", "split", *arguments, "--out", str(tmp_path / "out")]) == 0
    assert recognise(tmp_path / "out").train.pictures == root / "images"


def test_what_is_not_given(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["split"], "There is no data set to split. .* Give it: --data DIR"),
        (["glyphs"], "There is no place to write glyphs to. .* Give it: --out PATH"),
        (["lvis", "--out", "x"], "There is no LVIS file to prepare"),
    ):
        assert cli.main(["prepare", *arguments]) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert message.partition(" .*")[0] in error
