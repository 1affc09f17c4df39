"""Files of other tools are read as COCO's where that is unambiguous; what could mean several things is an error."""

import json
from typing import Any

import pytest

from bench.data import image_ids
from bench.data.annotations import AnnotationFile

Dict = dict[str, Any]

SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]


def file(annotation: Dict | None = None, image: Dict | None = None, category: Dict | None = None) -> AnnotationFile:
    """An image, an object and a class; a change to a field of one of them, "-" removes it."""

    def changed(entry: Dict, changes: Dict | None) -> Dict:
        return {key: value for key, value in {**entry, **(changes or {})}.items() if value != "-"}

    entry = {"id": 1, "image_id": 8, "category_id": 5, "area": 99.5, "bbox": [2, 2, 10, 10], "segmentation": SQUARE}
    content = {
        "images": [changed({"id": 8, "height": 20, "width": 30, "file_name": "a.jpg"}, image)],
        "annotations": [changed(entry, annotation)],
        "categories": [changed({"id": 5, "name": "thing"}, category)],
    }
    return AnnotationFile(name="file.json", content=json.dumps(content).encode())


PLAIN = file()


@pytest.mark.parametrize(
    "changes",
    [
        {"annotation": {"image_id": 8.0, "category_id": 5.0, "id": 1.0}},
        {"annotation": {"iscrowd": 0.0}},
        {"annotation": {"iscrowd": "false"}},
        {"annotation": {"iscrowd": "0"}},
        {"annotation": {"iscrowd": None, "ignore": None}},
        {"annotation": {"area": "99.5"}},
        {"annotation": {"bbox": ["2", 2, "10.0", 10]}},
        {"annotation": {"image_id": "8", "category_id": "5"}},
        {"annotation": {"id": {"$oid": "5f"}}},
        {"image": {"id": 8.0, "height": 20.0, "width": "30"}},
        {"image": {"id": "8", "file_name": None}},
        {"image": {"file_name": 7, "height": "20"}},
        {"category": {"id": 5.0, "name": 7}},
        {"category": {"id": "5", "name": None}},
    ],
    ids=str,
)
def test_what_has_one_meaning_is_read(changes: Dict) -> None:
    found = file(**changes)
    assert [(each.id, each.height, each.width) for each in found.images] == [(8, 20, 30)]
    (annotation,), (plain,) = found.objects().annotations, PLAIN.objects().annotations
    for field in ("image_id", "category_id", "area", "bbox"):
        assert getattr(annotation, field) == getattr(plain, field)
    assert not annotation.iscrowd
    assert [each.id for each in found.categories] == [5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotation": {"category_id": None}}, r"annotation 0 \(image 8\) .*got null - at .*category_id"),
        ({"annotation": {"category_id": "-"}}, r"missing required field `category_id`"),
        ({"annotation": {"category_id": "cell"}}, r"the text 'cell' where a number belongs"),
        ({"annotation": {"image_id": 8.5}}, r"whole number, got 8.5"),
        ({"annotation": {"image_id": True}}, r"Expected a number, got true or false"),
        ({"annotation": {"area": "large"}}, r"the text 'large' where a number belongs - at `\$.annotations\[0\].area`"),
        ({"annotation": {"bbox": [1, 2, 3]}}, r"list of 4 numbers, got 3 of them"),
        ({"annotation": {"bbox": {"x": 1}}}, r"list of 4 numbers, got an object"),
        ({"annotation": {"iscrowd": "maybe"}}, r"the text 'maybe' where a number belongs"),
        ({"image": {"height": "-"}}, r"missing required field `height` - at `\$.images\[0\]`"),
        ({"image": {"height": "tall"}}, r"the text 'tall' where a number belongs"),
        ({"image": {"width": 0.0}}, r"whole number >= 1, got 0"),
        ({"image": {"id": None}}, r"got null - at `\$.images\[0\].id`"),
        ({"image": {"neg_category_ids": 5}}, r"a list of category ids, got a number"),
        ({"category": {"id": "x"}}, r"the text 'x' where a number belongs - at `\$.categories\[0\].id`"),
    ],
    ids=str,
)
def test_what_has_no_one_meaning_is_named(changes: Dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        file(**changes).objects()


def test_text_ids_are_numbers_inside_and_texts_outside() -> None:
    found = file(annotation={"image_id": "IMG_1", "bbox": [1, 2, 3, 4]}, image={"id": "IMG_1"})
    (image,), (annotation,) = found.images, found.annotations
    assert image.id == annotation.image_id == image_ids.number("IMG_1") < -(2**62)
    assert image_ids.original(image.id) == "IMG_1"
    assert found.place(0) == "annotation 0 (image IMG_1)"
    assert found.objects().findings[0].examples == ("annotation 0 (image IMG_1)",)


def test_numbers_as_text_are_counted() -> None:
    found = file(annotation={"area": "99.5", "image_id": "8"}, image={"height": "20"}).objects()
    assert [(finding.name, finding.count) for finding in found.findings] == [("numbers_as_text", 3)]


def test_annotations_by_id_are_a_list() -> None:
    content = json.loads(PLAIN.content)
    content["annotations"] = {"17": content["annotations"][0]}
    found = AnnotationFile(name="file.json", content=json.dumps(content).encode()).objects()
    assert found.annotations == PLAIN.objects().annotations
    assert [finding.name for finding in found.findings] == ["annotations_by_id"]
