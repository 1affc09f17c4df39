"""LVIS files become COCO's classes by the rule that AP* is defined on."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import json_file
from bench.data.cocofy import Cocofied, cocofied, prepare_lvis, read_cocofied, version
from bench.data.ground_truth import GroundTruth, decode_ground_truth, read_ground_truth

Dict = dict[str, Any]

SQUARE = [[2, 2, 12.50, 2, 12, 12, 2, 12]]
SYNSETS = {17: "cat.n.01", 4: "person.n.01", 9: "acorn.n.01", 30: "apple.n.01", 2: "dog.n.01"}
COCO_IDS = {17: 17, 4: 1, 30: 53, 2: 18}


@pytest.fixture(scope="module")
def lvis_100(coco_mini: Path) -> Path:
    """LVIS v0.5 of 100 images, with all classes, or a skip."""
    path = coco_mini.parent.parent / "golden" / "lvis_val_100.json"
    if not path.is_file():
        pytest.skip(f"no LVIS file: {path} is not there; set BENCH_TEST_DATA to the folder that holds golden/")
    return path


def lvis(objects: list[int], negative: list[int], not_exhaustive: list[int], **changes: object) -> Dict:
    """An LVIS file of one image with objects of the given categories."""
    image = {
        "neg_category_ids": negative,
        "id": 8,
        "height": 20,
        "width": 30,
        "not_exhaustive_category_ids": not_exhaustive,
    }
    annotations = [
        {"id": 50 + i, "image_id": 8, "category_id": each, "area": 1.50, "bbox": [2, 2, 9, 9], "segmentation": SQUARE}
        for i, each in enumerate(objects)
    ]
    categories = [{"id": each, "name": f"class {each}", "synset": synset} for each, synset in SYNSETS.items()]
    return {"info": {"year": 2017}, "images": [image], "annotations": annotations, "categories": categories, **changes}


def cocofy(value: Dict) -> Cocofied:
    return cocofied(json.dumps(value).encode(), "lvis.json")


category_lists = st.lists(st.sampled_from(sorted(SYNSETS)), max_size=6)


@given(category_lists, category_lists, category_lists)
def test_only_classes_of_coco_remain_and_only_if_they_occur(
    objects: list[int], negative: list[int], not_exhaustive: list[int]
) -> None:
    source = lvis(objects, negative, not_exhaustive)
    made = cocofy(source)
    document = json.loads(made.content)
    expected = copy.deepcopy(source)
    kept = [each for each in expected["annotations"] if each["category_id"] in COCO_IDS]
    expected["annotations"] = [
        {**each, "id": number, "category_id": COCO_IDS[each["category_id"]]} for number, each in enumerate(kept, 1)
    ]
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        expected["images"][0][key] = [COCO_IDS[each] for each in source["images"][0][key] if each in COCO_IDS]
    occurring = {each for each in {*objects, *negative, *not_exhaustive} if each in COCO_IDS}
    expected["categories"] = [
        {**each, "id": COCO_IDS[each["id"]]} for each in source["categories"] if each["id"] in occurring
    ]
    assert document == expected
    assert (made.num_images, made.num_annotations, made.num_categories) == (1, len(kept), len(occurring))
    assert len(made.lost) == 76
    assert set(made.absent) == {
        {17: "cat", 4: "person", 30: "apple", 2: "dog"}[each] for each in COCO_IDS.keys() - occurring
    }
    assert made.sha256 == hashlib.sha256(made.content).hexdigest()
    assert made.source_sha256 == hashlib.sha256(json.dumps(source).encode()).hexdigest()


def test_what_is_not_changed_is_copied_letter_by_letter() -> None:
    text = json.dumps(lvis([4], [], [])).replace("12.5,", "12.500,")
    assert b"12.500" in cocofied(text.encode(), "lvis.json").content


def test_the_numbers_of_real_lvis(lvis_100: Path, coco_mini: Path) -> None:
    made = cocofied(lvis_100.read_bytes(), "lvis.json")
    assert (made.num_images, made.num_annotations, made.num_categories) == (100, 435, 69)
    assert made.lost == ("hot dog", "oven")
    assert len(made.absent) == 9
    assert made.lvis_version == "LVIS v0.5"
    assert json.loads(made.content) == by_recipe(json.loads(lvis_100.read_bytes()), coco_mini / "coco_to_synset.json")


def by_recipe(source: Dict, synsets: Path) -> Dict:
    """The recipe of the golden numbers, read from the list of synsets that lvis-api distributes."""
    coco = {each["synset"]: each["coco_cat_id"] for each in json.loads(synsets.read_bytes()).values()}
    new = {each["id"]: coco[each["synset"]] for each in source["categories"] if each["synset"] in coco}
    kept = [each for each in source["annotations"] if each["category_id"] in new]
    annotations = [{**each, "category_id": new[each["category_id"]], "id": i} for i, each in enumerate(kept, 1)]
    seen = {each["category_id"] for each in annotations}
    images = []
    for image in source["images"]:
        lists = {
            key: [new[each] for each in image[key] if each in new]
            for key in ("neg_category_ids", "not_exhaustive_category_ids")
        }
        seen.update(*lists.values())
        images.append({**image, **lists})
    categories = [{**each, "id": new[each["id"]]} for each in source["categories"] if new.get(each["id"]) in seen]
    return {**source, "images": images, "annotations": annotations, "categories": categories}


def test_a_file_that_others_cocofied_holds_the_same(coco_mini: Path) -> None:
    folder = coco_mini / "annotations"
    ours, theirs = (read_cocofied(folder / f"lvis_v0.5_val{end}.json") for end in ("", "_cocofied"))
    assert (ours.version, theirs.version) == ("cocofied LVIS v0.5", "cocofied LVIS")
    assert (len(ours.category_ids), len(theirs.category_ids)) == (60, 78)  # theirs lists classes that do not occur
    assert ours.counts == theirs.counts
    np.testing.assert_array_equal(ours.image_ids, theirs.image_ids)
    np.testing.assert_array_equal(ours.image, theirs.image)
    np.testing.assert_array_equal(ours.area, theirs.area)
    np.testing.assert_array_equal(ours.category_ids[ours.category], theirs.category_ids[theirs.category])
    for field in ("negative", "not_exhaustive"):
        assert listed(ours, field) == listed(theirs, field)


def listed(truth: GroundTruth, field: str) -> set[tuple[int, int]]:
    """Ids of the images and categories of a list."""
    return {(int(truth.image_ids[image]), int(truth.category_ids[each])) for image, each in getattr(truth, field)}


def test_the_checksum_is_that_of_the_file_given(tmp_path: Path) -> None:
    source, target = tmp_path / "lvis.json", tmp_path / "cocofied.json"
    source.write_text(json.dumps(lvis([4, 9], [17], [])))
    made = prepare_lvis(source, target)
    assert target.read_bytes() == made.content
    assert sorted(tmp_path.iterdir()) == [target, source]
    on_the_fly, written = read_cocofied(source), read_cocofied(target)
    assert on_the_fly.sha256 == made.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert written.sha256 == made.sha256
    assert on_the_fly.category_ids.tolist() == written.category_ids.tolist() == [1, 17]
    assert on_the_fly.counts == read_ground_truth(target).counts


def test_the_coco_classes_are_those_that_lvis_distributes(coco_mini: Path) -> None:
    table = json.loads((coco_mini / "coco_to_synset.json").read_bytes())
    file = Path(__file__).parents[3] / "bench" / "data" / "coco_synsets.csv"
    rows = [line.split(",") for line in file.read_text().splitlines()[1:]]
    assert sorted((int(row[0]), row[1], row[2]) for row in rows) == sorted(
        (each["coco_cat_id"], name, each["synset"]) for name, each in table.items()
    )


COCO = {
    "images": [{"id": 8, "height": 20, "width": 30}],
    "annotations": [],
    "categories": [{"id": 1, "name": "person"}],
}


def test_other_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    already = json.loads(cocofy(lvis([4], [], [])).content)
    unlisted, of_image = lvis([4, 5], [], []), lvis([4], [6], [])
    for value, message in (
        ({**COCO, "images": []}, "has no categories with a synset; expected LVIS annotations"),
        ({**already, "categories": []}, "has no categories with a synset"),
        (unlisted, r"annotation 1 \(image 8\) has category 5; expected one of the 5"),
        (of_image, "image 8 lists category 6 as absent or not exhaustive; expected one of the 5"),
        (lvis([4], [], [], images=COCO["images"]), "missing required field `neg_category_ids`"),
        ([], "does not fit"),
    ):
        path.write_text(json.dumps(value))
        with pytest.raises(ValueError, match=message):
            read_cocofied(path)
    with pytest.raises(ValueError, match="is cocofied already"):
        cocofy(already)


@pytest.mark.parametrize("missing", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_a_cocofied_file_without_its_lists_is_an_error(missing: str, tmp_path: Path) -> None:
    already = json.loads(cocofy(lvis([4], [17], [4])).content)
    del already["images"][0][missing]
    path = tmp_path / "cocofied.json"
    path.write_text(json.dumps(already))
    with pytest.raises(ValueError, match=f"cocofied.json does not fit the format: .*required field `{missing}`"):
        read_cocofied(path)


def test_the_version_is_read_once_while_the_file_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "lvis.json", json_file.read
    reads: list[Path] = []
    monkeypatch.setattr(json_file, "read", lambda path: (reads.append(path), read(path))[1])
    path.write_text(json.dumps(lvis([4], [], [])))
    assert [version(path) for _ in range(8)] == ["cocofied LVIS"] * 8
    assert read_cocofied(path) is read_cocofied(path)
    assert len(reads) == 1
    categories = [{"id": each, "name": "x", "synset": f"{each}.n.01"} for each in range(1, 1204)]
    path.write_text(json.dumps(lvis([4], [], [], categories=categories)))
    assert version(path) == "cocofied LVIS v1"
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        version(path)


def test_files_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    source = tmp_path / "lvis.json"
    source.write_text(json.dumps(lvis([4], [], [])))
    before = source.read_bytes()
    with pytest.raises(ValueError, match="is the LVIS file itself"):
        prepare_lvis(source, source)
    with pytest.raises(ValueError, match="cannot be written: No such file"):
        prepare_lvis(source, tmp_path / "none" / "cocofied.json")
    assert source.read_bytes() == before
    assert list(tmp_path.iterdir()) == [source]


def test_a_cocofied_file_is_a_plain_annotation_file() -> None:
    truth = decode_ground_truth(cocofy(lvis([4, 9, 17], [2], [17])).content, "cocofied.json")
    assert truth.version == "cocofied LVIS"
    assert truth.category_ids.tolist() == [1, 17, 18]
    assert truth.category.tolist() == [0, 1]
    assert truth.negative.tolist() == [[0, 2]]
    assert truth.not_exhaustive.tolist() == [[0, 1]]


def test_a_file_of_own_classes_is_taken_as_it_is(tmp_path: Path) -> None:
    content = lvis([17, 4], negative=[9], not_exhaustive=[])
    renamed = {each: 100 + each for each in SYNSETS}
    for category in content["categories"]:
        category |= {"id": renamed[category["id"]], "synset": f"{category['id']}.own"}
    for annotation in content["annotations"]:
        annotation["category_id"] = renamed[annotation["category_id"]]
    content["images"][0]["neg_category_ids"] = [renamed[9]]
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    truth = read_cocofied(path)
    assert truth.category_ids.tolist() == sorted(renamed.values())
    assert truth.version == version(path) == "LVIS's format, own classes"
    assert truth.negative.tolist() == [[0, truth.category_ids.tolist().index(109)]]
    # One class of COCO among them: LVIS, of which only that class is kept.
    content["categories"][0]["synset"] = "cat.n.01"
    path.write_text(json.dumps(content))
    assert read_cocofied(path).category_ids.tolist() == [17]
