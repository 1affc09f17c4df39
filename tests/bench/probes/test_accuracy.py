"""Accuracy of models as a record: predicted, written, and scored from what was written. And the file for test-dev."""

import dataclasses
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.accuracy.archive import unpack
from bench.accuracy.average_precision import metrics
from bench.accuracy.evaluate import evaluate
from bench.accuracy.protocol import PRESETS, ScoringProtocol
from bench.contract import Context
from bench.data.coco import CocoImages, open_images
from bench.data.layout import coco_layout
from bench.data.samples import Batch
from bench.inference import predict, scoring
from bench.model.assemble import Crop, ImagePredictions
from bench.model.segmenter import Boxes, DetectorOutput, Segmenter
from bench.probes import accuracy, accuracy_true_boxes
from bench.probes import server_files as dev
from bench.record import Subject
from heads import Detections
from tests.bench.found import numbers_at, rows_at

SUBJECT = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")
NUM_IMAGES = 4
NOTHING = Detections(
    boxes=torch.zeros(0, 4),
    image=torch.zeros(0, dtype=torch.int64),
    queries=torch.zeros(0, 1),
    region=torch.zeros(0, dtype=torch.int64),
    labels=torch.zeros(0, dtype=torch.int64),
    scores=torch.zeros(0),
    region_counts=(0,),
    prediction_counts=(0,),
)


class Perfect(Segmenter):
    """A model that knows the objects of the images. `fall` is what it loses of every score from image to image."""

    def __init__(self, files: CocoImages) -> None:
        nn.Module.__init__(self)
        self.files = files
        self.fall = 0.1
        self.given = 0
        self.image_id = 0

    def detect(
        self, batch: Batch, given: Sequence[Boxes] | None = None, lap: Callable[[str], None] = lambda _: None
    ) -> DetectorOutput:
        (self.image_id,) = batch.image_ids
        if given is not None:
            self.given += len(given[0].boxes)
        return DetectorOutput(
            pyramid={}, detections=NOTHING, input_sizes=batch.input_sizes, original_sizes=batch.original_sizes
        )

    def masks(self, output: DetectorOutput, lap: Callable[[str], None] = lambda _: None) -> list[ImagePredictions]:
        image_id = self.image_id
        annotations = self.files.annotations[image_id]
        labels = [self.files.category_ids.index(annotation.category_id) for annotation in annotations]
        count = len(annotations)
        score = 1 - self.fall * self.files.ids.index(image_id)
        return [
            ImagePredictions(
                size=self.files.sizes[image_id],
                labels=torch.tensor(labels, dtype=torch.int64),
                scores=torch.full((count,), score),
                mask_index=torch.arange(count),
                crops=tuple(
                    Crop(mask=mask, top=0, left=0) for mask in torch.from_numpy(self.files.masks(image_id)).bool()
                ),
            )
        ]


@pytest.fixture
def few(coco_mini: Path, tmp_path: Path) -> Path:
    """A COCO directory with the first images that LVIS knows and one that it does not know."""
    annotations = json.loads((coco_mini / "annotations" / "instances_val2017.json").read_bytes())
    lvis = json.loads((coco_mini / "annotations" / "lvis_v0.5_val_cocofied.json").read_bytes())
    listed = {image["id"] for image in lvis["images"]}
    ordered = sorted(image["id"] for image in annotations["images"])
    # A class that LVIS lacks is known from COCO's file.
    kept = sorted([i for i in ordered if i in listed][: NUM_IMAGES - 1] + [i for i in ordered if i not in listed][:1])
    for file, name in ((annotations, "instances_val2017"), (lvis, "lvis")):
        file["images"] = [image for image in file["images"] if image["id"] in kept]
        file["annotations"] = [each for each in file["annotations"] if each["image_id"] in kept]
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(file))
    (tmp_path / "val2017").mkdir()
    for image_id in kept:
        shutil.copyfile(coco_mini / "val2017" / f"{image_id:012d}.jpg", tmp_path / "val2017" / f"{image_id:012d}.jpg")
    return tmp_path


@pytest.fixture
def perfect(few: Path, monkeypatch: pytest.MonkeyPatch) -> Perfect:
    model = Perfect(open_images(coco_layout(few).val))
    monkeypatch.setattr(predict, "load", lambda subject, context, category_ids: model)
    return model


