"""Boxes of the common detector are scored as pycocotools scores them, whichever head stands behind it."""

import contextlib
import dataclasses
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.contract import Context
from bench.data.layout import coco_layout
from bench.glyphs import write
from bench.inference import detected
from bench.model.segmenter import DetectorOutput
from bench.planning import own_data
from bench.planning.recipes import embedded as shipped
from bench.probes import box_accuracy
from bench.probes.box_accuracy import _results
from heads import Detections
from tests.bench.found import numbers_at, rows_at

NUM_IMAGES = 6


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("glyphs")
    write(folder, "tune", NUM_IMAGES)
    return Context(data=coco_layout(folder), weights=own_data.SHIPPED)


def test_values_are_those_of_pycocotools(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[dict[str, object]] = []

    def noted(image_id: int, output: DetectorOutput, category_ids: tuple[int, ...]) -> list[dict[str, object]]:
        kept.extend(_results(image_id, output, category_ids))
        return _results(image_id, output, category_ids)

    monkeypatch.setattr(box_accuracy, "_results", noted)
    found = box_accuracy.measure(shipped("effseg"), context)
    assert context.data is not None
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(context.data.val.annotations)
        official = COCOeval(truth, truth.loadRes(kept), "bbox")
        official.evaluate()
        official.accumulate()
        official.summarize()
    names = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l", "ar1", "ar10", "ar100", "ar_s", "ar_m", "ar_l")
    for name, expected in zip(names, official.stats, strict=True):
        assert numbers_at(found)[f"box_{name}"] == pytest.approx(100 * expected, abs=1e-9), name
    box_ap = rows_at(found)["box_ap"]
    assert box_ap.value > 30, "the shipped detector finds things"
    assert box_ap.interval is not None
    assert box_ap.interval[0] < box_ap.value < box_ap.interval[1]
    assert numbers_at(found)["images"] == NUM_IMAGES
    units = [rows_at(found)[name].unit for name in ("box_ap", "box_classes", "box_images", "boxes", "images")]
    assert units == ["points", "classes", "images", "boxes", "images"]


def test_no_head_changes_the_boxes_and_true_ones_are_not_asked_for(context: Context) -> None:
    first = box_accuracy.measure(shipped("mask_rcnn"), context)
    detected._last = None
    true = dataclasses.replace(context, detections="ground_truth")
    assert box_accuracy.measure(shipped("effseg"), true).values == first.values
    assert box_accuracy.protocol(shipped("effseg"), true)["detections"] == "detector"


def test_boxes_are_in_pixels_of_the_original_image() -> None:
    detections = Detections(
        boxes=torch.tensor([[10.0, 20.0, 30.0, 60.0], [5.0, 5.0, 4.0, 9.0]]),
        image=torch.tensor([0, 0]),
        queries=torch.zeros(2, 1),
        region=torch.tensor([1, 0]),
        labels=torch.tensor([2, 0]),
        scores=torch.tensor([0.5, 0.25]),
        region_counts=(2,),
        prediction_counts=(2,),
    )
    output = DetectorOutput(pyramid={}, detections=detections, input_sizes=((100, 200),), original_sizes=((50, 800),))
    turned, plain = _results(7, output, (11, 12, 13))
    assert plain == {"image_id": 7, "category_id": 11, "score": 0.25, "bbox": [40.0, 10.0, 80.0, 20.0]}
    assert turned == {"image_id": 7, "category_id": 13, "score": 0.5, "bbox": [20.0, 2.5, 0.0, 2.0]}, "never negative"


def test_an_empty_result_is_no_error(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_accuracy, "_results", lambda image_id, output, category_ids: [])
    found = box_accuracy.measure(shipped("mask_rcnn"), dataclasses.replace(context, images=2))
    assert numbers_at(found)["box_ap"] == 0
    assert numbers_at(found)["boxes"] == 0


def test_images_that_only_lvis_lists_do_not_count(context: Context, tmp_path: Path) -> None:
    assert context.data is not None
    coco = tmp_path / "coco"
    shutil.copytree(context.data.root, coco)
    path = coco / "annotations" / "instances_val2017.json"
    annotations = json.loads(path.read_bytes())
    left_out = annotations["images"].pop()["id"]
    annotations["annotations"] = [each for each in annotations["annotations"] if each["image_id"] != left_out]
    path.write_text(json.dumps(annotations))
    lvis = coco / "annotations" / "glyphs_fine_val.json"
    contexts = [dataclasses.replace(context, data=coco_layout(coco), lvis=each) for each in (lvis, None)]
    both, alone = (numbers_at(box_accuracy.measure(shipped("mask_rcnn"), each)) for each in contexts)
    assert both["images"] == NUM_IMAGES
    assert both["box_images"] == alone["images"] == NUM_IMAGES - 1
    for name in ("box_ap", "boxes"):
        assert both[name] == alone[name]


def test_coco_annotations_are_needed(context: Context, tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError), match="instances_val2017"):
        box_accuracy.measure(shipped("mask_rcnn"), dataclasses.replace(context, data=coco_layout(tmp_path)))
