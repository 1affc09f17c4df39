"""Objects are checked when their file is read: masks can be drawn, boxes are their masks', the odd is counted."""

import json
import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bench.data.annotations import AnnotationFile
from bench.data.checks import Objects
from bench.data.findings import tell_once

Dict = dict[str, Any]

SQUARE = [[20, 30, 60, 30, 60, 80, 20, 80]]
OWN = (20, 30, 40, 50)


@pytest.fixture(autouse=True)
def _told_nothing() -> None:
    """Whatever was found in another file of this name is told again."""
    tell_once.cache_clear()


def an_object(**changes: object) -> Dict:
    """An annotation; a change to None removes the field."""
    fields = {"id": 1, "image_id": 8, "category_id": 5, "area": 2000, "bbox": OWN, "segmentation": SQUARE}
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


def checked(*objects: Dict, leave_out_maskless: bool = False) -> Objects:
    images = [{"id": 8, "height": 100, "width": 200}]
    text = json.dumps({"images": images, "annotations": objects, "categories": [{"id": 5, "name": "thing"}]})
    return AnnotationFile(name="file.json", content=text.encode()).objects(leave_out_maskless=leave_out_maskless)


def counts(objects: Objects) -> dict[str, int]:
    return {finding.name: finding.count for finding in objects.findings}


def boxes(objects: Objects) -> list[tuple[float, ...] | None]:
    return [each.bbox for each in objects.annotations]


def test_a_file_without_anything_odd_has_no_findings(caplog: pytest.LogCaptureFixture) -> None:
    inexact = an_object(bbox=[19, 31.5, 41, 49])
    unclipped = an_object(segmentation=[[-30, 30, 60, 30, 60, 80, -30, 80]], bbox=[-30, 30, 90, 50])
    clipped = an_object(segmentation=[[-30, 30, 60, 30, 60, 80, -30, 80]], bbox=[0, 30, 60, 50])
    found = checked(an_object(), inexact, unclipped, clipped)
    assert found.findings == ()
    assert boxes(found)[1:] == [(19, 31.5, 41, 49), (-30, 30, 90, 50), (0, 30, 60, 50)]
    assert not caplog.records


@pytest.mark.parametrize(
    ("box", "name"),
    [
        (None, "boxes_absent"),
        ([], "boxes_absent"),
        ([0, 0, 0, 0], "boxes_disagree"),
        ([20, 30, 0, 50], "boxes_disagree"),
        ([20, 30, 60, 80], "boxes_disagree"),
        ([120, 30, 40, 50], "boxes_disagree"),
        ([0, 0, 200, 100], "boxes_disagree"),
    ],
)
@pytest.mark.parametrize("runs", [False, True])
def test_a_box_that_is_absent_or_of_something_else_is_that_of_the_mask(
    box: list[float] | None, name: str, runs: bool
) -> None:
    bitmap = np.zeros((100, 200), np.uint8, order="F")
    bitmap[30:80, 20:60] = 1
    encoded = {"size": [100, 200], "counts": coco_mask.encode(bitmap)["counts"].decode()}
    found = checked(an_object(), an_object(id=2, bbox=box, segmentation=encoded if runs else SQUARE))
    assert boxes(found) == [OWN, OWN]
    assert counts(found) == {name: 1}
    assert found.findings[0].examples == ("annotation 1 (image 8)",)
    assert found.boxes_replaced.tolist() == [False, name == "boxes_disagree"]


def test_corners_are_recognised() -> None:
    (finding,) = checked(*[an_object(id=i, bbox=[20, 30, 60, 80]) for i in range(5)]).findings
    assert "they are corners, x1 y1 x2 y2" in finding.sentence()
    assert finding.sentence().endswith(
        "5 (annotation 0 (image 8), annotation 1 (image 8), annotation 2 (image 8), ...)"
    )
    (finding,) = checked(an_object(bbox=[0, 0, 5, 5])).findings
    assert "corners" not in finding.sentence()


