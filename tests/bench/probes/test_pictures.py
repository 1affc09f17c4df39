"""Pictures of masks: every large object counts, the extremes are shown, what files hold and how large they are."""

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import UInt8
from PIL import Image

from bench.contract import Context, Measurement
from bench.data.coco import CocoImages, open_images
from bench.data.ground_truth import read_ground_truth
from bench.data.layout import coco_layout
from bench.data.samples import Batch
from bench.glyphs import write
from bench.inference.image_run import ImageRun
from bench.inference.showable import SMALLEST, Drawn, candidates, extremes, is_one_piece, mask_of
from bench.model.assemble import Crop, ImagePredictions
from bench.model.segmenter import Boxes, DetectorOutput
from bench.probes import pictures
from bench.record import Subject
from heads import Detections
from tests.bench.found import numbers_at

SUBJECT = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")
NUM_IMAGES = 12


@dataclass
class Knowing:
    """A model that draws what the COCO file says, moved to the right by `shift` pixels."""

    files: CocoImages
    shift: int = 0
    empty: bool = False
    image_id: int = -1

    def detected(
        self, model: object, subject: Subject, context: Context, run: ImageRun
    ) -> Iterator[tuple[int, DetectorOutput]]:
        for batch in run.batches():
            given = run.given(batch)
            assert given is not None
            yield batch.image_ids[0], self.output(batch, given[0])

    def output(self, batch: Batch, boxes: Boxes) -> DetectorOutput:
        (self.image_id,) = batch.image_ids
        count = len(boxes.boxes)
        detections = Detections(
            boxes=boxes.boxes,
            image=torch.zeros(count, dtype=torch.int64),
            queries=torch.zeros(count, 1),
            region=torch.arange(count),
            labels=boxes.labels,
            scores=boxes.scores,
            region_counts=(count,),
            prediction_counts=(count,),
        )
        return DetectorOutput(
            pyramid={}, detections=detections, input_sizes=batch.input_sizes, original_sizes=batch.original_sizes
        )

    def masks(self, output: DetectorOutput) -> list[ImagePredictions]:
        masks = torch.from_numpy(self.files.masks(self.image_id)).bool()
        assert len(masks) == len(output.detections.boxes)
        found = masks[:, :0, :0] if self.empty else masks
        return [
            ImagePredictions(
                size=self.files.sizes[self.image_id],
                labels=output.detections.labels,
                scores=output.detections.scores,
                mask_index=torch.arange(len(masks)),
                crops=tuple(Crop(mask=mask[:, : mask.shape[1] - self.shift], top=0, left=self.shift) for mask in found),
            )
        ]


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glyphs")
    write(folder, "tune", NUM_IMAGES)
    return folder


def context_of(glyphs: Path, *, fine: bool = True) -> Context:
    return Context(data=coco_layout(glyphs), lvis=glyphs / "annotations" / "glyphs_fine_val.json" if fine else None)


@pytest.fixture
def knowing(glyphs: Path, monkeypatch: pytest.MonkeyPatch) -> Knowing:
    model = Knowing(open_images(coco_layout(glyphs).val))
    monkeypatch.setattr(pictures, "NUM_SHOWN", 2)  # pictures take most of the time
    monkeypatch.setattr(pictures, "load", lambda subject, context, category_ids: model)
    monkeypatch.setattr(pictures, "detected", model.detected)
    return model


def pixels(content: bytes) -> UInt8[np.ndarray, "H W"]:
    return np.array(Image.open(io.BytesIO(content)).convert("L"))


def test_candidates_are_large_and_have_a_box(glyphs: Path) -> None:
    truth = read_ground_truth(pictures_truth(glyphs))
    found = candidates(truth, open_images(coco_layout(glyphs).val))
    assert sum(map(len, found.values())) > NUM_IMAGES
    for image_id, of_image in found.items():
        for each in of_image:
            assert each.image_id == image_id == truth.image_ids[truth.image[each.row]]
            width, height = each.box[2:] - each.box[:2]
            assert width * height >= SMALLEST**2
            rows, columns = np.nonzero(mask_of(truth, each.row))
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == tuple(each.box)
            assert np.abs(each.box - each.given).max() < SMALLEST / 2


drawings = st.lists(
    st.builds(
        Drawn,
        row=st.integers(0, 10**6),
        image_id=st.integers(0, 9),
        category_id=st.integers(0, 9),
        boundary_iou=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    ),
    min_size=1,
    unique_by=lambda each: each.row,
)


