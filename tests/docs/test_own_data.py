"""docs/own-data.md works as it is written, on pictures in the layout of an annotation tool."""

import json
import re
import shlex
from pathlib import Path

import pytest

from bench import cli
from bench.glyphs import write

PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"
COMMANDS = re.findall(r"^    python run_bench\.py (.*)$", PAGE.read_text(), re.MULTILINE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an export of Label Studio from a Windows machine, one part, and with other pictures."""
    write(tmp_path / "glyphs", "train", 14)
    annotations = json.loads((tmp_path / "glyphs" / "annotations" / "instances_train2017.json").read_bytes())
    for folder in ("photos/images", "more_photos"):
        (tmp_path / folder).mkdir(parents=True)
    for place, image in enumerate(annotations["images"]):
        name = f"IMG {place:04d} (\u7ec6\u80de).png"
        (tmp_path / "glyphs" / "train2017" / image["file_name"]).rename(tmp_path / "photos" / "images" / name)
        image["file_name"] = f"images\\{name}"
    (tmp_path / "photos" / "result.json").write_text(json.dumps(annotations))
    write(tmp_path / "others", "test", 2)
    for path in (tmp_path / "others" / "val2017").iterdir():
        path.rename(tmp_path / "more_photos" / path.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_works_in_its_turn(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    before = {path: path.read_bytes() for path in (home / "photos").rglob("*") if path.is_file()}
    for command in COMMANDS:
        arguments = shlex.split(command)
        few = ["--views", "4"] if arguments[0] == "train" else []
        assert cli.main([*arguments, *few]) == 0, capsys.readouterr().err
        shown = capsys.readouterr()
        said[" ".join(arguments[:2])] = re.sub(r"\s+", " ", shown.out + shown.err)
    assert "Label Studio" in said["doctor --data"]
    assert "prepare split --data photos --val 0.2 --seed 0" in said["doctor --data"]
    assert "train own --data photos/split-0.2-seed0" in said["prepare split"]
    assert "run own --data photos/split-0.2-seed0" in said["train own"]
    assert "Which head for my data" in said["run own"]
    assert "EffSeg - Mask R-CNN++" in said["run own"]
    assert "2 of 2 pictures" in said["predict more_photos"]
    assert "Accuracy of predictions" in said["evaluate --predictions"]
    assert {path.name for path in (home / "found").glob("*.png")} == {
        path.name for path in (home / "more_photos").iterdir()
    }
    assert (home / "report" / "index.html").is_file()
    assert all(path.read_bytes() == content for path, content in before.items()), "no input was written over"
