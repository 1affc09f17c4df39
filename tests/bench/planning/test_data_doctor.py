"""What is said of a data set: what it has, what is wrong with it, what to do next."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bench.data.layout import DataSet, coco_layout, recognise
from bench.planning.data_doctor import examine
from bench.planning.doctor import Finding

Shown = dict[str, list[int]]
"""The classes of the objects on each picture, by file name."""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., DataSet]:
    """Make a data set in Roboflow's layout, with pictures that differ unless they have the same shade."""

    def _write(
        train: Shown,
        val: Shown | None = None,
        *,
        classes: dict[str, list[str]] | None = None,
        size: int = 64,
        side: int = 16,
        crowd: int = 0,
        shades: dict[str, int] | None = None,
    ) -> DataSet:
        for part, shown in {"train": train, "valid": val}.items():
            if shown is None:
                continue
            folder = tmp_path / part
            folder.mkdir()
            images, annotations = [], []
            for number, (name, of_one) in enumerate(shown.items()):
                images.append({"id": number, "file_name": name, "height": size, "width": size})
                shade = (shades or {}).get(f"{part}/{name}", 100 * (part == "train") + number)
                Image.new("L", (size, size), shade).save(folder / name)
                annotations += [
                    {
                        "id": len(annotations) + index, "image_id": number, "category_id": category_id,
                        "bbox": [0, 0, side, side], "area": side**2, "iscrowd": crowd,
                        "segmentation": [[0, 0, side, 0, side, side, 0, side]],
                    }
                    for index, category_id in enumerate(of_one)
                ]  # fmt: skip
            names = (classes or {}).get(part, ["cell", "leaf"])
            categories = [{"id": number + 1, "name": name} for number, name in enumerate(names)]
            content = {"images": images, "annotations": annotations, "categories": categories}
            (folder / "_annotations.coco.json").write_text(json.dumps(content))
        return recognise(tmp_path)

    return _write


def told(findings: Iterable[Finding]) -> str:
    return "\n".join(
        f"{'ok' if each.good else each.mark} {each.name} {each.detail} | {each.remedy}" for each in findings
    )


def warnings(data: DataSet) -> list[str]:
    return [each.detail for each in examine(data) if not each.good]


GOOD: Shown = {"1.png": [1, 2], "2.png": [1]}
OTHER: Shown = {"3.png": [1], "4.png": [2], "5.png": []}


def test_what_there_is(write: Callable[..., DataSet], tmp_path: Path) -> None:
    data = write(GOOD, OTHER)
    assert not warnings(data)
    text = told(examine(data))
    assert f"{tmp_path}: Roboflow, two parts" in text
    assert (
        f"--val-images {tmp_path / 'valid'} --val-annotations {tmp_path / 'valid' / '_annotations.coco.json'}" in text
    )
    assert "all 2 images of the annotations are there |" in text
    assert "all 3 images of the annotations are there, 1 of them without an object" in text
    assert "3 objects of 2 classes: most of cell (2), fewest of leaf (1)" in text
    assert "pictures of 64 to 64 x 64 to 64 pixels (height x width); objects with sides of 16 / 16 / 16 pixels" in text
    assert f"ok next run_bench.py train own --data {tmp_path}, then run_bench.py run own" in text


def test_one_part_is_to_be_split(write: Callable[..., DataSet], tmp_path: Path) -> None:
    *_, last = examine(write(GOOD))
    assert (last.mark, last.remedy) == ("look at", f"run_bench.py prepare split --data {tmp_path} --val 0.2 --seed 0")


def test_pictures_that_are_not_there(write: Callable[..., DataSet], tmp_path: Path) -> None:
    data = write(GOOD, OTHER)
    (tmp_path / "train" / "1.png").unlink()
    text = told(examine(data))
    assert re.search(r"missing train \S+ lacks 1 of the 2 images of the run: 1\.png.* \| Repair what it says", text)
    assert "ok next" not in text


def test_annotations_of_another_data_set(write: Callable[..., DataSet], tmp_path: Path) -> None:
    data = write(GOOD, OTHER)
    for path in (tmp_path / "valid").glob("*.png"):
        path.rename(path.with_stem(f"other {path.stem}"))
    (found,) = [each for each in examine(data) if not each.good]
    assert f"None of its pictures lies in {tmp_path / 'valid'}: the annotations are of other pictures." in found.detail
    assert found.remedy.startswith("Give the folder with the pictures of _annotations.coco.json")


def test_two_data_sets_with_the_same_ids_are_two(write: Callable[..., DataSet]) -> None:
    assert not warnings(write(GOOD, {"1.png": [1], "2.png": [2]}))


def test_parts_that_share_pictures(write: Callable[..., DataSet], tmp_path: Path) -> None:
    data = write(GOOD, OTHER, shades={"train/2.png": 7, "valid/4.png": 7})
    (found,) = warnings(data)
    assert found.startswith(
        "1 of the 3 pictures for validation are for training too (the same file or content): 4.png."
    )
    (tmp_path / "valid" / "3.png").unlink()
    (tmp_path / "valid" / "3.png").symlink_to(tmp_path / "train" / "1.png")
    (found,) = warnings(data)
    assert found.startswith("2 of the 3 pictures")