def both(few: Path) -> Context:
    return Context(data=coco_layout(few), lvis=few / "annotations" / "lvis.json")


def test_a_perfect_model_has_100_points(few: Path, perfect: Perfect) -> None:
    measurement = accuracy.measure(SUBJECT, both(few))
    values = numbers_at(measurement)
    assert values["ap"] == pytest.approx(100)
    assert values["apb"] == pytest.approx(100)
    # LVIS draws the same objects more precisely, and more of them.
    assert 0 < values["ap_star"] < 100
    assert (values["images"], values["ap_images"], values["ap_star_images"]) == (NUM_IMAGES, NUM_IMAGES, NUM_IMAGES - 1)
    assert len(values) == len(measurement.values), "none has axes"
    by_name = rows_at(measurement)
    assert all(by_name[name].interval is not None for name in ("ap", "apb", "ap_star", "apb_star"))
    units = {name: by_name[name].unit for name in ("ap", "images", "predictions", "ap_left_out", "ap_images_empty")}
    assert list(units.values()) == ["points", "images", "predictions", "predictions", "images"]


def test_objects_beyond_the_cap_are_told(
    few: Path, perfect: Perfect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def capped(names: Iterable[str]) -> list[ScoringProtocol]:
        return [dataclasses.replace(PRESETS[name], cap=1) for name in names]

    accuracy.measure(SUBJECT, both(few))
    assert "beyond the cap" not in caplog.text
    monkeypatch.setattr(scoring, "protocols", capped)
    accuracy.measure(SUBJECT, both(few))
    told = [message for message in caplog.messages if "lie beyond the cap of 1 predictions of every image" in message]
    assert [Path(message.partition(":")[0]).name for message in told] == ["instances_val2017.json", "lvis.json"]


def test_predictions_on_images_that_a_file_lacks_are_counted(few: Path, perfect: Perfect) -> None:
    measurement = accuracy.measure(SUBJECT, both(few))
    listed = {image["id"] for image in json.loads((few / "annotations" / "lvis.json").read_bytes())["images"]}
    results = json.loads(measurement.files["predictions.json"])
    elsewhere = sum(result["image_id"] not in listed for result in results)
    assert numbers_at(measurement)["ap_left_out"] == 0
    assert numbers_at(measurement)["ap_star_left_out"] == elsewhere > 0


def test_the_file_beside_the_record_gives_the_same_numbers(few: Path, perfect: Perfect, tmp_path: Path) -> None:
    context = both(few)
    measurement = accuracy.measure(SUBJECT, context)
    path = tmp_path / "found.json"
    path.write_bytes(measurement.files["predictions.json"])
    again = evaluate(path, coco=few / "annotations" / "instances_val2017.json", lvis=context.lvis).record()
    ours, theirs = rows_at(measurement), rows_at(again)
    common = ours.keys() & theirs.keys()
    assert {"ap", "ap50", "apb_s", "ap_star", "apb_star_classes", "ap_star_left_out", "predictions"} <= common
    assert {name: ours[name] for name in common} == {name: theirs[name] for name in common}
    assert ours.keys() - common == {"images", "images_skipped", "images_empty"}
    tables = unpack(measurement.samples)
    assert [table.protocol.name for table in tables] == ["coco", "coco-boundary", "ap-star", "apb-star"]
    assert metrics(tables[2])["ap"] == ours["ap_star"].value


def test_objects_of_unreadable_images_are_not_missed(few: Path, perfect: Perfect) -> None:
    damaged = sorted((few / "val2017").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:1000])
    values = numbers_at(accuracy.measure(SUBJECT, both(few)))
    assert (values["images"], values["images_skipped"], values["ap_images"]) == (NUM_IMAGES - 1, 1, NUM_IMAGES - 1)
    assert values["ap"] == pytest.approx(100)


def test_true_boxes_are_given(few: Path, perfect: Perfect) -> None:
    accuracy.measure(SUBJECT, Context(data=coco_layout(few)))
    assert perfect.given == 0
    values = numbers_at(accuracy_true_boxes.measure(SUBJECT, Context(data=coco_layout(few))))
    assert perfect.given == values["predictions"] > 0
    known, detected = (probe.protocol(SUBJECT, both(few)) for probe in (accuracy_true_boxes, accuracy))
    assert {name for name in known if known[name] != detected[name]} == {"detections"}


