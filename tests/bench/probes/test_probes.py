"""The probes that need images, on real ones: speed, head cost, predictions, and a short overfitting run."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from bench.contract import Context
from bench.data.layout import coco_layout
from bench.inference.image_run import open_run
from bench.model.build import build
from bench.planning import recipes
from bench.probes import flops, head_cost, overfit, predictions, speed
from bench.record import Subject
from sparsity import names
from tests.bench.found import numbers_at, rows_at

HEADS = names("heads")


def small(head: str) -> Subject:
    effseg = {"backend": "sps", "module": "sfm"} if head == "effseg" else {}
    return Subject(head=head, backbone="small_fpn", preset="small", **effseg)


def test_speed_keeps_every_latency_by_phase(coco_mini: Path) -> None:
    measurement = speed.measure(small("effseg"), Context(data=coco_layout(coco_mini), images=3))
    total = measurement.samples["latency_ms_total"]
    phases = ("backbone", "neck", "detector", "head", "assemble")
    assert total.shape == (3,)
    assert total == pytest.approx(sum(measurement.samples[f"latency_ms_{phase}"] for phase in phases))
    values = numbers_at(measurement)
    assert values["fps_paper"] == pytest.approx((1000 / total).mean())
    assert values["fps_throughput"] == pytest.approx(3 / (total.sum() / 1000))
    assert values["fps_paper"] >= values["fps_throughput"]
    assert values["latency_ms_median"] == pytest.approx(np.median(total))
    for phase in (*phases, "encode"):
        (value,) = rows_at(measurement, phase=phase).values()
        assert (value.name, value.unit) == ("latency_ms_median", "ms")
        assert value.value == np.median(measurement.samples[f"latency_ms_{phase}"])
    units = [rows_at(measurement)[name].unit for name in ("images", "fps_throughput", "latency_ms_p95", "regions")]
    assert units == ["images", "1/s", "ms", "regions"]


def test_head_cost_is_subtracted_and_isolated(coco_mini: Path) -> None:
    measurement = head_cost.measure(small("effseg"), Context(data=coco_layout(coco_mini), images=2))
    values = numbers_at(measurement)
    assert values["latency_ms_head_subtracted"] == pytest.approx(
        1000 / values["fps_paper"] - 1000 / values["fps_detector"]
    )
    assert values["latency_ms_head_isolated"] == pytest.approx(np.median(measurement.samples["latency_ms_head"]))
    assert rows_at(measurement)["fps_detector"].unit == "1/s"
    assert rows_at(measurement)["latency_ms_head_subtracted"].unit == "ms"


@pytest.mark.parametrize("source", ["detector", "ground_truth"])
def test_predictions_are_what_pycocotools_reads(source: str, coco_mini: Path, tmp_path: Path) -> None:
    measurement = predictions.measure(
        small("effseg"), Context(data=coco_layout(coco_mini), images=2, detections=source)
    )
    path = tmp_path / "predictions.json"
    path.write_bytes(measurement.files["predictions.json"])
    results = COCO(coco_mini / "annotations" / "instances_val2017.json").loadRes(str(path))
    assert len(results.anns) == numbers_at(measurement)["predictions"] > 0
    assert numbers_at(measurement)["images"] == 2
    assert "bbox" not in json.loads(path.read_bytes())[0]
    if source == "ground_truth":
        truth = COCO(coco_mini / "annotations" / "instances_val2017.json")
        images = sorted(truth.imgs)[:2]
        assert {annotation["image_id"] for annotation in results.anns.values()} <= set(images)
        assert len(results.anns) <= len(truth.getAnnIds(images))


def test_detections_of_a_file_are_used(coco_mini: Path, tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    boxes = [{"image_id": 139, "category_id": 62, "bbox": [100, 100, 50, 80], "score": 0.5}]
    path.write_bytes(msgspec.json.encode(boxes))
    context = Context(data=coco_layout(coco_mini), images=2, detections=str(path))
    measurement = predictions.measure(small("mask_rcnn"), context)
    found = json.loads(measurement.files["predictions.json"])
    assert [(result["image_id"], result["category_id"]) for result in found] in ([(139, 62)], [])
    assert numbers_at(measurement)["images_empty"] == 2 - len(found)


def test_an_empty_file_of_predictions_is_valid_and_said(
    coco_mini: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "boxes.json"
    path.write_text("[]")
    measurement = predictions.measure(
        small("effseg"), Context(data=coco_layout(coco_mini), images=2, detections=str(path))
    )
    assert measurement.files["predictions.json"] == b"[]"
    assert numbers_at(measurement)["predictions"] == 0
    assert numbers_at(measurement)["images_empty"] == 2
    assert "empty list" in caplog.text


@pytest.fixture
def damaged(coco_mini: Path, tmp_path: Path) -> Path:
    """The first three images, the second one cut off in the middle."""
    annotations = json.loads((coco_mini / "annotations" / "instances_val2017.json").read_bytes())
    annotations["images"] = sorted(annotations["images"], key=lambda image: image["id"])[:3]
    kept = [image["id"] for image in annotations["images"]]
    annotations["annotations"] = [a for a in annotations["annotations"] if a["image_id"] in kept]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(annotations))
    (tmp_path / "val2017").mkdir()
    for image_id in kept:
        shutil.copyfile(coco_mini / "val2017" / f"{image_id:012d}.jpg", tmp_path / "val2017" / f"{image_id:012d}.jpg")
    broken = tmp_path / "val2017" / f"{kept[1]:012d}.jpg"
    broken.write_bytes(broken.read_bytes()[:2000])
    return tmp_path


@pytest.mark.parametrize("probe", [flops, speed, head_cost, predictions, overfit])
def test_other_data_is_another_measurement(probe: Any, damaged: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[]")
    subject, context = small("mask_rcnn"), Context(data=coco_layout(damaged), detections=str(boxes))
    before = probe.protocol(subject, context)
    assert probe.protocol(subject, context) == before
    if probe is not overfit:
        boxes.write_text("[ ]")
        assert probe.protocol(subject, context) != before
    annotations = damaged / "annotations" / "instances_val2017.json"
    before = probe.protocol(subject, context)
    annotations.write_text(annotations.read_text() + " ")
    assert probe.protocol(subject, context) != before


@pytest.mark.parametrize("probe", [speed, head_cost, predictions])
def test_a_damaged_image_is_skipped_and_said(probe: object, damaged: Path) -> None:
    measurement = probe.measure(small("mask_rcnn"), Context(data=coco_layout(damaged)))  # type: ignore[attr-defined]
    assert numbers_at(measurement)["images"] == 2
    assert numbers_at(measurement)["images_skipped"] == 1
    (skipped,) = json.loads(measurement.files["skipped.json"])
    assert skipped["image_id"] == 285
    assert skipped["reason"]


def test_without_a_readable_image_there_is_no_measurement(damaged: Path) -> None:
    for path in (damaged / "val2017").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="None of the 3 images could be read"):
        predictions.measure(small("mask_rcnn"), Context(data=coco_layout(damaged)))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("head", recipes.HEADS)
def test_heads_begin_to_overfit(head: str, coco_mini: Path) -> None:
    """Sixty of the thousand steps of the recipe `overfit`, which is for all heads, with the paper's."""
    context = Context(data=coco_layout(coco_mini), detections="ground_truth")
    samples = overfit.large_objects(open_run(small(head), context).dataset)
    assert len(samples) == overfit.NUM_IMAGES
    model = build(small(head))
    losses = overfit.train(model, samples, 60, seed=0)
    total = sum(losses.values())
    assert total[-4:].mean() < total[:4].mean() / 2
    # The total is mostly classification at first; the coarsest mask must get better by itself.
    coarsest = next(curve for name, curve in losses.items() if name.startswith("mask"))
    assert coarsest[-4:].mean() < 0.65 * coarsest[:4].mean()
    assert overfit.mask_overlaps(model, samples).mean() > 0.5


def test_overlap_is_intersection_over_union(coco_mini: Path) -> None:
    context = Context(data=coco_layout(coco_mini), detections="ground_truth")
    (sample, *_) = overfit.large_objects(open_run(small("effseg"), context).dataset)
    assert sample.objects is not None
    sides = (sample.objects.boxes[:, 2:] - sample.objects.boxes[:, :2]).prod(1).sqrt()
    assert (sides >= overfit.MIN_SIDE).all()
    truth = torch.zeros(10, 10, dtype=torch.bool)
    truth[2:6, 2:6] = True
    crop = overfit.Crop(mask=torch.ones(4, 2, dtype=torch.bool), top=2, left=4)
    assert overfit._overlap(crop, truth) == 8 / 16
