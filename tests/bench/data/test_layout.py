"""A data set is recognised by what lies in its folder: every layout is made of tiny pictures."""

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image

from bench.data.layout import DataSet, Part, coco_layout, recognise

COCO = {
    "COCO": {
        "annotations/instances_train2017.json": "train2017/1.jpg", "annotations/instances_val2017.json": "val2017/2.jpg"
    },
    "COCO of another year": {
        "annotations/instances_train2014.json": "train2014/1.jpg", "annotations/instances_val2014.json": "val2014/2.jpg"
    },
    "COCO with pictures in one folder": {
        "annotations/instances_train2017.json": "images/train2017/1.jpg",
        "annotations/instances_val2017.json": "images/val2017/2.jpg",
    },
    "COCO without a year": {
        "annotations/instances_train.json": "train/1.jpg", "annotations/instances_val.json": "val/2.jpg"
    },
    "COCO without a year, pictures in one folder": {
        "annotations/instances_train.json": "images/train/1.jpg", "annotations/instances_val.json": "images/val/2.jpg"
    },
    "Roboflow": {"train/_annotations.coco.json": "train/1.jpg", "valid/_annotations.coco.json": "valid/2.jpg"},
    "Roboflow's masks": {
        "train/_annotations.coco-segmentation.json": "train/1.jpg",
        "valid/_annotations.coco-segmentation.json": "valid/2.jpg",
    },
    "Roboflow without validation": {
        "train/_annotations.coco.json": "train/1.jpg", "test/_annotations.coco.json": "test/2.jpg"
    },
    "CVAT": {
        "annotations/instances_Train.json": "images/Train/1.jpg",
        "annotations/instances_Validation.json": "images/Validation/2.jpg",
    },
    "LVIS v1": {"lvis_v1_train.json": "train2017/1.jpg", "lvis_v1_val.json": "val2017/2.jpg"},
    "LVIS v0.5": {
        "annotations/lvis_v0.5_train.json": "train2017/1.jpg", "annotations/lvis_v0.5_val.json": "val2017/2.jpg"
    },
    "plain COCO": {"train.json": "images/1.jpg", "val.json": "images/2.jpg"},
    "plain COCO, FiftyOne": {
        "train/labels.json": "train/data/1.jpg", "validation/labels.json": "validation/data/2.jpg"
    },
    "plain COCO, a tree for each part": {
        "Train/annotations/instances.json": "Train/img/1.jpg", "Val/annotations/instances.json": "Val/img/2.jpg"
    },
    "plain COCO, words in names": {
        "annotations/my_training_set.json": "train_images/1.jpg", "annotations/my_valid_set.json": "val_images/2.jpg"
    },
}  # fmt: skip
"""The annotation file of each part of each layout, training first, with a picture of it."""

WHOLE = {
    "CVAT": {"annotations/instances_default.json": "images/default/1.jpg"},
    "CVAT, pictures not in default": {"annotations/instances_default.json": "images/1.jpg"},
    "Label Studio": {"result.json": "images/1.jpg"},
    "Roboflow": {"train/_annotations.coco.json": "train/1.jpg"},
    "Roboflow, one folder": {"_annotations.coco.json": "1.jpg"},
    "plain COCO, labelme": {"annotations.json": "JPEGImages/1.jpg"},
    "plain COCO, FiftyOne": {"labels.json": "data/1.jpg"},
    "plain COCO, beside": {"via_export_coco.json": "1.jpg"},
    "plain COCO, a folder of one's own": {"cells-7.json": "My photographs/1.jpg"},
    "COCO": {"annotations/instances_val2017.json": "val2017/1.jpg"},
}


def write(root: Path, files: dict[str, str], *, folder: int = 1) -> None:
    """Write annotation files about pictures, which they name by the last `folder` parts of their paths."""
    for annotations, picture in files.items():
        for path in (root / annotations, root / picture):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / picture)
        (root / annotations).write_text(json.dumps(content("/".join(Path(picture).parts[-folder:]))))


def content(*names: str) -> dict[str, list[dict[str, object]]]:
    images: list[dict[str, object]] = [
        {"id": number, "height": 8, "width": 8, "file_name": name} for number, name in enumerate(names)
    ]
    return {"images": images, "annotations": [], "categories": []}


def parts(root: Path, files: dict[str, str]) -> list[Part]:
    return [Part(pictures=(root / picture).parent, annotations=root / path) for path, picture in files.items()]


@pytest.mark.parametrize("layout", COCO)
def test_two_parts(layout: str, tmp_path: Path) -> None:
    write(tmp_path, COCO[layout])
    found = recognise(tmp_path)
    assert [found.train, found.val] == parts(tmp_path, COCO[layout])
    assert layout.startswith(found.kind)
    assert found.is_split
    assert found.root == tmp_path
    assert (found.lvis is not None) == layout.startswith("LVIS")