def test_a_model_that_finds_nothing_has_0_points(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = few / "none.json"
    boxes.write_text("[]")
    measurement = accuracy.measure(SUBJECT, Context(data=coco_layout(few), detections=str(boxes)))
    assert numbers_at(measurement)["ap"] == 0
    assert measurement.files["predictions.json"] == b"[]"


def test_one_annotation_file_is_enough(few: Path, perfect: Perfect) -> None:
    lvis = few / "annotations" / "lvis.json"
    plain = numbers_at(accuracy.measure(SUBJECT, Context(data=coco_layout(few))))
    assert "ap" in plain
    assert "ap_star" not in plain
    (few / "annotations" / "instances_val2017.json").unlink()
    starred = numbers_at(accuracy.measure(SUBJECT, Context(data=coco_layout(few), lvis=lvis)))
    assert "ap" not in starred
    assert starred["ap_star"] > 0


def test_classes_that_lvis_lacks_are_no_error(few: Path, perfect: Perfect) -> None:
    path = few / "annotations" / "lvis.json"
    lvis = json.loads(path.read_bytes())
    before = numbers_at(accuracy.measure(SUBJECT, both(few)))
    gone = perfect.files.annotations[lvis["images"][0]["id"]][0].category_id
    lvis["categories"] = [category for category in lvis["categories"] if category["id"] != gone]
    lvis["annotations"] = [each for each in lvis["annotations"] if each["category_id"] != gone]
    for image in lvis["images"]:
        for name in ("neg_category_ids", "not_exhaustive_category_ids"):
            image[name] = [category for category in image[name] if category != gone]
    path.write_text(json.dumps(lvis))
    context = both(few)
    (few / "annotations" / "instances_val2017.json").unlink()
    values = numbers_at(accuracy.measure(SUBJECT, context))
    assert values["predictions"] == before["predictions"] - before["ap_star_left_out"]
    assert values["ap_star_classes"] == before["ap_star_classes"] - 1


@pytest.fixture
def hidden(few: Path) -> Path:
    """The images of `few` as test-dev, which has no annotations."""
    file = json.loads((few / "annotations" / "instances_val2017.json").read_bytes())
    listing = {"info": {}, "images": file["images"][1:], "categories": file["categories"], "licenses": []}
    (few / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(listing))
    (few / "val2017").rename(few / "test2017")
    return few


def test_test_dev_gives_the_zip_file_of_the_server(few: Path, perfect: Perfect, hidden: Path, tmp_path: Path) -> None:
    measurement = dev.measure(SUBJECT, Context(data=coco_layout(hidden)))
    stem = f"detections_test-dev2017_{SUBJECT.name}_results"
    content = measurement.files[f"{stem}.zip"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"{stem}.json"]
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        results = json.loads(archive.read(f"{stem}.json"))
    assert {frozenset(result) for result in results} == {
        frozenset({"image_id", "category_id", "segmentation", "score"})
    }
    assert {frozenset(result["segmentation"]) for result in results} == {frozenset({"size", "counts"})}
    values = numbers_at(measurement)
    assert len(results) == values["predictions"] > 0
    assert values["images"] == NUM_IMAGES - 1
    assert dev.measure(SUBJECT, Context(data=coco_layout(hidden))).files[f"{stem}.zip"] == content


def test_test_dev_says_what_is_missing(few: Path) -> None:
    with pytest.raises(ValueError, match=r"image_info_test-dev2017.json.*Testing Image info"):
        dev.measure(SUBJECT, Context(data=coco_layout(few)))
    assert dev.protocol(SUBJECT, Context(data=coco_layout(few)))["annotations"] is None


def test_test_dev_has_no_true_boxes(hidden: Path) -> None:
    with pytest.raises(ValueError, match="not public"):
        dev.measure(SUBJECT, Context(data=coco_layout(hidden), detections="ground_truth"))
    (hidden / "test2017").rename(hidden / "test")
    with pytest.raises(ValueError, match="test2017"):
        dev.measure(SUBJECT, Context(data=coco_layout(hidden)))
