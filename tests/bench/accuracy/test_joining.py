"""Results are joined to images and classes by ids, and by names where these alone fit; never in silence otherwise."""

import dataclasses
import json
import logging
from typing import Any

import numpy as np
import pytest

from bench.accuracy.joining import NO_CLASS, ImageNames, category_ids, image_ids
from bench.accuracy.results_file import read_results
from bench.data.ground_truth import GroundTruth, decode_ground_truth
from bench.data.image_ids import number

Dict = dict[str, Any]


def truth(names: dict[int, str], categories: dict[int, str] | None = None) -> GroundTruth:
    content = {
        "images": [{"id": image_id, "height": 4, "width": 3, "file_name": name} for image_id, name in names.items()],
        "annotations": [],
        "categories": [{"id": category, "name": name} for category, name in (categories or {}).items()],
    }
    return decode_ground_truth(json.dumps(content).encode(), "truth.json")


STEMS = truth({1: "IMG_0041.jpg", 2: "IMG_0042.jpg", 3: "night/scan.7.png"})


def joined(given: list[Any], known: GroundTruth = STEMS, **options: Any) -> list[int]:
    return image_ids(given, [known], name="results.json", **options).tolist()


def test_names_mean_the_whole_path_its_end_or_the_stem() -> None:
    names = ImageNames([truth({1: "a/1.jpg", 2: "b/1.jpg", 3: "a/2.png", 4: "a/2.jpg", 5: "0007.tif", 6: "x.y.jpg"})])
    for name, found in {
        "a/1.jpg": 1,
        "/home/me/b/1.jpg": 2,
        "b\\1": 2,
        "1.jpg": None,
        "1": None,
        "2.png": 3,
        "2": None,
        "c/2.jpg": 4,
        "7": 5,
        "0007": 5,
        "7.jpg": 5,
        "x.y": 6,
        "x": None,
        "nothing": None,
    }.items():
        assert names.find(name) == found, name


