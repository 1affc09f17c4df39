"""A split keeps together what belongs together, copies entries as they are, and is the same for the same content."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.data.layout import DataSet, Part, recognise
from bench.data.split import Group, choose, source_of, split

SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]


def write(root: Path, pictures: dict[str, tuple[int, tuple[int, ...]]], *, reverse: bool = False) -> DataSet:
    """A data set with pictures by name: their shade, and the classes of their objects."""
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, (name, (shade, classes)) in enumerate(pictures.items()):
        Image.new("L", (8, 8), shade).save(root / "images" / name)
        images.append({"id": number, "file_name": name, "height": 8, "width": 8, "camera": "mine"})
        for category_id in classes:
            annotations.append({
                "id": len(annotations), "image_id": number, "category_id": category_id, "segmentation": SQUARE,
                "bbox": [1.0, 1, 4e0, 4], "area": 16.0, "iscrowd": 0, "attributes": {"occluded": False},
            })  # fmt: skip
    classes = sorted({category_id for _, of_one in pictures.values() for category_id in of_one})
    content = {
        "info": {"contributor": "me"},
        "images": images[::-1] if reverse else images,
        "annotations": annotations[::-1] if reverse else annotations,
        "categories": [{"id": category_id, "name": f"class {category_id}"} for category_id in classes],
    }
    (root / "labels.json").write_text(json.dumps(content))
    return recognise(root)


def read(part: Part) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(part.annotations.read_text())
    return found


def names(part: Part) -> set[str]:
    return {str(image["file_name"]) for image in read(part)["images"]}


MANY = {f"{number}.png": (number, (number % 3,)) for number in range(20)}


def test_the_parts_are_a_data_set_of_the_same_pictures(tmp_path: Path) -> None:
    data = write(tmp_path / "mine", MANY)
    made = split(data, tmp_path / "mine" / "split", val=0.2)
    assert recognise(tmp_path / "mine" / "split") == made.data
    assert made.data.kind == "split of plain COCO"
    assert made.data.train.pictures == made.data.val.pictures == data.train.pictures
    assert (made.train.images, made.val.images) == (16, 4)
    assert (made.train.objects, made.val.objects) == (16, 4)
    assert names(made.data.train) | names(made.data.val) == set(MANY)
    assert not names(made.data.train) & names(made.data.val)
    assert not made.copies
    assert sorted(path.name for path in (tmp_path / "mine" / "split").iterdir()) == [
        "data_set.json", "instances_train.json", "instances_val.json"
    ]  # fmt: skip
    whole = recognise(tmp_path / "mine")
    assert not whole.is_split, "the folder itself is as it was"
    assert f"{tmp_path / 'mine' / 'split'} has it in two parts" in whole.remarks[0]


def test_entries_are_copied_letter_by_letter(tmp_path: Path) -> None:
    data = write(tmp_path, MANY)
    made = split(data, tmp_path / "split")
    before = msgspec.json.decode(data.train.annotations.read_bytes(), type=dict[str, msgspec.Raw])
    for part in (made.data.train, made.data.val):
        after = msgspec.json.decode(part.annotations.read_bytes(), type=dict[str, msgspec.Raw])
        assert list(after) == list(before)
        assert bytes(after["categories"]) == bytes(before["categories"])
        for each in msgspec.json.decode(after["annotations"], type=list[msgspec.Raw]):
            assert bytes(each) in bytes(before["annotations"])
        assert b"4.0" not in bytes(after["images"])


def test_the_same_content_and_seed_give_the_same_parts(tmp_path: Path) -> None:
    found = [
        split(write(tmp_path / name, MANY, reverse=reverse), tmp_path / f"{name}-split", seed=seed).data
        for name, reverse, seed in (("a", False, 0), ("b", True, 0), ("c", False, 1))
    ]
    ids = [{(image["id"], image["file_name"]) for image in read(data.val)["images"]} for data in found]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_what_is_the_same_stays_together(tmp_path: Path) -> None:
    pictures = {f"{number}.png": (number, (1,)) for number in range(6)}
    pictures |= {f"again {number}.png": (number, (1,)) for number in range(6)}  # the same content
    pictures |= {f"IMG_{n}_jpg.rf.{code}.jpg": (20 + 3 * n + len(code), (1,)) for n in range(6) for code in SUFFIXES}
    data = write(tmp_path, pictures)
    made = split(data, tmp_path / "split", val=0.3)
    assert made.copies == 12
    for part in (made.data.train, made.data.val):
        there = names(part)
        for number in range(6):
            assert len({f"{number}.png", f"again {number}.png"} & there) in (0, 2)
            assert len({f"IMG_{number}_jpg.rf.{code}.jpg" for code in SUFFIXES} & there) in (0, 2)
    assert 5 <= made.val.images <= 7


SUFFIXES = ("0a1b2c1d", "9f8e7d6c5")


def test_links_to_one_file_stay_together(tmp_path: Path) -> None:
    data = write(tmp_path, MANY)
    for number in range(10, 20):
        path = tmp_path / "images" / f"{number}.png"
        path.unlink()
        path.symlink_to(f"{number - 10}.png")
    made = split(data, tmp_path / "split", val=0.5)
    assert made.copies == 10
    assert {int(name[:-4]) % 10 for name in names(made.data.val)}.isdisjoint(
        int(name[:-4]) % 10 for name in names(made.data.train)
    )


def test_names_of_sources() -> None:
    assert source_of("a/IMG_1_jpg.rf.0a1b2c1.jpg") == "a/IMG_1_jpg"
    assert source_of("cells.rf.png") == "cells.rf.png"


@given(
    st.lists(st.tuples(st.integers(1, 3), st.frozensets(st.integers(0, 4), max_size=3)), min_size=2, max_size=30),
    st.floats(0.05, 0.9),
    st.integers(0, 5),
)
def test_every_class_stays_in_training(made: list[tuple[int, frozenset[int]]], val: float, seed: int) -> None:
    groups = [Group(name=str(i), image_ids=tuple(range(size)), classes=of) for i, (size, of) in enumerate(made)]
    chosen = choose(groups, val, seed)
    assert chosen == choose(groups[::-1], val, seed)
    assert 0 < len(chosen) < len(groups)
    train = [group for group in groups if group.name not in chosen]
    if len(chosen) > 1:
        often = {one for _, of in made for one in of if sum(one in other for _, other in made) > 1}
        assert often <= {one for group in train for one in group.classes}
        assert sum(len(group.image_ids) for group in groups if group.name in chosen) <= round(
            val * sum(size for size, _ in made)
        )


def test_rare_classes_are_in_validation_too() -> None:
    groups = [Group(name=f"{i}", image_ids=(i,), classes=frozenset({0})) for i in range(96)]
    groups += [Group(name=f"rare {i}", image_ids=(100 + i,), classes=frozenset({1, 2})) for i in range(2)]
    groups += [Group(name="alone", image_ids=(200,), classes=frozenset({3}))]
    for seed in range(10):
        chosen = choose(groups, 0.2, seed)
        assert len(chosen) == 20
        assert len(chosen & {"rare 0", "rare 1"}) == 1
        assert "alone" not in chosen


def test_a_data_set_of_two_parts(tmp_path: Path) -> None:
    data = split(write(tmp_path, MANY), tmp_path / "first").data
    with pytest.raises(ValueError, match=r"has two parts already: .*; use it as it is, or say which of its parts"):
        split(data, tmp_path / "second")
    made = split(data, tmp_path / "second", part="train")
    assert names(made.data.train) | names(made.data.val) == names(data.train)
    assert made.data.kind == "split of plain COCO"
    assert names(split(data, tmp_path / "third", part="val", val=0.5).data.val) < names(data.val)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    data = write(tmp_path, MANY)
    out = tmp_path / "split"
    assert split(data, out).is_new
    assert not split(data, out).is_new
    with pytest.raises(ValueError, match=r"data_set\.json has other content already|_train\.json has other content"):
        split(data, out, seed=1)
    (tmp_path / "labels.json").rename(tmp_path / "instances_train.json")
    data = recognise(tmp_path)
    with pytest.raises(ValueError, match=r"instances_train\.json is an annotation file of the data set; expected"):
        split(data, tmp_path)


def test_what_cannot_be_split(tmp_path: Path) -> None:
    data = write(tmp_path / "a", MANY)
    for val in (0.0, 1.0, 20.0, float("nan")):
        with pytest.raises(ValueError, match=r"The share for validation is \S+; expected one between 0 and 1"):
            split(data, tmp_path / "split", val=val)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot be written to .*: Not a directory"):
        split(data, tmp_path / "file" / "below")
    alike = write(tmp_path / "b", {"1.png": (1, ()), "2.png": (1, ())})
    with pytest.raises(ValueError, match="has 1 group of pictures that must stay together"):
        split(alike, tmp_path / "split")
    assert not (tmp_path / "split").exists()


def test_a_split_that_was_moved(tmp_path: Path) -> None:
    made = split(write(tmp_path / "mine", MANY), tmp_path / "mine" / "split")
    shutil.move(tmp_path / "mine", tmp_path / "other")
    assert recognise(tmp_path / "other" / "split").val.pictures == tmp_path / "other" / "images"
    split(recognise(tmp_path / "other"), tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "other")
    with pytest.raises(ValueError, match=r"names \S+images, which is not there; .* split it again"):
        recognise(tmp_path / "elsewhere")
    assert made.is_new
    (tmp_path / "elsewhere" / "data_set.json").write_text('{"train": 1}')
    with pytest.raises(ValueError, match="cannot be read as the parts of a data set"):
        recognise(tmp_path / "elsewhere")
