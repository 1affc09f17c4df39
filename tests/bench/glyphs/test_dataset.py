"""Glyphs as samples: what the files would give, whoever makes them, with coarse or fine masks."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bench.data.augment import SMALL_TEST, SMALL_TRAINING
from bench.data.samples import Sample, collate
from bench.glyphs import CATEGORIES, GlyphDataset, Split, scene
from bench.glyphs.dataset import SEEDS, image_id

AS_IS = SMALL_TEST
"""The images have its size already."""


def glyphs(split: Split = "tune", num_images: int = 3, **changes: object) -> GlyphDataset:
    return GlyphDataset(split=split, num_images=num_images, **{"transform": AS_IS, **changes})


def equal(first: Sample, second: Sample) -> bool:
    assert first.objects is not None
    assert second.objects is not None
    return (
        first.image_id == second.image_id
        and torch.equal(first.pixels, second.pixels)
        and torch.equal(first.objects.boxes, second.objects.boxes)
        and torch.equal(first.objects.labels, second.objects.labels)
        and torch.equal(first.objects.masks, second.objects.masks)
    )


def test_fine_samples_are_the_scenes_objects() -> None:
    sample, made = glyphs(masks="fine")[1], scene(SEEDS["tune"], 1)
    assert sample.objects is not None
    assert sample.objects.labels.tolist() == [each.label for each in made.objects]
    np.testing.assert_array_equal(sample.objects.masks.numpy(), [each.mask for each in made.objects])
    x, y, width, height = made.objects[0].box
    assert sample.objects.boxes[0].tolist() == [x, y, x + width, y + height]
    assert sample.input_size == sample.original_size == (320, 320)
    assert sample.image_id == image_id("tune", 1) == 2_000_001


def test_coarse_samples_have_the_same_pixels_and_nearly_the_same_objects() -> None:
    coarse, fine = glyphs()[0], glyphs(masks="fine")[0]
    assert coarse.objects is not None
    assert fine.objects is not None
    assert torch.equal(coarse.pixels, fine.pixels)
    assert torch.equal(coarse.objects.labels, fine.objects.labels)
    assert (coarse.objects.boxes - fine.objects.boxes).abs().max() < 12
    assert (coarse.objects.masks & fine.objects.masks).sum() / fine.objects.masks.sum() > 0.8
    assert not torch.equal(coarse.objects.masks, fine.objects.masks)


def test_workers_and_epochs_change_what_they_should() -> None:
    dataset = glyphs(transform=SMALL_TRAINING)
    here = list(dataset)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="fork")
    assert all(equal(one, two) for one, two in zip(here, loader, strict=True))
    again = dataset.at(0)
    assert equal(again[2], here[2])
    sizes = {dataset.at(epoch)[2].input_size for epoch in range(6)}
    assert len(sizes) > 1
    assert glyphs(transform=SMALL_TRAINING, seed=1).at(3)[2].image_id == here[2].image_id


def test_splits_share_no_image() -> None:
    splits: tuple[Split, ...] = ("train", "tune", "test")
    assert len({SEEDS[split] for split in splits}) == 3
    ids = [image_id(split, index) for split in splits for index in (0, 999_999)]
    assert ids == sorted(set(ids))
    images = [glyphs(split)[0].pixels for split in splits]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_labels_are_positions_in_the_category_ids() -> None:
    dataset = glyphs()
    assert dataset.category_ids == tuple(category.id for category in CATEGORIES)
    assert dataset.category_ids == tuple(sorted(dataset.category_ids))


def test_the_content_names_what_changes_the_samples() -> None:
    names = [
        glyphs().content,
        glyphs(num_images=4).content,
        glyphs(masks="fine").content,
        glyphs(split="test").content,
    ]
    assert len(set(names)) == 4
    assert glyphs(transform=SMALL_TRAINING, seed=3).content == names[0]


def test_samples_make_batches() -> None:
    batch = collate(list(glyphs(transform=SMALL_TRAINING)))
    assert batch.objects is not None
    assert len(batch.images) == 3


@pytest.mark.parametrize("num_images", [0, -1, 1_000_001])
def test_impossible_numbers_of_images_are_refused(num_images: int) -> None:
    with pytest.raises(ValueError, match=r"were asked for; expected 1 to 1000000"):
        glyphs(num_images=num_images)


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_other_image(index: int) -> None:
    with pytest.raises(IndexError, match="has 3"):
        glyphs()[index]
