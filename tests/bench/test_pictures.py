"""Pictures of masks: the same objects for every head, what they show, how large the files are."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from PIL import Image

from bench.accuracy.ground_truth import read_ground_truth
from bench.coco import CocoImages, open_coco
from bench.data import Batch
from bench.glyphs import write
from bench.model import Boxes
from bench.plan import Context
from bench.probes import pictures
from bench.probes._chosen import NUM_OBJECTS, SMALLEST, _largest_piece, choose
from bench.record import Subject
from heads._assemble import Crop, ImagePredictions

SUBJECT = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")
NUM_IMAGES = 12


@dataclass
class Knowing:
    """A model that draws what the COCO file says, moved to the right by `shift` pixels."""

    files: CocoImages
    shift: int = 0
    empty: bool = False

    def predict(self, batch: Batch, given: Sequence[Boxes]) -> list[ImagePredictions]:
        (image_id,) = batch.image_ids
        masks = torch.from_numpy(self.files.masks(image_id)).bool()
        assert len(masks) == len(given[0].boxes)
        found = masks[:, :0, :0] if self.empty else masks
        return [
            ImagePredictions(
                size=self.files.sizes[image_id],
                labels=given[0].labels,
                scores=given[0].scores,
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
    return Context(coco=glyphs, lvis=glyphs / "annotations" / "glyphs_fine_val.json" if fine else None)


@pytest.fixture
def knowing(glyphs: Path, monkeypatch: pytest.MonkeyPatch) -> Knowing:
    model = Knowing(open_coco(glyphs))
    monkeypatch.setattr(pictures, "load", lambda subject, context, category_ids: model)
    return model


def pixels(content: bytes) -> UInt8[np.ndarray, "H W"]:
    return np.array(Image.open(io.BytesIO(content)).convert("L"))


def test_an_object_is_large_and_alone_in_its_image_and_class(glyphs: Path) -> None:
    truth = read_ground_truth(pictures_truth(glyphs))
    files = open_coco(glyphs)
    chosen = choose(truth, files)
    assert 1 < len(chosen) <= NUM_OBJECTS
    assert len({each.image_id for each in chosen}) == len({each.category_id for each in chosen}) == len(chosen)
    for each in chosen:
        width, height = each.box[2:] - each.box[:2]
        assert width * height >= SMALLEST**2
        rows, columns = np.nonzero(each.mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == tuple(each.box)
        assert np.abs(each.box - each.given).max() < SMALLEST / 2


def test_the_longest_outline_comes_first(glyphs: Path) -> None:
    def outline(mask: np.ndarray) -> float:
        inside = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        return (mask.sum() - inside.sum()) / np.sqrt(mask.sum())

    masks = [each.mask for each in choose(read_ground_truth(pictures_truth(glyphs)), open_coco(glyphs))]
    assert outline(masks[0]) > outline(masks[-1])


def pictures_truth(glyphs: Path) -> Path:
    return glyphs / "annotations" / "glyphs_fine_val.json"


def test_a_mask_like_the_truth_has_iou_1(glyphs: Path, knowing: Knowing) -> None:
    measurement = pictures.measure(SUBJECT, context_of(glyphs, fine=False))
    ious = {name: value for name, value in measurement.values.items() if "iou" in name}
    assert len(ious) == 2 * len(msgspec.json.decode(measurement.files["objects.json"]))
    assert set(ious.values()) == {1.0}
    assert measurement.units.keys() == measurement.values.keys()
    assert np.array_equal(pixels(measurement.files["object0-truth.png"]), pixels(measurement.files["object0-mask.png"]))


def test_fine_annotations_show_what_coarse_ones_lack(glyphs: Path, knowing: Knowing) -> None:
    values = pictures.measure(SUBJECT, context_of(glyphs)).values
    assert all(0.5 < value < 1 for name, value in values.items() if name.startswith("iou"))
    # A thin object is all boundary.
    pairs = [(values[f"boundary_{name}"], values[name]) for name in values if name.startswith("iou")]
    assert all(boundary <= mask for boundary, mask in pairs)
    assert any(boundary < mask for boundary, mask in pairs)


def test_boundaries_see_a_shift_that_masks_hardly_see(glyphs: Path, knowing: Knowing) -> None:
    knowing.shift = 2
    values = pictures.measure(SUBJECT, context_of(glyphs, fine=False)).values
    pairs = [(values[f"boundary_iou_{k}"], values[f"iou_{k}"]) for k in range(NUM_OBJECTS) if f"iou_{k}" in values]
    assert all(of_band <= of_mask < 1 for of_band, of_mask in pairs)  # of a thin object the band is all
    assert any(of_band < of_mask - 0.05 for of_band, of_mask in pairs)


def test_nothing_drawn_is_an_empty_picture(glyphs: Path, knowing: Knowing) -> None:
    knowing.empty = True
    measurement = pictures.measure(SUBJECT, context_of(glyphs))
    assert measurement.values["iou_0"] == measurement.values["boundary_iou_0"] == 0
    assert not pixels(measurement.files["object0-mask.png"]).any()
    assert pixels(measurement.files["object0-truth.png"]).any()


def test_pictures_show_the_window(glyphs: Path, knowing: Knowing) -> None:
    measurement = pictures.measure(SUBJECT, context_of(glyphs))
    for note in msgspec.json.decode(measurement.files["objects.json"]):
        left, top, right, bottom = note["window"]
        truth = pixels(measurement.files[f"object{note['number']}-truth.png"])
        assert truth.shape == (bottom - top, right - left)
        assert set(np.unique(truth)) == {0, 255}
        image = Image.open(io.BytesIO(measurement.files[f"object{note['number']}-image.png"])).convert("RGB")
        original = Image.open(glyphs / "val2017" / f"{note['image_id']:012d}.png").crop((left, top, right, bottom))
        small = np.array(original.resize(image.size, Image.Resampling.BOX), float)
        assert np.abs(np.array(image, float) - small).mean() < 8, "few colours, but the same picture"


def test_files_are_small_even_of_noise(glyphs: Path, knowing: Knowing) -> None:
    assert sum(map(len, pictures.measure(SUBJECT, context_of(glyphs)).files.values())) < 200_000
    noise = np.random.default_rng(0).integers(256, size=(480, 640, 3), dtype=np.uint8)
    assert len(pictures._small_png(Image.fromarray(noise))) <= 20_000


def test_an_image_that_is_small_enough_keeps_its_pixels() -> None:
    image = Image.linear_gradient("L").convert("RGB")
    assert Image.open(io.BytesIO(pictures._small_png(image))).size == image.size


def test_every_head_gets_the_same_objects(glyphs: Path, knowing: Knowing) -> None:
    first = pictures.measure(SUBJECT, context_of(glyphs)).files
    knowing.shift = 9
    second = pictures.measure(Subject(head="point_rend"), context_of(glyphs)).files
    same = {name for name in first if first[name] == second[name]}
    assert {name for name in first if "mask" not in name} <= same
    assert first["object0-mask.png"] != second["object0-mask.png"]
    protocols = [pictures.protocol(Subject(head=head), context_of(glyphs)) for head in ("mask_rcnn", "point_rend")]
    assert protocols[0] == protocols[1]
    assert str(protocols[0]["detections"]).startswith("ground_truth")


def test_no_large_object_is_an_error(glyphs: Path) -> None:
    truth = read_ground_truth(pictures_truth(glyphs))
    files = open_coco(glyphs)
    with pytest.raises(ValueError, match="Give more images"):
        choose(truth, CocoImages(**{**vars(files), "annotations": {}}))


def test_the_largest_piece_of_a_mask() -> None:
    mask = np.zeros((20, 20), bool)
    assert _largest_piece(mask) == 0
    mask[:9, :9] = True
    assert _largest_piece(mask) == 1
    mask[3:6, 3:6] = False  # a hole leaves it in one piece
    assert _largest_piece(mask) == 1
    mask[12:18, 12:18] = True
    assert _largest_piece(mask) == pytest.approx(2 / 3, abs=0.02)