@pytest.mark.parametrize("layout", WHOLE)
def test_one_part(layout: str, tmp_path: Path) -> None:
    write(tmp_path, WHOLE[layout])
    found = recognise(tmp_path)
    assert [found.train] == [found.val] == parts(tmp_path, WHOLE[layout])
    assert layout.startswith(found.kind)
    assert not found.is_split


def test_what_is_recognised_in_coco_is_its_layout(tmp_path: Path) -> None:
    write(tmp_path, COCO["COCO"])
    assert recognise(tmp_path) == coco_layout(tmp_path)
    (tmp_path / "train2017" / "1.jpg").unlink()
    (tmp_path / "train2017").rmdir()
    assert recognise(str(tmp_path)) == coco_layout(tmp_path), "whose training pictures were not downloaded"


@pytest.mark.parametrize("layout", ["Label Studio", "plain COCO, a folder of one's own", "CVAT"])
def test_names_with_folders_count_from_where_they_lead(layout: str, tmp_path: Path) -> None:
    write(tmp_path, WHOLE[layout], folder=2)
    (picture,) = WHOLE[layout].values()
    assert recognise(tmp_path).val.pictures == (tmp_path / picture).parents[1]


def test_names_that_lead_nowhere_do_not_matter(tmp_path: Path) -> None:
    write(tmp_path, WHOLE["Label Studio"])
    (tmp_path / "result.json").write_text(json.dumps(content("http://localhost:8080/data/upload/" + "1" * 300)))
    assert recognise(tmp_path).val.pictures == tmp_path / "images"


@pytest.mark.parametrize("write_as", ["utf-8-sig", "utf-16"])
def test_encodings(write_as: str, tmp_path: Path) -> None:
    write(tmp_path, WHOLE["plain COCO, beside"])
    text = json.dumps(content("\u7ec6\u80de.jpg"), ensure_ascii=False)
    (tmp_path / "via_export_coco.json").write_text(text, encoding=write_as)
    assert recognise(tmp_path).kind == "plain COCO"


def test_lvis_beside_coco_is_for_ap_star(tmp_path: Path) -> None:
    write(tmp_path, COCO["COCO"])
    (tmp_path / "lvis_v1_val.json").write_text("{}")
    found = recognise(tmp_path)
    assert (found.kind, found.lvis) == ("COCO", tmp_path / "lvis_v1_val.json")
    (tmp_path / "lvis_v0.5_val.json").write_text("{}")
    found = recognise(tmp_path)
    assert found.lvis is None
    assert "lvis_v0.5_val.json and lvis_v1_val.json" in found.remarks[0]


def test_the_part_for_testing_is_left_out_and_said_so(tmp_path: Path) -> None:
    write(tmp_path, COCO["Roboflow"] | {"test/_annotations.coco.json": "test/3.jpg"})
    assert recognise(tmp_path).remarks == (f"{tmp_path / 'test' / '_annotations.coco.json'} is left out.",)
    write(tmp_path / "b", COCO["Roboflow without validation"])
    assert "the one for testing is taken" in recognise(tmp_path / "b").remarks[0]


def test_files_about_other_tasks_do_not_matter(tmp_path: Path) -> None:
    write(tmp_path, COCO["COCO"])
    for name in ("captions_val2017", "person_keypoints_val2017", "image_info_test2017"):
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(content()))
    (tmp_path / "results.json").write_text("[]")
    assert recognise(tmp_path) == coco_layout(tmp_path)


def test_annotations_of_two_years_with_the_pictures_of_one(tmp_path: Path) -> None:
    write(tmp_path, COCO["COCO"])
    for name in ("instances_train2014", "instances_val2014"):
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(content()))
    assert recognise(tmp_path).val == coco_layout(tmp_path).val
    (tmp_path / "val2014").mkdir()
    with pytest.raises(ValueError, match=r"several ways: annotations/instances_val2014\.json, annotations/instances_v"):
        recognise(tmp_path)


def test_two_files_that_fit_equally(tmp_path: Path) -> None:
    write(tmp_path, {"a.json": "images/1.jpg", "b.json": "images/2.jpg"})
    with pytest.raises(ValueError, match=r"several ways: a\.json, b\.json; expected one .*; name the pictures and"):
        recognise(tmp_path)
    write(tmp_path / "c", COCO["COCO"] | COCO["Roboflow"])
    with pytest.raises(ValueError, match="several ways"):
        recognise(tmp_path / "c")


