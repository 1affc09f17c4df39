"""Somebody's own data: a folder of weights from a few pictures, and the table that says which head."""

import os
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from bench import cli, glyphs
from bench.contract import Context
from bench.data.layout import coco_layout
from bench.files import checksum
from bench.inference.image_run import open_run
from bench.model.build import load
from bench.model.weights import task_of
from bench.planning.recipes import own as recipe
from bench.training.job import TrainingRecord
from bench.training.schedule import own_schedule

SMALL = ("--views", "2", "--input-size", "96")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures to train on and two to measure; the first one to train on is cut off."""
    folder = tmp_path_factory.mktemp("data")
    glyphs.write(folder, "train", 6)
    glyphs.write(folder, "test", 2)
    first = min((folder / "train2017").iterdir())
    first.write_bytes(first.read_bytes()[:2_000])
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Weights of two heads, and what training them said."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("bench.cli.train.tell", said.append)
        code = cli.main(
            ["train", "own", "--coco", str(data), "--out", str(folder), "--heads", "mask_rcnn", "effseg", *SMALL]
        )
    assert code == 0
    return folder, "\n".join(said)


def record(path: Path) -> TrainingRecord:
    return msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=TrainingRecord)


def test_the_choices_are_told_with_their_reasons_and_kept(trained: tuple[Path, str]) -> None:
    folder, said = trained
    assert "input 96: as asked for" in said
    assert "views 2 for the detector, 1 for each head" in said
    found = record(folder / "detector.safetensors")
    assert "input 96" in " ".join(found.choices)
    assert found.task.input_size == (96, 96)
    assert "long=96" in found.recipe["augmentation"]


def test_detector_and_heads_start_from_the_shipped_ones(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    files = sorted(path for path in folder.glob("*.safetensors"))
    assert len(files) == 3
    records = [record(path) for path in files]
    assert all(each.task.initial is not None for each in records)
    assert [each.fresh for each in records] == [[], [], []]  # twenty glyphs, as the shipped ones: everything fits
    assert records[0].task.category_names[0] == "airplane"


def test_a_picture_that_cannot_be_read_is_counted_and_ends_nothing(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    found = [record(path) for path in folder.glob("*.safetensors")]
    assert all(each.num_unreadable == len(each.unreadable) <= 1 for each in found)
    detector = record(folder / "detector.safetensors")
    assert list(detector.unreadable) in ([], ["1000000"])


def test_weights_say_how_images_are_resized(trained: tuple[Path, str], data: Path) -> None:
    folder, _ = trained
    context = Context(data=coco_layout(data), weights=folder)
    subject = own_schedule().subject("effseg")
    (batch, _) = open_run(subject, context)
    assert batch.input_sizes == ((96, 96),)
    task = task_of((folder / "detector.safetensors",))
    assert task is not None
    assert load(subject, context).detector.config.num_queries == task.num_queries


def test_other_data_or_sizes_need_another_folder(trained: tuple[Path, str], data: Path, tmp_path: Path) -> None:
    folder, _ = trained
    command = ["train", "own", "--out", str(folder), "--heads", "mask_rcnn"]
    assert cli.main([*command, "--coco", str(data), "--views", "2", "--input-size", "128"]) == 2
    glyphs.write(tmp_path, "train", 2)
    assert cli.main([*command, "--coco", str(tmp_path), *SMALL]) == 2


def test_run_own_shows_the_heads_that_there_are(
    trained: tuple[Path, str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = trained
    heads = {cell.subject.head for cell in recipe(folder)}
    assert heads == {"mask_rcnn", "effseg"}
    command = ["run", "own", "--coco", str(data), "--weights", str(folder), "--results", str(tmp_path)]
    assert cli.main([*command, "--heads", "effseg", "--dry-run"]) == 0
    assert "mask_rcnn" not in capsys.readouterr().err
    assert cli.main(command) == 0
    shown = capsys.readouterr().out
    assert shown.index("Which head for my data") < shown.index("EffSeg - Mask R-CNN++")
    assert "AP of the detector's boxes themselves" in " ".join(shown.split())


def test_weights_of_other_schedules_are_not_own(data: Path) -> None:
    with pytest.raises(ValueError, match=r"no head that was trained by the schedule own.*train own"):
        recipe(data)
    assert len(recipe()) == 1 + 4 * 4  # before any is trained: the plan


def test_a_training_starts_from_what_fits_of_other_weights(
    trained: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    folder, _ = trained
    out = tmp_path / "weights"
    command = ["train", "own", "--coco", str(data), "--heads", "effseg", "--views", "1", "--input-size", "64"]
    assert cli.main([*command, "--out", str(out), "--from", str(folder)]) == 0
    started = (folder / "detector.safetensors", folder / "mask_rcnn-small_fpn-small-own-seed0.safetensors")
    assert record(out / "detector.safetensors").task.initial == checksum(*started)
    assert cli.main([*command, "--out", str(tmp_path / "other"), "--from", str(tmp_path / "nothing")]) == 2


@pytest.mark.parametrize("option", [("--views", "3"), ("--input-size", "96"), ("--from", "weights")])
def test_only_own_data_are_chosen_for(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "glyphs", *option]) == 2
    assert "or take the schedule own" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("schedule", ["own", "12ep"])
def test_data_without_an_object_stop_before_the_first_step(
    schedule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train2017").mkdir()
    (tmp_path / "annotations").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "train2017" / "000000000001.png")
    crowd = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 1}
    crowd["segmentation"] = {"size": [64, 64], "counts": [0, 9, 4087]}
    content = {
        "images": [{"id": 1, "file_name": "000000000001.png", "height": 64, "width": 64}],
        "annotations": [crowd],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "annotations" / "instances_train2017.json").write_bytes(msgspec.json.encode(content))
    assert cli.main(["train", schedule, "--coco", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "has no object to learn from on its 1 images" in " ".join(capsys.readouterr().err.split())
    assert not os.path.exists(tmp_path / "out")


CASES = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[3] / ".." / "shared")) / "cases"


@pytest.mark.parametrize(
    ("case", "code", "said"),
    [
        ("set_all_crowd", 2, "has no object to learn from on its 3 images (found: crowds"),
        ("set_truncated", 0, "cannot be read"),
    ],
)
def test_cases_of_training(
    case: str,
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not (CASES / case).is_dir():
        pytest.skip(f"no case: {CASES / case} is not there; set BENCH_TEST_DATA to the folder that holds cases/")
    command = ["train", "own", "--data", str(CASES / case), "--out", str(tmp_path), "--heads"]
    assert cli.main([*command, "--views", "3", "--input-size", "64"]) == code
    told = " ".join((capsys.readouterr().err + caplog.text).split())
    assert said in told
    if code == 0:
        found = record(tmp_path / "detector.safetensors")
        assert found.num_unreadable == 1
        assert "1 pictures could not be read and were left out (2:" in told
