"""A run says in its records what of the data was repaired or left out, and calls images as their files do."""

import json
from pathlib import Path

import pytest
from PIL import Image

from bench.contract import Context
from bench.data.layout import Part, coco_layout
from bench.data.samples import Skipped
from bench.inference.image_run import coco_truth, data_report, files_protocol, finishing_protocol, open_run
from bench.inference.predict import Found
from bench.model.assemble import ImagePredictions
from bench.model.segmenter import coco_results
from bench.record import Subject

SUBJECT = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")
SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image with a text id: an object with a box of its own, one of something else, one point, one only boxed."""
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotations").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "val2017" / "a.png")
    shapes = [(SQUARE, [2, 2, 10, 10]), (SQUARE, [20, 2, 5, 5]), ([[5, 5]], [2, 2, 10, 10]), ([], [2, 2, 10, 10])]
    content = {
        "images": [{"id": "scan a", "file_name": "a.png", "height": 20, "width": 30}],
        "annotations": [
            {"image_id": "scan a", "category_id": 5, "segmentation": mask, "bbox": box} for mask, box in shapes
        ],
        "categories": [{"id": 5, "name": "thing"}],
    }
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return tmp_path


def context(folder: Path) -> Context:
    data = coco_layout(folder)
    val = Part(pictures=data.val.pictures, annotations=data.val.annotations, leave_out_maskless=True)
    return Context(data=type(data)(root=folder, kind="COCO", train=val, val=val))


def test_what_was_repaired_is_in_values_and_files(folder: Path) -> None:
    run = open_run(SUBJECT, context(folder))
    assert {row.name: row.value for row in run.rows()} == {
        "images": 1,
        "images_skipped": 0,
        "data_boxes_disagree": 1,
        "data_without_pixel": 1,
        "data_without_mask": 1,
    }
    first, *_ = json.loads(run.report()["data.json"])
    assert (first["name"], first["examples"]) == ("boxes_disagree", ["annotation 1 (image scan a)"])
    (objects,) = run.files.annotations.values()
    assert [each.bbox for each in objects] == [(2, 2, 10, 10)] * 2, "no model is given an object without a pixel"
    assert len(coco_truth(context(folder)).counts) == 3
    assert files_protocol(context(folder))["objects_without_mask"] == "left out"
    with pytest.raises(ValueError, match=r"annotation 3 \(image scan a\) has no polygon"):
        open_run(SUBJECT, Context(data=coco_layout(folder)))


def test_images_are_called_as_their_files_call_them(folder: Path) -> None:
    (image_id,) = open_run(SUBJECT, context(folder)).files.ids
    found = Found(results={image_id: []}, skipped=(Skipped(image_id=image_id, reason="why"),))
    assert json.loads(found.image_ids) == ["scan a"]
    assert json.loads(found.report()["skipped.json"]) == [{"image_id": "scan a", "reason": "why"}]
    assert data_report((), ()) == {}


def test_results_have_the_ids_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    (image_id,) = open_run(SUBJECT, context(folder)).files.ids
    one = ImagePredictions(
        size=(20, 30),
        labels=torch.tensor([0]),
        scores=torch.tensor([0.5]),
        mask_index=torch.tensor([0]),
        crops=(),
    )
    monkeypatch.setattr("bench.model.segmenter.encode", lambda image: [{"size": [20, 30], "counts": ""}])
    assert [each["image_id"] for each in coco_results([image_id], [one], (5,))] == ["scan a"]


def test_only_an_unusual_finishing_is_said() -> None:
    assert finishing_protocol(Context()) == {}
    assert finishing_protocol(Context(finishing="dilated")) == {"finishing": "dilated"}
