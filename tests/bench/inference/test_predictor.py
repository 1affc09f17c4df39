"""A model that takes pictures as they are."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import bench
from bench.contract import Context
from bench.data.augment import SMALL_TEST, Picture
from bench.data.images import Unreadable
from bench.data.samples import collate, draws, sample_of
from bench.glyphs import scene
from bench.inference import image_run
from bench.inference.given_boxes import GivenBoxes
from bench.inference.predictor import Predictor, predictor, trained_files
from bench.model.assemble import encode
from bench.model.build import load
from bench.model.task import Task
from bench.model.weights import task_of
from bench.planning.own_data import SHIPPED

SFM = "effseg-sfm-small_fpn-small-glyphs-seed0.safetensors"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "glyphs.png"
    Image.fromarray(scene(3, 4).image).save(path)
    return path


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return predictor(SHIPPED)


def test_it_finds_what_the_segmenter_finds(photo: Path, shipped: Predictor) -> None:
    image = Image.open(photo).convert("RGB")
    size = (image.height, image.width)
    empty = torch.zeros(0, *size, dtype=torch.uint8)
    picture = Picture.of(image, torch.zeros(0, 4), empty, torch.zeros(0, dtype=torch.int64))
    batch = collate([sample_of(SMALL_TEST(picture, draws(0, 0, 0)), 1, size)])
    model = load(shipped.task.subject, Context(weights=SHIPPED))
    (wanted,) = model.predict(batch)
    found = shipped(photo)
    assert len(found) == len(wanted.labels) > 10
    order = np.argsort(-wanted.scores.numpy(), kind="stable").tolist()
    assert found.scores.tolist() == wanted.scores[order].tolist()
    assert [shipped.task.category_ids.index(each) for each in found.class_ids] == wanted.labels[order].tolist()
    masks = encode(wanted)
    assert [each["segmentation"] for each in found.coco_results(1)] == [masks[each] for each in order]
    assert (np.diff(found.scores) <= 0).all()


def test_boxes_hold_their_masks(photo: Path, shipped: Predictor) -> None:
    found = shipped(photo)
    for box, mask in zip(found.boxes, found.masks, strict=True):
        rows, columns = np.nonzero(mask)
        assert box[0] - 1 <= columns.min()
        assert columns.max() <= box[2] + 1
        assert box[1] - 1 <= rows.min()
        assert rows.max() <= box[3] + 1


def test_a_file_an_image_and_an_array_are_one_picture(photo: Path, shipped: Predictor) -> None:
    image = Image.open(photo)
    by_file = shipped(str(photo))
    for given in (image, np.array(image.convert("RGB"))):
        assert shipped(given).scores.tolist() == by_file.scores.tolist()


def test_files_are_turned_as_viewers_show_them_and_images_are_not(tmp_path: Path, shipped: Predictor) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (40, 30)).save(path, exif=exif)
    assert shipped(path).size == (40, 30)
    assert shipped(Image.open(path)).size == (30, 40)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (40, 30)])
def test_any_mode_and_size(mode: str, size: tuple[int, int], shipped: Predictor) -> None:
    found = shipped(Image.new(mode, size))
    assert found.size == (size[1], size[0])
    assert found.overlay().size == size


def test_pictures_that_are_none(tmp_path: Path, shipped: Predictor) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(Unreadable, match=r"bad\.jpg"):
        shipped(tmp_path / "bad.jpg")
    with pytest.raises(ValueError, match=r"bad\.jpg.*convert or replace it"):
        bench.predict(tmp_path / "bad.jpg")
    for array in (np.zeros((3, 4, 3)), np.zeros((3, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="expected height x width x 3 of uint8"):
            shipped(array)


def test_masks_in_given_boxes(photo: Path, shipped: Predictor) -> None:
    best = shipped(photo, min_score=0.4)
    found = shipped(photo, boxes=GivenBoxes.of(best.boxes, best.class_ids))
    assert len(found) == len(best) >= 3
    for box, mask, class_id in zip(best.boxes, best.masks, best.class_ids, strict=True):
        place = int(np.abs(found.boxes - box).sum(1).argmin())
        assert found.class_ids[place] == class_id
        common, union = (found.mask(place) & mask).sum(), (found.mask(place) | mask).sum()
        assert common / union > 0.8
    assert (found.scores > best.scores).all(), "the score of a given box is 1, times that of its mask"


def test_a_box_far_outside_the_picture_is_named(photo: Path, shipped: Predictor) -> None:
    boxes = GivenBoxes.of([[0, 0, 20, 20], [0, 0, 1e9, 1e9]])
    with pytest.raises(ValueError, match=r"A box is \[0.0, 0.0, 1000000000.0, .*; expected left, top, right, bottom"):
        shipped(photo, boxes=boxes)


def test_without_classes_the_detector_says_them(photo: Path, shipped: Predictor) -> None:
    best = shipped(photo, min_score=0.4)
    found = bench.predict(photo, boxes=best.boxes.tolist(), min_score=0)
    assert sorted(found.class_names) == sorted(best.class_names)
    assert found.scores.max() < 1


def test_no_boxes_and_more_than_there_are_queries(photo: Path, shipped: Predictor) -> None:
    assert len(shipped(photo, boxes=GivenBoxes.of([]))) == 0
    side = np.arange(12) * 25.0
    corners = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    boxes = np.concatenate([corners, corners + 30], 1)
    found = shipped(photo, boxes=GivenBoxes.of(boxes, [101] * len(boxes)))
    assert 100 < len(found) <= 144


def test_boxes_that_are_none() -> None:
    for boxes, said in (
        ([[10, 10, 5, 20]], "right beyond left"),
        ([[0, 0, float("nan"), 2]], "remove it"),
        ([[1, 2, 3]], "shape"),
    ):
        with pytest.raises(ValueError, match=said):
            GivenBoxes.of(boxes)
    with pytest.raises(ValueError, match="2 scores"):
        GivenBoxes.of([[0, 0, 1, 1]], None, [1, 2])
    with pytest.raises(ValueError, match="boxes of the class 7; expected those of the weights, 101"):
        bench.predict(np.zeros((30, 40, 3), np.uint8), boxes=[[0, 0, 10, 10]], class_ids=[7])


def test_a_model_is_loaded_once_and_again_when_its_file_changes(tmp_path: Path) -> None:
    for name in ("detector.safetensors", SFM):
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    first = predictor(tmp_path)
    assert predictor(tmp_path, head="effseg") is first
    tensors = {name: tensor + 1 for name, tensor in load_file(tmp_path / SFM).items()}
    task = task_of([SHIPPED / SFM])
    save_file(tensors, tmp_path / SFM, metadata={"task": msgspec.json.encode(task).decode()})
    assert predictor(tmp_path) is not first


def test_a_folder_or_a_file_of_weights() -> None:
    detector = SHIPPED / "detector.safetensors"
    assert trained_files(SHIPPED, None) == (detector, SHIPPED / SFM)
    rcnn = SHIPPED / "mask_rcnn-small_fpn-small-glyphs-seed0.safetensors"
    assert trained_files(SHIPPED, "mask_rcnn") == (detector, rcnn)
    assert trained_files(rcnn, None) == (detector, rcnn)


def test_weights_that_are_not_there_or_do_not_fit(tmp_path: Path) -> None:
    rcnn = SHIPPED / "mask_rcnn-small_fpn-small-glyphs-seed0.safetensors"
    (tmp_path / rcnn.name).write_bytes(rcnn.read_bytes())
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    for weights, head, said in (
        (SHIPPED, "efseg", "no head named 'efseg'"),
        (tmp_path / "nowhere", None, "There are no weights"),
        (tmp_path, None, "no weights of the head effseg: it has mask_rcnn"),
        (rcnn, "effseg", "holds weights of mask_rcnn; expected the head effseg"),
        (SHIPPED / "detector.safetensors", None, "holds a detector alone"),
        (tmp_path / "foreign.safetensors", None, "does not say what it was trained for"),
        (tmp_path / rcnn.name, None, "holds a head alone"),
    ):
        with pytest.raises(ValueError, match=said):
            predictor(weights, head=head)


def test_the_input_size_is_that_of_the_training() -> None:
    task = task_of([SHIPPED / SFM])
    assert task is not None
    assert image_run.test_transform(task.subject, task) == SMALL_TEST
    other = msgspec.structs.replace(task, input_size=(256, 512))
    found = image_run.test_transform(task.subject, other)
    assert (found.short, found.long) == (256, 512)


def test_older_notes_are_read() -> None:
    note = b'{"subject": {"head": "effseg"}, "category_ids": [1], "data": "d"}'
    assert msgspec.json.decode(note, type=Task).category_names == ()


def test_importing_bench_imports_neither_torch_nor_pillow() -> None:
    code = (
        "import sys, bench; bench.predict; sys.exit(bool({'torch', 'PIL', 'numpy'} & sys.modules.keys() - {'numpy'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