@pytest.mark.parametrize(
    "given",
    [
        ["IMG_0041", "IMG_0042", "scan.7"],
        ["IMG_0041.jpg", "IMG_0042.jpg", "night/scan.7.png"],
        ["/data/IMG_0041.png", "IMG_0042", "C:\\data\\night\\scan.7.png"],
    ],
)
def test_text_that_names_files_stands_for_their_images(given: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert joined(given) == [1, 2, 3]
    assert f"image ids such as {given[0]} are no ids of the annotations; 3 of 3 are names of files" in caplog.text


def test_ids_are_ids_where_they_are_listed(caplog: pytest.LogCaptureFixture) -> None:
    assert joined([1, "2", 3.0]) == [1, 2, 3]
    texts = dataclasses.replace(STEMS, image_ids=np.sort([number("a"), number("b"), number("c")]))
    assert joined(["b", "a"], texts) == [number("b"), number("a")]
    assert caplog.messages == []


def test_one_unknown_name_leaves_all_as_they_are() -> None:
    assert joined(["IMG_0041", "elsewhere"]) == [1, number("elsewhere")], "none is an id, so names count"
    assert joined([1, "elsewhere"]) == [1, number("elsewhere")]
    assert joined(["nowhere", "elsewhere"]) == [number("nowhere"), number("elsewhere")]


def test_numbers_of_files_stand_for_their_images_where_they_are_no_ids() -> None:
    numbered = truth({1: "0041.jpg", 2: "0042.jpg", 3: "0043.jpg"})
    assert joined([42, 41, 43], numbered) == [2, 1, 3]
    assert joined([2, 1], numbered) == [2, 1]


def test_ids_that_may_be_numbers_of_other_files_are_told(caplog: pytest.LogCaptureFixture) -> None:
    swapped = truth({1: "1.jpg", 2: "3.jpg", 3: "2.jpg"})
    assert joined([1, 2, 3], swapped) == [1, 2, 3]
    assert "numbers of other files too: id 2 is 3.jpg. If they are meant as numbers of files, write" in caplog.text
    caplog.clear()
    assert joined([1, 2, 3], truth({1: "1.jpg", 2: "2.jpg", 3: "3.jpg"})) == [1, 2, 3]
    assert caplog.messages == []


def test_file_names_count_where_ids_contradict_them(caplog: pytest.LogCaptureFixture) -> None:
    swapped = truth({1: "1.jpg", 2: "3.jpg", 3: "2.jpg"})
    assert joined([1, 2, 2, 3], swapped, file_names=["1.jpg", "x/2.jpg", "x/2.jpg", "3"]) == [1, 3, 3, 2]
    assert (
        "joined by file_name, since their ids contradict it on 2 of 3 images: image 2 is x/2.jpg there" in caplog.text
    )
    with pytest.raises(
        ValueError, match=r"contradict its file names on 2 of 2 images: image 2 is 2\.jpg there and 3\.jpg in the"
    ):
        joined([2, 3], swapped, file_names=["2.jpg", "gone.jpg"])


def test_file_names_that_agree_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    for names in (["IMG_0041.png", "IMG_0042"], ["/a/IMG_0041.jpg", "IMG_0042.jpg"]):
        assert joined([1, 2], file_names=names) == [1, 2]
    coco = truth({139: "COCO_val2014_000000000139.jpg"})
    assert joined([139], coco, file_names=["000000000139.jpg"]) == [139]
    assert joined([1, 2], file_names=["IMG_0042.jpg", None]) == [1, 2], "not every result has one"
    assert caplog.messages == []


def test_file_names_count_where_ids_are_unknown(caplog: pytest.LogCaptureFixture) -> None:
    assert joined([71, 72], file_names=["IMG_0042.jpg", "IMG_0041.jpg"]) == [2, 1]
    assert "joined by file_name, since the annotations do not list their ids" in caplog.text
    assert joined([71, 72], file_names=["IMG_0042.jpg", "other.jpg"]) == [71, 72]


def test_without_names_and_results_there_is_nothing_to_join() -> None:
    assert joined([]) == []
    assert joined([7, 8], truth({1: ""})) == [7, 8]


CLASSES = truth({1: "a.jpg"}, {1: "cat", 2: "dog", 7: "8", 8: "7"})


def classes(*given: object, known: GroundTruth = CLASSES, listed: Dict | None = None, **options: Any) -> list[int]:
    results: list[Dict] = [{"image_id": 1, "score": 0.5, "bbox": [0, 0, 1, 1], "category_id": each} for each in given]
    document: object = results
    if listed is not None:
        names = [{"id": category, "name": name} for category, name in listed.items()]
        document = {"annotations": results, "categories": names}
    return category_ids(read_results(json.dumps(document).encode(), "results.json"), [known], **options).tolist()


def test_classes_are_ids_or_names(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert classes(1, 2.0, "2", 99) == [1, 2, 2, 99]
    assert caplog.messages == []
    assert classes("dog", "cat") == [2, 1]
    assert "classes are given by name, and stand for the ids of the annotations" in caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "has no category_id; expected the class of every mask, .* say `class_agnostic`"),
        ("--1", "its category_id '--1' is no class"),
        (
            "cow",
            r"text where a number belongs: its category_id 'cow' is no class .* \(cat, dog, 8, ...\); write the ids",
        ),
        ("7", "its category_id '7' can mean more than one class"),
        (1.5, r"has category id 1\.5; expected a whole number"),
    ],
)
def test_what_is_no_class_is_named(given: object, message: str) -> None:
    with pytest.raises(ValueError, match=rf"results.json: result 1 \(image 1\) .*{message}"):
        classes(1, given)


def test_without_classes_everything_is_one() -> None:
    assert classes(2, "dog", None, "cow", 99, class_agnostic=True) == [2, 2, NO_CLASS, NO_CLASS, NO_CLASS]


def test_names_count_where_a_data_set_numbers_its_classes_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    assert classes(1, 2, listed={1: "cat", 2: "dog"}) == [1, 2]
    assert classes(1, 2, listed={1: "Cat", 2: "dog "}) == [1, 2]
    assert "joined by name" not in caplog.text
    assert classes(0, 1, listed={0: "cat", 1: "dog"}) == [1, 2]
    assert classes(1, 2, listed={1: "dog", 2: "cat"}) == [2, 1]
    assert "classes are joined by name, since its ids of 2 of 2 are others" in caplog.text
    with pytest.raises(ValueError, match=r"calls category 1 'cow', truth\.json calls it 'cat'; expected the same"):
        classes(1, 2, listed={1: "cow", 2: "cat"})
