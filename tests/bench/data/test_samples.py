"""Samples and batches: ground truth in step with the pixels, padding zero, skipped images counted, draws repeatable."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bench.data.augment import PAPER_TEST, PAPER_TRAINING, SMALL_TEST, SMALL_TRAINING, Picture, Resize
from bench.data.coco import open_images
from bench.data.layout import coco_layout
from bench.data.samples import Batch, CocoDataset, Objects, Sample, Skipped, collate, normalised, readable

AS_IS = Resize(short=20, long=100)


@pytest.fixture
def dataset(tmp_path: Path) -> CocoDataset:
    """Four images of 20 x 30: three objects and one without pixels; nothing; truncated; another size than annotated.

    The box of the third object is not its own.
    """
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotations").mkdir()
    paths = [tmp_path / "val2017" / f"{image_id:012d}.jpg" for image_id in (1, 2, 3, 4)]
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for path in paths:
        Image.fromarray(noise).save(path)
    paths[2].write_bytes(paths[2].read_bytes()[:-300])
    Image.new("RGB", (33, 22)).save(paths[3])
    square = [[2, 4, 12, 4, 12, 14, 2, 14]]
    annotations = [
        {"category_id": 9, "bbox": [2, 4, 10, 10], "segmentation": square},
        {"category_id": 5, "bbox": [-5, -5, 50, 50], "segmentation": {"size": [20, 30], "counts": [0, 600]}},
        {"category_id": 5, "bbox": [2, 4, 0.25, 10], "segmentation": square},
        {"category_id": 5, "bbox": [2, 4, 10, 10], "segmentation": [[2, 4, 12, 4]]},
    ]
    file = {
        "images": [{"id": image_id, "height": 20, "width": 30} for image_id in (1, 2, 3, 4)],
        "annotations": [{"id": i + 1, "image_id": 1, **entry} for i, entry in enumerate(annotations)],
        "categories": [{"id": 5}, {"id": 9}],
    }
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(file))
    return CocoDataset(files=open_images(coco_layout(tmp_path).val), transform=AS_IS)


def sample(dataset: CocoDataset, index: int) -> Sample:
    item = dataset[index]
    assert isinstance(item, Sample)
    return item


def test_ground_truth_is_clipped_relabelled_and_dropped_without_a_pixel(dataset: CocoDataset) -> None:
    first = sample(dataset, 0)
    assert first.objects is not None
    assert first.objects.boxes.tolist() == [[2, 4, 12, 14], [0, 0, 30, 20], [2, 4, 12, 14]]
    assert first.objects.labels.tolist() == [1, 0, 0]
    assert first.objects.masks.sum((1, 2)).tolist() == [100, 600, 100]
    assert first.objects.masks[0, 4:14, 2:12].all()
    assert first.input_size == first.original_size == (20, 30)


def test_boxes_and_masks_scale_with_the_input(dataset: CocoDataset) -> None:
    files = dataset.files
    first = sample(CocoDataset(files=files, transform=Resize(short=40, long=60)), 0)
    assert first.objects is not None
    assert first.input_size == (40, 60)
    assert first.original_size == (20, 30)
    assert first.objects.boxes.tolist() == [[4, 8, 24, 28], [0, 0, 60, 40], [4, 8, 24, 28]]
    assert first.objects.masks.sum((1, 2)).tolist() == [400, 2400, 400]


def test_nothing_annotated_differs_from_nothing_known(dataset: CocoDataset) -> None:
    empty = sample(dataset, 1)
    assert empty.objects is not None
    assert empty.objects.masks.shape == (0, 20, 30)
    unknown = sample(CocoDataset(files=dataset.files, transform=AS_IS, with_objects=False), 0)
    assert unknown.objects is None


def test_unreadable_images_are_collected_with_their_reasons(dataset: CocoDataset) -> None:
    skipped: list[Skipped] = []
    assert [found.image_id for found in readable(dataset, skipped)] == [1, 2]
    assert [found.image_id for found in skipped] == [3, 4]
    assert "truncated" in skipped[0].reason
    assert "22 x 33 pixels" in skipped[1].reason


def test_a_batch_pads_with_zeros_and_keeps_what_was_skipped(dataset: CocoDataset) -> None:
    large = sample(CocoDataset(files=dataset.files, transform=Resize(short=40, long=50)), 0)
    batch = collate([sample(dataset, 1), Skipped(image_id=7, reason="why"), large])
    assert batch.images.shape == (2, 3, 33, 50)
    assert batch.input_sizes == ((20, 30), (33, 50))
    assert batch.original_sizes == ((20, 30), (20, 30))
    assert batch.image_ids == (2, 1)
    assert batch.skipped == (Skipped(image_id=7, reason="why"),)
    assert not batch.images[0, :, 20:].any()
    assert not batch.images[0, :, :, 30:].any()
    assert batch.images[0, :, :20, :30].all()
    assert torch.equal(batch.images[1], large.pixels)
    assert batch.objects is not None
    assert [len(objects.labels) for objects in batch.objects] == [0, 3]


def test_one_image_of_unknown_truth_leaves_the_batch_without(dataset: CocoDataset) -> None:
    unknown = sample(CocoDataset(files=dataset.files, transform=AS_IS, with_objects=False), 0)
    assert collate([sample(dataset, 0), unknown]).objects is None
    assert collate([Skipped(image_id=1, reason="")]).images.shape == (0, 3, 0, 0)


def test_a_batch_moves_as_a_whole(dataset: CocoDataset) -> None:
    batch = collate([sample(dataset, 0)]).to("meta")
    assert batch.objects is not None
    tensors = [batch.images, batch.objects[0].boxes, batch.objects[0].labels, batch.objects[0].masks]
    assert all(tensor.is_meta for tensor in tensors)


def test_normalisation_is_that_of_imagenet_weights() -> None:
    pixels = normalised(Image.new("RGB", (2, 1), (0, 128, 255)))
    expected = [-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(pixels, torch.tensor(expected)[:, None, None].expand(3, 1, 2))


def fingerprint(batches: Iterator[Batch] | DataLoader[Batch]) -> list[tuple[tuple[int, ...], float]]:
    return [(tuple(batch.images.shape), float(batch.images.double().sum())) for batch in batches]


def test_draws_depend_on_seed_epoch_and_index_alone(dataset: CocoDataset) -> None:
    files = dataset.files

    def draws(index: int, seed: int, epoch: int) -> list[int]:
        numbers: list[int] = []

        def drawing(picture: Picture, generator: torch.Generator) -> Picture:
            numbers.extend(torch.randint(2**40, (2,), generator=generator).tolist())
            return picture

        CocoDataset(files=files, transform=drawing, seed=seed).at(epoch).read(index)
        return numbers

    settings = [(index, seed, epoch) for index in (0, 1) for seed in (0, 1) for epoch in (0, 1)]
    first = {setting: draws(*setting) for setting in settings}
    assert {setting: draws(*setting) for setting in reversed(settings)} == first
    assert len({tuple(numbers) for numbers in first.values()}) == len(settings)


def test_workers_change_nothing(coco_mini: Path) -> None:
    dataset = CocoDataset(files=open_images(coco_layout(coco_mini).val, num_images=4), transform=SMALL_TRAINING, seed=3)
    alone = fingerprint(DataLoader(dataset, batch_size=2, collate_fn=collate))
    workers = min(2, len(os.sched_getaffinity(0)))
    assert fingerprint(DataLoader(dataset, batch_size=2, collate_fn=collate, num_workers=workers)) == alone
    assert fingerprint(collate([dataset[i], dataset[i + 1]]) for i in (0, 2)) == alone
    assert fingerprint(DataLoader(dataset.at(1), batch_size=2, collate_fn=collate)) != alone


def enclosed(objects: Objects, shift: float) -> bool:
    """Whether every mask lies in its box, up to `shift` pixels."""
    for (left, top, right, bottom), mask in zip(objects.boxes.tolist(), objects.masks, strict=True):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        if not (left - shift <= columns.min() and columns.max() + 1 <= right + shift):
            return False
        if not (top - shift <= rows.min() and rows.max() + 1 <= bottom + shift):
            return False
    return True


@pytest.mark.parametrize("epoch", range(3))
def test_real_images_stay_in_step_through_the_augmentation(epoch: int, coco_mini: Path) -> None:
    files = open_images(coco_layout(coco_mini).val, lvis=coco_mini / "annotations" / "lvis_v0.5_val_cocofied.json")
    for transform, indices in ((SMALL_TRAINING, range(epoch, 276, 40)), (PAPER_TRAINING, [10 * epoch])):
        for index in indices:
            found = sample(CocoDataset(files=files, transform=transform, epoch=epoch), index)
            assert found.pixels.shape[1:] == found.input_size
            assert (found.objects is None) == (found.image_id not in files.annotations)
            if found.objects is None:
                continue
            assert found.objects.masks.shape[1:] == found.input_size
            assert ((found.objects.boxes[:, 2:] - found.objects.boxes[:, :2]) >= 1).all()
            assert (found.objects.boxes >= 0).all()
            # a pixel of the polygon's rasterisation, enlarged, and "nearest" twice
            assert enclosed(found.objects, shift=3 if transform is SMALL_TRAINING else 5)


def test_real_images_at_test_time(coco_mini: Path) -> None:
    files = open_images(coco_layout(coco_mini).val)
    for index in (70, 140):
        paper = sample(CocoDataset(files=files, transform=PAPER_TEST), index)
        small = sample(CocoDataset(files=files, transform=SMALL_TEST), index)
        assert min(paper.input_size) == 800 or max(paper.input_size) == 1333
        assert max(small.input_size) == 320
        assert paper.objects is not None
        assert small.objects is not None
        assert enclosed(paper.objects, shift=3)
        assert 0 < len(paper.objects.labels) <= len(files.annotations[paper.image_id])
        assert -2.2 < float(paper.pixels.min()) < float(paper.pixels.max()) < 2.7


def test_a_grey_photograph_is_read(coco_mini: Path) -> None:
    files = open_images(coco_layout(coco_mini).train, num_images=20)
    with Image.open(files.paths[86]) as image:
        assert image.mode == "L"
    found = sample(CocoDataset(files=files, transform=SMALL_TEST), files.ids.index(86))
    assert found.pixels.shape[0] == 3