@given(drawings, st.integers(1, 3), st.randoms(use_true_random=False))
def test_extremes_are_the_worst_and_the_best(drawn: list[Drawn], count: int, random: Random) -> None:
    rows = extremes(drawn, count)
    shuffled = list(drawn)
    random.shuffle(shuffled)
    assert extremes(shuffled, count) == rows, "the order of the images does not matter"
    assert 1 <= len(rows) == len(set(rows)) <= 2 * count
    scores = {each.row: each.boundary_iou for each in drawn}
    assert scores[rows[0]] == min(scores.values())
    assert max(scores.values()) in [scores[row] for row in rows]
    lowest = [each for each in drawn if each.boundary_iou == min(scores.values())]
    assert rows[0] == min(lowest, key=lambda each: (each.image_id, each.row)).row


def test_extremes_are_of_different_images_and_classes() -> None:
    places = [(1, 1, 0.1), (1, 2, 0.2), (2, 1, 0.3), (2, 2, 0.4), (3, 3, 0.9), (3, 4, 0.8), (4, 4, 0.7)]
    drawn = [
        Drawn(row=row, image_id=image, category_id=category, boundary_iou=score)
        for row, (image, category, score) in enumerate(places)
    ]
    assert extremes(drawn, 2) == [0, 3, 4, 6]
    assert extremes(drawn[:2], 2) == [0, 1], "none is shown twice"


def pictures_truth(glyphs: Path) -> Path:
    return glyphs / "annotations" / "glyphs_fine_val.json"


def mask_in(measurement: Measurement, row: int) -> UInt8[np.ndarray, "H W"]:
    """The mask of an object, as a report unpacks it."""
    arrays = measurement.samples
    place = arrays["rows"].tolist().index(row)
    left, top, right, bottom = arrays["windows"][place].tolist()
    pieces = np.split(arrays["masks"], arrays["mask_ends"][:-1])
    bits = np.unpackbits(np.frombuffer(zlib.decompress(pieces[place].tobytes()), np.uint8))
    return bits[: (bottom - top) * (right - left)].reshape(bottom - top, right - left) * np.uint8(255)


def test_a_mask_like_the_truth_has_iou_1(glyphs: Path, knowing: Knowing) -> None:
    measurement = pictures.measure(SUBJECT, context_of(glyphs, fine=False))
    numbers = numbers_at(measurement)
    assert numbers["objects"] == len(measurement.samples["rows"]) > NUM_IMAGES
    assert set(measurement.samples["ious"]) == set(measurement.samples["boundary_ious"]) == {1.0}
    assert numbers["iou_mean"] == numbers["boundary_iou_p10"] == numbers["boundary_iou_median"] == 1
    assert [value.unit for value in measurement.values] == ["objects", "", "", "", "", "", "images", "images"]
    for note in msgspec.json.decode(measurement.files["objects.json"]):
        truth = pixels(measurement.files[f"object{note['row']}-truth.png"])
        assert np.array_equal(truth, mask_in(measurement, note["row"]))


def test_every_object_of_every_image_counts(glyphs: Path, knowing: Knowing) -> None:
    truth = read_ground_truth(pictures_truth(glyphs))
    samples = pictures.measure(SUBJECT, context_of(glyphs)).samples
    found = candidates(truth, open_images(coco_layout(glyphs).val))
    expected = [each.row for of_image in found.values() for each in of_image if is_one_piece(mask_of(truth, each.row))]
    assert sorted(samples["rows"].tolist()) == sorted(expected)
    assert samples["image_ids"].tolist() == truth.image_ids[truth.image[samples["rows"]]].tolist()


def test_fine_annotations_show_what_coarse_ones_lack(glyphs: Path, knowing: Knowing) -> None:
    samples = pictures.measure(SUBJECT, context_of(glyphs)).samples
    assert ((samples["ious"] > 0.5) & (samples["ious"] < 1)).all()
    assert np.isclose(samples["boundary_ious"], samples["ious"]).any(), "a thin object is all boundary"
    assert samples["boundary_ious"].mean() < samples["ious"].mean()


def test_boundaries_see_a_shift_that_masks_hardly_see(glyphs: Path, knowing: Knowing) -> None:
    knowing.shift = 2
    samples = pictures.measure(SUBJECT, context_of(glyphs, fine=False)).samples
    assert (samples["ious"] < 1).all()
    assert (samples["boundary_ious"] <= samples["ious"]).all()  # of a thin object the band is all
    assert (samples["boundary_ious"] < samples["ious"] - 0.05).any()


