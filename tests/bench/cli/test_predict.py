"""`predict`: what it writes, what it says, and what it never does."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from bench import cli
from bench.glyphs import scene
from bench.inference.predictor import Predictor


def picture(path: Path, index: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(3, index).image).save(path)
    return path


def read(path: Path) -> list[dict[str, object]]:
    return msgspec.json.decode(path.read_bytes(), type=list[dict[str, object]])


def test_overlays_results_and_a_line_for_every_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = tmp_path / "my photos", tmp_path / "out"
    for name in ("a.png", "a.jpg", "\u00fcber/a.png", "\u00fcber/b.tif"):
        picture(photos / name)
    (photos / "up").symlink_to(photos, target_is_directory=True)
    assert cli.main(["predict", str(photos), "--out", str(out)]) == 0
    stdout, stderr = capsys.readouterr()
    assert stdout.count("320 x 320  5 objects: 2 star, ") == 4
    assert "4 of 4 pictures in " in stderr
    assert "twenty pictographs" in stderr
    overlays = {"a.png", "a.jpg", "\u00fcber/a.png", "\u00fcber/b.tif.png"}
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == overlays | {"predictions.json", "images.json", "pictures.json"}
    for name in overlays:
        with Image.open(out / name) as drawn:
            assert drawn.size == (320, 320)
    results = read(out / "predictions.json")
    assert len(results) > 4 * 5, "all scores, not only those that are drawn"
    names = {"a.png", "a.jpg", "\u00fcber/a.png", "\u00fcber/b.tif"}
    assert {each["file_name"] for each in results} == names
    assert {str(each["image_id"]) for each in results} == {"a.png", "a.jpg", "\u00fcber/a.png", "b"}
    assert all("bbox" not in each for each in results)
    assert set(msgspec.json.decode((out / "images.json").read_bytes())) == {"a.png", "a.jpg", "\u00fcber/a.png", "b"}
    about = msgspec.json.decode((out / "pictures.json").read_bytes())
    assert {each["file_name"] for each in about["images"]} == names
    assert about["categories"][0] == {"id": 101, "name": "airplane"}


def test_results_can_be_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    cli.main(["prepare", "glyphs", "--out", str(tmp_path / "set"), "--images", "2"])
    annotations = str(tmp_path / "set" / "annotations" / "instances_val2017.json")
    assert cli.main(["predict", str(tmp_path / "set" / "val2017"), "--out", str(out), "--boxes", annotations]) == 0
    scored = ["evaluate", "--predictions", str(out / "predictions.json"), "--coco-annotations", annotations]
    assert cli.main([*scored, "--images", str(out / "images.json"), "--resamples", "2"]) == 0
    assert "AP50" in capsys.readouterr().out


def test_what_cannot_be_read_is_skipped_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad [1].jpg").write_text("no picture")
    (tmp_path / "in" / "gone.png").symlink_to("nowhere.png")
    assert cli.main(["predict", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    stdout, stderr = capsys.readouterr()
    assert stdout.count("\n") == 1
    assert "skipped bad [1].jpg: bad [1].jpg cannot be decoded" in stderr
    assert "1 of 3 pictures" in stderr
    assert "2 skipped" in stderr
    assert (tmp_path / "out" / "good.png").is_file()


def test_a_picture_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = picture(tmp_path / "in" / "a.png")
    before = photo.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "in", target_is_directory=True)
    for named, out in ((photo, photo.parent), (photo.parent, photo.parent), (photo.parent, tmp_path / "link")):
        assert cli.main(["predict", str(named), "--out", str(out)]) == 2
        assert "where the overlays go" in capsys.readouterr().err
    assert [path.name for path in photo.parent.iterdir()] == ["a.png"]
    assert photo.read_bytes() == before
    # Results in a folder below are no pictures of the next time.
    for _ in range(2):
        assert cli.main(["predict", str(photo.parent), "--out", str(photo.parent / "predictions")]) == 0
        assert "1 of 1 pictures" in capsys.readouterr().err


def test_other_files_that_are_read_are_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, boxes = picture(tmp_path / "a.png"), tmp_path / "out" / "predictions.json"
    boxes.parent.mkdir()
    boxes.write_text('[{"image_id": "a", "bbox": [0, 0, 50, 50]}]')
    assert cli.main(["predict", str(photo), "--out", str(boxes.parent), "--boxes", str(boxes)]) == 2
    assert "would be written over" in capsys.readouterr().err


def test_given_boxes_and_pictures_that_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / name)
    boxes = tmp_path / "boxes.json"
    entries = [
        {"image_id": "a", "category_id": 103, "bbox": [140, 40, 170, 160], "score": 0.9},
        {"image_id": "c", "category_id": 103, "bbox": [140, 40, 170, 160], "score": 0.9},
        {"image_id": "a", "category_id": 103, "bbox": [140, 40, 0, 160], "score": 0.9},
    ]
    boxes.write_bytes(msgspec.json.encode(entries))
    out = tmp_path / "out"
    assert cli.main(["predict", str(tmp_path / "in"), "--out", str(out), "--boxes", str(boxes)]) == 1
    stdout, stderr = capsys.readouterr()
    assert "1 objects: 1 star" in stdout
    assert "skipped b.png: it is not in the file of boxes" in stderr
    assert "1 boxes of " in stderr
    assert len(read(out / "predictions.json")) == 1
    boxes.write_bytes(msgspec.json.encode([{**entries[0], "category_id": 1}]))
    assert cli.main(["predict", str(tmp_path / "in"), "--out", str(out), "--boxes", str(boxes)]) == 2
    assert "boxes of the class 1" in capsys.readouterr().err


def test_stopping_keeps_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / "in" / name)
    whole, calls = Predictor.__call__, []

    def until_the_second(self: Predictor, *given: object, **named: object) -> object:
        calls.append(given)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return whole(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "__call__", until_the_second)
    out = tmp_path / "out"
    assert cli.main(["predict", str(tmp_path / "in"), "--out", str(out)]) == 1
    assert "Stopped: 1 of 3 pictures" in capsys.readouterr().err
    assert {each["file_name"] for each in read(out / "predictions.json")} == {"a.png"}


def test_overlays_hold_what_python_draws(tmp_path: Path) -> None:
    import bench

    photo = picture(tmp_path / "a.png")
    cli.main(["predict", str(photo), "--out", str(tmp_path / "out"), "--min-score", "0.5"])
    with Image.open(tmp_path / "out" / "a.png") as drawn:
        assert (np.array(drawn) == np.array(bench.predict(photo, min_score=0.5).overlay())).all()


def test_wrong_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(picture(tmp_path / "a.png"))
    for options, said in (
        ([photo, "--min-score", "2"], "from 0 to 1"),
        ([photo, "--head", "nothing"], "no head named"),
        ([photo, "--device", "abacus"], "no device of torch"),
        ([photo, "--out", photo], "is a file"),
        ([photo, "--boxes", str(tmp_path / "none.json")], "cannot be read"),
        ([], "No picture was named"),
    ):
        assert cli.main(["predict", *options]) == 2
        assert said in capsys.readouterr().err