def test_the_only_sub_folder_that_is_one_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "export", COCO["Roboflow"])
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "notes").mkdir()
    found = recognise(tmp_path)
    assert found.root == tmp_path / "export"
    assert found.remarks == (f"{tmp_path} itself is none; {tmp_path / 'export'} in it is.",)
    write(tmp_path / "other", COCO["COCO"])
    with pytest.raises(ValueError, match=r"holds 2 data sets: \S+/export, \S+/other; expected one; give the folder"):
        recognise(tmp_path)


@pytest.mark.parametrize("below", ["annotations", "val2017"])
def test_a_folder_inside_a_data_set(below: str, tmp_path: Path) -> None:
    write(tmp_path, COCO["COCO"])
    with pytest.raises(ValueError, match=rf"; expected the folder that has .*; give {tmp_path}\."):
        recognise(tmp_path / below)


def test_annotations_without_pictures_are_enough_to_score(tmp_path: Path) -> None:
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text("{}")
    assert recognise(tmp_path / "coco").val == coco_layout(tmp_path / "coco").val


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is empty"),
        ({"a.jpg": "", "b.jpg": ""}, "has pictures and no annotation file"),
        ({"a.txt": "words"}, "has no pictures and no annotation file"),
        ({"a.json": "{}", "a.jpg": ""}, r"has JSON, but none with lists of images and annotations \(a\.json\)"),
        ({"a.json": "[", "a.jpg": ""}, "has JSON, but none with lists"),
        ({"export.zip": ""}, r"archives, which must be unpacked first \(export\.zip\)"),
        ({"data.yaml": "train: x\nnames: [a]", "train/labels/1.txt": "0 .1 .2 .3 .4"}, r"YOLO format \(data\.yaml\)"),
        ({"labels/1.txt": "0 0.1 0.2 0.3 0.4\n1 0.1 0.2 0.3 0.4\n"}, r"YOLO format \(labels/1\.txt\)"),
        ({"Annotations/1.xml": "<annotation><folder/></annotation>"}, r"Pascal VOC's format \(Annotations/1\.xml\)"),
        ({"annotations.xml": '<?xml version="1.0"?><annotations>'}, "CVAT's own XML format"),
        ({"1.json": '{"version": "5", "shapes": [], "imagePath": "1.jpg"}'}, r"labelme's .* labelme2coco \S+\."),
        ({"ds/ann/1.json": '{"objects": [{"classTitle": "a"}]}'}, "Supervisely's own format"),
        ({"project-1.json": '[{"id": 1, "annotations": []}]'}, "Label Studio's own JSON format"),
        ({"via.json": '{"_via_settings": {}}'}, "VGG Image Annotator"),
        ({"p.json": '[{"image_id": 1, "segmentation": {}, "score": 1}]'}, "results file"),
        ({"images/1.png": "", "masks/1.png": ""}, r"masks as pictures \(masks\)"),
        ({"a.tfrecord": ""}, "TFRecord"),
    ],
)
def test_what_is_no_data_set(files: dict[str, str], message: str, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        recognise(root)
    assert str(error.value).count(";") >= 2
    assert "COCO" in str(error.value)
    assert "{" not in str(error.value)


def test_what_is_no_folder(tmp_path: Path) -> None:
    for name, message in (("a.zip", "is an archive; .*; unpack it"), ("a.json", "is a file; .*; give its folder")):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=message):
            recognise(tmp_path / name)
    with pytest.raises(ValueError, match="cannot be opened: No such file or directory"):
        recognise(tmp_path / "nowhere")


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match=r"cannot be opened: Too many levels of symbolic links; .*; check the path"):
        recognise(tmp_path / "a")
    write(tmp_path / "data", WHOLE["CVAT"])
    (tmp_path / "data" / "images" / "again").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "itself").symlink_to("itself")
    assert recognise(tmp_path / "data").kind == "CVAT"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "again").symlink_to(tmp_path / "empty")
    with pytest.raises(ValueError, match="has no pictures and no annotation file"):
        recognise(tmp_path / "empty")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything, and tests run as root in containers
    with pytest.raises(ValueError, match=r"cannot be read: Permission denied; .*; give another, or its owner's perm"):
        recognise(tmp_path)


def test_many_files_a_picture_are_not_opened(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.json").write_text('{"shapes": [], "imagePath": ""}')
    with pytest.raises(ValueError, match="labelme"):
        recognise(tmp_path)


def test_a_data_set_without_parts_of_its_own_is_not_split() -> None:
    part = Part(pictures=Path("a"), annotations=Path("b"))
    assert not DataSet(root=Path(), kind="", train=part, val=part).is_split