def test_nothing_drawn_is_an_empty_mask(glyphs: Path, knowing: Knowing) -> None:
    knowing.empty = True
    measurement = pictures.measure(SUBJECT, context_of(glyphs))
    assert numbers_at(measurement)["iou_mean"] == numbers_at(measurement)["boundary_iou_mean"] == 0
    note, *_ = msgspec.json.decode(measurement.files["objects.json"])
    assert not mask_in(measurement, note["row"]).any()
    assert pixels(measurement.files[f"object{note['row']}-truth.png"]).any()


def test_pictures_are_of_the_extremes(glyphs: Path, knowing: Knowing) -> None:
    measurement = pictures.measure(SUBJECT, context_of(glyphs))
    shown = [note["row"] for note in msgspec.json.decode(measurement.files["objects.json"])]
    scores = dict(zip(measurement.samples["rows"].tolist(), measurement.samples["boundary_ious"], strict=True))
    assert len(shown) == 4
    assert scores[shown[0]] == min(scores.values())
    assert scores[shown[2]] == max(scores.values())
    assert {name for name in measurement.files if name.endswith("truth.png")} == {f"object{k}-truth.png" for k in shown}


def test_pictures_show_the_window(glyphs: Path, knowing: Knowing) -> None:
    measurement = pictures.measure(SUBJECT, context_of(glyphs))
    for note in msgspec.json.decode(measurement.files["objects.json"]):
        left, top, right, bottom = note["window"]
        truth = pixels(measurement.files[f"object{note['row']}-truth.png"])
        assert truth.shape == mask_in(measurement, note["row"]).shape == (bottom - top, right - left)
        assert set(np.unique(truth)) == {0, 255}
        image = Image.open(io.BytesIO(measurement.files[f"object{note['row']}-image.png"])).convert("RGB")
        original = Image.open(glyphs / "val2017" / f"{note['image_id']:012d}.png").crop((left, top, right, bottom))
        small = np.array(original.resize(image.size, Image.Resampling.BOX), float)
        assert np.abs(np.array(image, float) - small).mean() < 8, "few colours, but the same picture"


def test_files_are_small_even_of_noise(glyphs: Path, knowing: Knowing) -> None:
    measurement = pictures.measure(SUBJECT, context_of(glyphs))
    assert sum(map(len, measurement.files.values())) < 2 * pictures.NUM_SHOWN * 22_000
    assert measurement.samples["masks"].nbytes < 600 * numbers_at(measurement)["objects"]
    noise = np.random.default_rng(0).integers(256, size=(480, 640, 3), dtype=np.uint8)
    assert len(pictures._small_png(Image.fromarray(noise))) <= 20_000


def test_an_image_that_is_small_enough_keeps_its_pixels() -> None:
    image = Image.linear_gradient("L").convert("RGB")
    assert Image.open(io.BytesIO(pictures._small_png(image))).size == image.size


def test_every_head_draws_the_same_objects(glyphs: Path, knowing: Knowing) -> None:
    first = pictures.measure(SUBJECT, context_of(glyphs)).samples
    knowing.shift = 9
    second = pictures.measure(Subject(head="point_rend"), context_of(glyphs)).samples
    assert np.array_equal(first["rows"], second["rows"])
    assert np.array_equal(first["windows"], second["windows"])
    assert first["masks"].tobytes() != second["masks"].tobytes()
    protocols = [pictures.protocol(Subject(head=head), context_of(glyphs)) for head in ("mask_rcnn", "point_rend")]
    assert protocols[0] == protocols[1]
    assert str(protocols[0]["detections"]).startswith("ground_truth")


def test_no_large_object_is_an_error(glyphs: Path) -> None:
    truth = read_ground_truth(pictures_truth(glyphs))
    files = open_images(coco_layout(glyphs).val)
    with pytest.raises(ValueError, match="Give more images"):
        candidates(truth, CocoImages(**{**vars(files), "annotations": {}}))


def test_no_object_in_one_piece_is_an_error(glyphs: Path, knowing: Knowing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "is_one_piece", lambda mask: False)
    with pytest.raises(ValueError, match="Give more images"):
        pictures.measure(SUBJECT, context_of(glyphs))


def test_one_piece_is_most_of_the_area() -> None:
    mask = np.zeros((20, 20), bool)
    assert not is_one_piece(mask)
    mask[:9, :9] = True
    assert is_one_piece(mask)
    mask[3:6, 3:6] = False  # a hole leaves it in one piece
    assert is_one_piece(mask)
    mask[12:14, 12:14] = True
    assert is_one_piece(mask)
    mask[12:18, 12:18] = True
    assert not is_one_piece(mask)
