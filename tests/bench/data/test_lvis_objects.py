"""Boxes of objects on images that only an LVIS file lists."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.contract import Context
from bench.data.coco import CocoImages, open_images
from bench.data.layout import coco_layout
from bench.data.lvis_objects import with_lvis_objects
from bench.data.segmentation import RunLengths
from bench.inference.image_run import images_protocol, open_run
from bench.record import Subject

SUBJECT = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")


@pytest.fixture
def lvis(coco_mini: Path) -> Path:
    return coco_mini / "annotations" / "lvis_v0.5_val.json"


@pytest.fixture
def both(coco_mini: Path, lvis: Path) -> CocoImages:
    return open_images(coco_layout(coco_mini).val, lvis=lvis)


def test_every_image_gets_the_objects_of_a_file_that_lists_it(both: CocoImages, coco_mini: Path, lvis: Path) -> None:
    found = with_lvis_objects(both, lvis)
    assert found.annotations.keys() == set(both.ids)
    assert all(found.annotations[image_id] == objects for image_id, objects in both.annotations.items())
    cocofied = json.loads((coco_mini / "annotations" / "lvis_v0.5_val_cocofied.json").read_bytes())
    wanted = Counter(each["image_id"] for each in cocofied["annotations"])
    for image_id in set(both.ids) - both.annotations.keys():
        objects = found.annotations[image_id]
        assert len(objects) == wanted[image_id]
        assert {each.category_id for each in objects} <= set(both.category_ids)
        assert all(isinstance(each.segmentation, RunLengths) for each in objects)  # as LVIS's columns have them
        # The masks are those of the boxes: an object's pixels reach all four sides of its box.
        for each, mask in zip(objects, found.masks(image_id), strict=True):
            rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
            left, top, width, height = each.bbox
            own = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            edges = np.array([left, top, left + width, top + height])
            common = np.minimum(own, edges)[2:] - np.maximum(own, edges)[:2]
            assert (common > 0).all()


def test_a_class_that_the_run_does_not_know_is_left_out(both: CocoImages, lvis: Path) -> None:
    person = CocoImages(**{**vars(both), "category_ids": (1,)})
    found = with_lvis_objects(person, lvis)
    only_lvis = [each for image_id in set(both.ids) - both.annotations.keys() for each in found.annotations[image_id]]
    assert {each.category_id for each in only_lvis} == {1}


def test_without_a_coco_file_all_objects_are_lvis(tmp_path: Path, coco_mini: Path, lvis: Path) -> None:
    (tmp_path / "val2017").symlink_to((coco_mini / "val2017").resolve(), target_is_directory=True)
    context = Context(data=coco_layout(tmp_path), lvis=lvis, detections="ground_truth")
    assert len(open_run(SUBJECT, context).files.annotations) == 65


def test_a_run_on_true_boxes_has_all_images_and_says_whose_boxes(coco_mini: Path, lvis: Path) -> None:
    context = Context(data=coco_layout(coco_mini), lvis=lvis, detections="ground_truth")
    assert len(open_run(SUBJECT, context).dataset) == 276
    assert images_protocol(context)["detections"] == "ground_truth, of LVIS where COCO does not list the image"
    plain = Context(data=coco_layout(coco_mini), detections="ground_truth")
    assert images_protocol(plain)["detections"] == "ground_truth"
    run = open_run(SUBJECT, Context(data=coco_layout(coco_mini), lvis=lvis))
    assert len(run.files.annotations) == 215  # the detector's boxes need no objects
