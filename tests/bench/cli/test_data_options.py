"""The options that name a data set: one folder, or parts, or both."""

from pathlib import Path

import pytest

from bench import cli
from bench.cli.data_options import DataFolder, DataOptions
from bench.cli.run import Run
from bench.cli.score import Compare, Evaluate
from bench.cli.train import Train
from bench.data.layout import Part, coco_layout, recognise


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder in COCO's layout, and files beside it."""
    for name in ("annotations/instances_train2017.json", "annotations/instances_val2017.json", "mine/mine.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    for name in ("train2017", "val2017"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").touch()
    return tmp_path


def test_a_folder(root: Path) -> None:
    assert DataOptions(data=root).data_set() == DataOptions(coco=root).data_set() == coco_layout(root)
    assert DataOptions().data_set() is None


def test_parts_replace_what_was_found(root: Path) -> None:
    annotations = root / "mine" / "mine.json"
    found = DataOptions(data=root, val_annotations=annotations).data_set()
    assert found is not None
    assert found.train == recognise(root).train
    assert found.val == Part(pictures=root / "val2017", annotations=annotations)
    alone = DataOptions(val_annotations=annotations, val_images=root / "mine").data_set()
    assert alone is not None
    assert alone.train == alone.val == Part(pictures=root / "mine", annotations=annotations)


def test_objects_without_masks_are_left_out_of_both_parts(root: Path) -> None:
    found = DataOptions(data=root, leave_out_maskless=True).data_set()
    assert found is not None
    assert found.train.leave_out_maskless
    assert found.val.leave_out_maskless
    assert DataOptions(leave_out_maskless=True).data_set() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", ".", "--coco", "."], "Both --data . and --coco . are given."),
        (["--coco", "nowhere"], "--coco nowhere is not there. Its layout is in the help. Check the path."),
        (["--val-images", "nowhere"], "--val-images nowhere is not there. It must be a folder of pictures."),
        (["--train-annotations", "."], "--train-annotations . is not there. It must be a file in COCO's format."),
        (["--val-images", "."], "--val-images is given without --val-annotations. A part is a folder of pictures and"),
        (
            ["--train-annotations", "mine/mine.json"],
            "--train-annotations is given without --train-images. A part is a folder of pictures and a file of "
            "annotations. Add --train-images, or --data DIR for what is not named.",
        ),
        (["--data", "mine/mine.json"], "mine/mine.json is a file; expected the folder of a data set"),
    ],
)
def test_options_that_do_not_go_together(
    root: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    assert cli.main(["run", "oracle", *arguments]) == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_annotations_to_score_with(root: Path) -> None:
    val, lvis = root / "annotations" / "instances_val2017.json", root / "lvis_v1_val.json"
    assert DataFolder().ground_truth(val, None) == (val, None)
    assert DataFolder(data=root).ground_truth(None, None) == (val, None)
    lvis.write_text("{}")
    assert DataFolder(data=root).ground_truth(None, None) == (val, lvis)
    mine = root / "mine" / "mine.json"
    assert DataFolder(data=root).ground_truth(mine, mine) == (mine, mine)


def test_lvis_alone_is_for_ap_star(tmp_path: Path) -> None:
    (tmp_path / "lvis_v1_val.json").write_text("{}")
    assert DataFolder(data=tmp_path).ground_truth(None, None) == (None, tmp_path / "lvis_v1_val.json")


def test_the_verbs_that_read_data_sets_have_them() -> None:
    assert issubclass(Run, DataOptions)
    assert issubclass(Train, DataOptions)
    assert all(issubclass(verb, DataFolder) and not issubclass(verb, DataOptions) for verb in (Evaluate, Compare))
