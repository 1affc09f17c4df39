"""Scenes: the same everywhere, exact masks that never overlap, and the mix of classes and sizes that was designed."""

import hashlib
import multiprocessing

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bench.data.segmentation import rasterise
from bench.glyphs import CATEGORIES, Scene, scene
from bench.glyphs.scene import _arranged, _image

SIDE = 320


def fingerprint(seed: int, index: int) -> str:
    made = scene(seed, index)
    content = hashlib.sha256(made.image.tobytes())
    for each in made.objects:
        content.update(repr((each.label, each.box, each.area)).encode())
        for array in (each.mask, *each.polygons):
            content.update(array.tobytes())
    return content.hexdigest()


def test_a_scene_is_the_same_in_any_order_and_process() -> None:
    asked = [(5, 3), (5, 4), (6, 3)]
    expected = [fingerprint(*each) for each in asked]
    assert len(set(expected)) == 3
    assert [fingerprint(*each) for each in reversed(asked)] == expected[::-1]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.starmap(fingerprint, asked) == expected


def test_a_scene_is_what_it_was() -> None:
    """The data set is named by its version: raise it with these numbers."""
    made = scene(1, 0)
    assert [CATEGORIES[each.label].name for each in made.objects] == ["star", "airplane", "hand", "wheelchair"]
    assert [each.area for each in made.objects] == pytest.approx([1104, 900, 1362, 827], rel=0.005)
    assert [len(each.polygons[0]) for each in made.objects] == pytest.approx([15, 44, 22, 23], abs=1)
    assert made.image.mean(axis=(0, 1)) == pytest.approx([157.97, 75.65, 105.77], abs=0.05)


def test_exact_masks_never_overlap(scenes: list[Scene]) -> None:
    for made in scenes:
        assert sum(each.mask.astype(int) for each in made.objects).max() == 1


def test_boxes_and_areas_are_those_of_the_masks(scenes: list[Scene]) -> None:
    for each in (each for made in scenes for each in made.objects):
        encoded = coco_mask.encode(np.asfortranarray(each.mask.view(np.uint8)))
        assert each.area == coco_mask.area(encoded) > 0
        assert each.box == tuple(coco_mask.toBbox(encoded).tolist())


def test_coarse_polygons_overlap_exact_masks_by_nine_tenths(scenes: list[Scene]) -> None:
    overlaps = []
    for each in (each for made in scenes for each in made.objects):
        (drawn,) = rasterise([[ring.ravel().tolist() for ring in each.polygons]], SIDE, SIDE).astype(bool)
        overlaps.append((drawn & each.mask).sum() / (drawn | each.mask).sum())
        corners = np.concatenate(each.polygons)
        assert corners.min() >= 0
        assert corners.max() <= SIDE
    assert 0.885 < np.mean(overlaps) < 0.915
    assert np.quantile(overlaps, 0.1) > 0.78
    assert min(overlaps) > 0.5


def test_scenes_have_two_to_six_objects_of_all_classes_and_sizes(scenes: list[Scene]) -> None:
    numbers = [len(made.objects) for made in scenes]
    assert set(numbers) == {2, 3, 4, 5, 6}
    objects = [each for made in scenes for each in made.objects]
    assert {each.label for each in objects} == set(range(len(CATEGORIES)))
    areas = np.array([each.area for each in objects])
    assert 0.08 < (areas < 32**2).mean() < 0.3
    assert 0.05 < (areas > 96**2).mean() < 0.25
    assert max(max(each.box[2:]) for each in objects) <= 242


def test_enough_of_every_object_is_seen() -> None:
    hidden = 0
    for seed in range(20):
        things, owner = _arranged(np.random.default_rng(seed))
        for place, thing in enumerate(things):
            num_seen = (owner == place).sum()
            assert num_seen >= thing.least
            assert thing.label is None or num_seen > 0
            hidden += num_seen < thing.filled.inside.sum()
    assert hidden > 10


def test_what_was_painted_last_is_on_top() -> None:
    for seed in range(10):
        things, owner = _arranged(np.random.default_rng(seed))
        for place, thing in enumerate(things):
            assert (owner[thing.filled.samples][thing.filled.inside] >= place).all()


def test_images_show_the_objects_where_their_masks_are() -> None:
    """The colour changes where another thing begins; one painted in the wrong order would hide such a place."""
    between_things, from_ground, everywhere = [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        things, owner = _arranged(rng)
        image = _image(rng, things).astype(np.float64)
        change = np.abs(np.diff(image, axis=1)).sum(axis=2)
        left, right = owner[2::4, 2::4][:, :-1], owner[2::4, 2::4][:, 1:]
        covered = (left >= 0).astype(int) + (right >= 0)
        between_things.append(change[(left != right) & (covered == 2)])
        from_ground.append(change[covered == 1])
        everywhere.append(change)
    usual = np.concatenate(everywhere).mean()
    assert np.concatenate(between_things).mean() > 4 * usual
    assert np.concatenate(from_ground).mean() > 4 * usual


def test_images_are_not_too_dark_or_bright(scenes: list[Scene]) -> None:
    for made in scenes:
        assert made.image.shape == (SIDE, SIDE, 3)
        assert 15 < made.image.mean() < 240
        assert made.image.std() > 8