def test_classes_of_one_part_alone(write: Callable[..., DataSet]) -> None:
    found = warnings(write({"1.png": [1], "2.png": [3]}, OTHER, classes={"train": ["cell", "leaf", "stem"]}))
    assert found == [
        "1 classes have objects in val and none in train: leaf; no head can learn them, and their AP is 0",
        "1 classes have objects in train and none in val: stem; they are learnt and never measured",
    ]


def test_classes_with_other_ids(write: Callable[..., DataSet]) -> None:
    (found,) = warnings(write(GOOD, OTHER, classes={"valid": ["leaf", "cell"]}))
    assert found == "2 classes have other ids in val than in train: leaf, cell; ids count"


def test_one_class(write: Callable[..., DataSet]) -> None:
    data = write({"1.png": [1]}, {"2.png": [1]}, classes={"train": ["cell"], "valid": ["cell"]})
    assert not warnings(data)
    assert "1 objects of 1 class |" in told(examine(data))
    assert "ok  one class: every head works" in told(examine(data))


def test_two_thousand_classes(write: Callable[..., DataSet]) -> None:
    names = [f"class {number}" for number in range(2000)]
    data = write(GOOD, OTHER, classes={"train": names, "valid": names})
    found = warnings(data)
    assert len(found) == 2
    assert "1998 of the classes without an object: class 2, class 3, class 4, class 5, class 6, ..." in told(
        examine(data)
    )
    assert all(each.startswith("2000 classes: heads with a mask for each class") for each in found)


def test_objects_beyond_the_cap(write: Callable[..., DataSet]) -> None:
    found = warnings(write(GOOD, {"3.png": [1] * 105 + [2] * 100}))
    assert found == [
        "5 objects lie beyond the 100 detections of a class in an image that COCO's AP counts: an image has up to 105 "
        "objects of a class"
    ]


def test_nothing_but_crowds(write: Callable[..., DataSet]) -> None:
    data = write(GOOD, OTHER, crowd=1)
    found = warnings(data)
    assert [each.partition(",")[0] for each in found] == [
        f"no object is left: {count} annotations are crowds (iscrowd 1)" for count in (3, 2)
    ]
    assert "next" not in told(examine(data))


def test_objects_without_masks(write: Callable[..., DataSet], tmp_path: Path) -> None:
    data = write(GOOD, OTHER)
    path = tmp_path / "valid" / "_annotations.coco.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = []
    path.write_text(json.dumps(content))
    (found,) = [each for each in examine(data) if not each.good]
    assert found.remedy == "Draw the masks, or leave these objects out: --leave-out-maskless, in every command."
    parts = [replace(part, leave_out_maskless=True) for part in (data.train, data.val)]
    data = replace(data, train=parts[0], val=parts[1])
    assert warnings(data)[0].startswith("objects without a mask, left out as asked: 1")
    assert f"train own --data {tmp_path} --leave-out-maskless, then" in told(examine(data))


def test_nothing_annotated(write: Callable[..., DataSet]) -> None:
    assert warnings(write({"1.png": []}, OTHER))[0] == "no object is left: none is annotated"


@pytest.mark.parametrize(
    ("size", "side", "message"),
    [
        (1, 1, r"2 pictures have a side below 32 pixels, such as 1\.png"),
        (64, 5, "100% of the objects have sides below 8 pixels"),
        (3200, 50, "2 pictures have a side above 3000 pixels"),
    ],
)
def test_unusual_sizes(write: Callable[..., DataSet], size: int, side: int, message: str) -> None:
    assert any(re.match(message, each) for each in warnings(write(GOOD, OTHER, size=size, side=side)))


@pytest.mark.parametrize("is_picture", [True, False])
def test_pictures_that_do_not_fit(is_picture: bool, write: Callable[..., DataSet], tmp_path: Path) -> None:
    data = write(GOOD, OTHER)
    path = tmp_path / "valid" / "4.png"
    if is_picture:
        Image.new("L", (64, 32)).save(path)
    else:
        path.write_bytes(b"no picture")
    (found,) = warnings(data)
    assert "4.png" in found


def test_coco_needs_its_training_pictures_to_train_alone(coco_mini: Path, tmp_path: Path) -> None:
    for name in ("annotations/instances_val2017.json", "val2017"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(coco_mini / name)
    text = told(examine(coco_layout(tmp_path)))
    assert "ok train train2017 is not here: only training needs it" in text
    assert f"ok next run_bench.py run main --data {tmp_path}" in text
    assert "missing" not in text


def test_lvis_beside_it(coco_mini: Path, tmp_path: Path) -> None:
    for name in ("annotations/instances_val2017.json", "val2017", "annotations/lvis_v0.5_val.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(coco_mini / name)
    data = recognise(tmp_path)
    assert re.search(
        r"ok LVIS \S+/lvis_v0\.5_val\.json: AP\* and APB\* on \d+ images of both files", told(examine(data))
    )
    (tmp_path / "annotations" / "lvis_v0.5_val.json").unlink()
    (tmp_path / "annotations" / "lvis_v0.5_val.json").write_text("[]")
    assert "missing LVIS" in told(examine(data))