def test_crowds_are_counted_and_keep_their_boxes(caplog: pytest.LogCaptureFixture) -> None:
    found = checked(an_object(), an_object(iscrowd=1, bbox=[0, 0, 200, 100]))
    assert counts(found) == {"crowds": 1}
    assert boxes(found)[1] == (0, 0, 200, 100)
    assert not caplog.records, "every data set has crowds"


@pytest.mark.parametrize(
    ("segmentation", "changes", "name"),
    [
        ([[128, 50]], {}, "without_pixel"),
        ([[20, 30, 40, 50]], {}, "without_pixel"),
        ([[500, 500, 540, 500, 540, 550]], {"bbox": [500, 500, 40, 50]}, "without_pixel"),
        ([[20, 30, 60, 80, 20, 30]], {}, "without_pixel"),
        ({"size": [100, 200], "counts": [20000]}, {}, "without_pixel"),
        ([[20.1, 30.1, 20.2, 30.1, 20.2, 30.2]], {"area": 0.01, "bbox": [20.1, 30.1, 0.1, 0.1]}, "without_pixel_small"),
    ],
)
def test_objects_without_a_pixel_stay_and_are_told(
    segmentation: object, changes: Dict, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = checked(an_object(), an_object(segmentation=segmentation, **changes))
    assert counts(found) == {name: 1}
    assert len(found.annotations) == 2
    assert bool(caplog.records) == (name == "without_pixel")


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(-20, 220), st.floats(-20, 120)), min_size=3, max_size=6))
def test_no_pixel_is_what_pycocotools_draws_none_for(points: list[tuple[float, float]]) -> None:
    polygon = [number for point in points for number in point]
    drawn = coco_mask.area(coco_mask.merge(coco_mask.frPyObjects([polygon], 100, 200)))
    found = checked(an_object(segmentation=[polygon], bbox=None))
    assert bool(drawn) == (not any(name.startswith("without_pixel") for name in counts(found)))


@pytest.mark.parametrize("empty", [None, [], [[]], [[], []]])
def test_an_object_without_a_mask_is_an_error_unless_it_is_to_be_left_out(empty: object) -> None:
    objects = [an_object(), an_object(segmentation=empty), an_object(segmentation=empty), an_object()]
    with pytest.raises(ValueError, match=r"annotation 1 \(image 8\) has no polygon .*2 objects have none.*left out"):
        checked(*objects)
    found = checked(*objects, leave_out_maskless=True)
    assert len(found.annotations) == 2
    assert counts(found) == {"without_mask": 2}


@pytest.mark.parametrize(
    ("segmentation", "word"),
    [
        (SQUARE[0], "a_flat_polygon"),
        ([[[20, 30], [60, 30], [60, 80], [20, 80]]], "points_as_pairs"),
        ({"size": [100.0, 200.0], "counts": [20000.0]}, "run_lengths_as_floats"),
        ([[str(number) for number in SQUARE[0]]], "numbers_as_text"),
    ],
)
def test_masks_with_one_meaning_are_read_and_counted(segmentation: object, word: str) -> None:
    plain = an_object() if "run" not in word else an_object(segmentation={"size": [100, 200], "counts": [20000]})
    found = checked(an_object(segmentation=segmentation))
    assert counts(found)[f"masks_{word}"] == 1
    assert json.loads(bytes(found.annotations[0].segmentation)) == plain["segmentation"]


def test_the_last_of_many_masks_is_checked_too() -> None:
    objects = [an_object(id=i) for i in range(300)]
    with pytest.raises(ValueError, match=r"annotation 300 \(image 8\) has run lengths"):
        checked(*objects, an_object(segmentation={"size": [100, 200], "counts": "~~"}))
    with pytest.raises(ValueError, match=r"annotation 300 \(image 8\): A polygon reaches"):
        checked(*objects, an_object(segmentation=[[0, 0, 1e7, 0, 1e7, 5]]))


def test_without_classes_the_list_is_missed() -> None:
    text = json.dumps({"images": [{"id": 8, "height": 100, "width": 200}], "annotations": [an_object()]})
    with pytest.raises(ValueError, match=r"file.json has no categories.*add it"):
        AnnotationFile(name="file.json", content=text.encode()).objects()
