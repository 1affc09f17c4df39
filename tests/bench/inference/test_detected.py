"""What the detector sees is computed once for heads on one detector, and again for everything that it depends on."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from bench.contract import Context
from bench.data.layout import coco_layout
from bench.glyphs import write
from bench.inference import detected
from bench.inference.image_run import open_run, with_true_boxes
from bench.inference.predict import Found, predict
from bench.model import weights_folder
from bench.model.build import load
from bench.model.segmenter import Segmenter
from bench.planning import own_data
from bench.planning.recipes import embedded as shipped
from bench.record import Subject

NUM_IMAGES = 2


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glyphs")
    write(folder, "test", NUM_IMAGES)
    return folder


@pytest.fixture
def context(images: Path) -> Context:
    return Context(data=coco_layout(images), weights=own_data.SHIPPED)


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The images that a backbone saw, one after the other."""
    monkeypatch.setattr(detected, "_last", None)
    seen: list[int] = []
    detect = Segmenter.detect

    def noted(self: Segmenter, batch, *rest):  # type: ignore[no-untyped-def]
        seen.extend(batch.image_ids)
        return detect(self, batch, *rest)

    monkeypatch.setattr(Segmenter, "detect", noted)
    return seen


def found(subject: Subject, context: Context) -> Found:
    return predict(subject, context, open_run(subject, context))


def alone(subject: Subject, context: Context) -> bytes:
    """What the head predicts when nothing was kept."""
    detected._last = None
    result = found(subject, context).content
    detected._last = None
    return result


@pytest.mark.parametrize("true_boxes", [False, True])
def test_heads_share_what_the_detector_saw_bit_for_bit(context: Context, walked: list[int], true_boxes: bool) -> None:
    context = with_true_boxes(context) if true_boxes else context
    heads = [shipped(head) for head in ("mask_rcnn", "effseg")]
    expected = [alone(head, context) for head in heads]
    assert len(walked) == 2 * NUM_IMAGES
    assert [found(head, context).content for head in heads] == expected
    assert len(walked) == 3 * NUM_IMAGES


def test_other_boxes_images_dtypes_and_detectors_are_looked_at_again(
    context: Context, walked: list[int], tmp_path: Path
) -> None:
    head = shipped("mask_rcnn")
    found(head, context)
    other = tmp_path / "weights"
    shutil.copytree(own_data.SHIPPED, other)
    detector = weights_folder.file(other, weights_folder.DETECTOR)
    detector.write_bytes(detector.read_bytes() + b" ")
    for changed in (
        with_true_boxes(context),
        dataclasses.replace(context, images=1),
        dataclasses.replace(context, dtype="bfloat16"),
    ):
        before = len(walked)
        found(head, changed)
        assert len(walked) - before == (changed.images or NUM_IMAGES)
    keys = [
        detected._key(head, each, open_run(head, each))
        for each in (context, dataclasses.replace(context, weights=other))
    ]
    assert keys[0] != keys[1]


def test_a_whole_model_has_a_detector_of_its_own(context: Context) -> None:
    head = shipped("mask_rcnn")
    own = dataclasses.replace(context, weights=None)
    assert detected._key(head, own, open_run(head, own)) is None


def test_unreadable_images_are_said_again(context: Context, walked: list[int], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    assert context.data is not None
    shutil.copytree(context.data.root, broken)
    next(iter(sorted((broken / "val2017").iterdir()))).write_bytes(b"no image")
    context = dataclasses.replace(context, data=coco_layout(broken))
    first, second = (found(shipped(head), context) for head in ("mask_rcnn", "effseg"))
    assert len(walked) == NUM_IMAGES - 1
    assert [skip.image_id for skip in first.skipped] == [skip.image_id for skip in second.skipped]
    assert len(first.skipped) == 1


@pytest.mark.parametrize("stop", ["size", "disk"])
def test_without_room_every_head_looks(
    context: Context, walked: list[int], monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    expected = alone(shipped("effseg"), context)
    walked.clear()
    if stop == "size":
        monkeypatch.setattr(detected, "_MOST_BYTES", 3_000_000)  # one output and a half
    else:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", full)
    found(shipped("mask_rcnn"), context)
    assert found(shipped("effseg"), context).content == expected
    assert len(walked) == 2 * NUM_IMAGES


def test_a_look_is_all_that_a_head_needs(context: Context, walked: list[int]) -> None:
    head = shipped("refine_mask")
    run = open_run(head, context)
    model = load(head, context, run.files.category_ids)
    (batch, *_) = run.batches()
    (whole,) = model.predict(batch)
    (parted,) = model.masks(model.detect(batch))
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(whole.crops, parted.crops, strict=True))
    assert torch.equal(whole.scores, parted.scores)
