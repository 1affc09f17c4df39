"""Written glyphs: read by every reader we have, equal to those made on the fly, and scored 100 when exact."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from bench.accuracy.average_precision import metrics, num_classes
from bench.accuracy.matching import match
from bench.accuracy.predictions import from_results
from bench.accuracy.protocol import PRESETS
from bench.data.augment import SMALL_TEST
from bench.data.coco import open_images
from bench.data.ground_truth import GroundTruth, read_ground_truth
from bench.data.layout import coco_layout
from bench.data.samples import CocoDataset, Sample
from bench.glyphs import CATEGORIES, GlyphDataset, Scene, files, scene, write
from bench.glyphs.dataset import SEEDS

NUM_IMAGES = 8


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("glyphs") / "new" / "folder"
    write(out, "test", NUM_IMAGES)
    return out


def coarse_file(out: Path) -> Path:
    return out / "annotations" / "instances_val2017.json"


def fine_file(out: Path) -> Path:
    return out / "annotations" / "glyphs_fine_val.json"


def test_files_give_the_samples_that_are_made_on_the_fly(written: Path) -> None:
    images = open_images(coco_layout(written).val, lvis=fine_file(written))
    made = GlyphDataset(split="test", num_images=NUM_IMAGES, transform=SMALL_TEST)
    assert images.category_ids == made.category_ids
    for read, expected in zip(CocoDataset(files=images, transform=SMALL_TEST), made, strict=True):
        assert isinstance(read, Sample)
        assert read.objects is not None
        assert expected.objects is not None
        assert read.image_id == expected.image_id
        assert torch.equal(read.pixels, expected.pixels)
        assert torch.equal(read.objects.boxes, expected.objects.boxes)
        assert torch.equal(read.objects.labels, expected.objects.labels)
        assert torch.equal(read.objects.masks, expected.objects.masks)


def test_fine_masks_are_exact(written: Path) -> None:
    library = COCO(str(fine_file(written)))
    for index, image_id in enumerate(sorted(library.imgs)):
        annotations = [library.anns[i] for i in library.getAnnIds(imgIds=image_id)]
        objects = scene(SEEDS["test"], index).objects
        assert [each["category_id"] for each in annotations] == [CATEGORIES[each.label].id for each in objects]
        for annotation, each in zip(annotations, objects, strict=True):
            np.testing.assert_array_equal(library.annToMask(annotation), each.mask)
            assert annotation["area"] == each.area


def test_every_class_was_looked_for_in_every_image(written: Path) -> None:
    truth = read_ground_truth(fine_file(written))
    present = set(zip(truth.image.tolist(), truth.category.tolist(), strict=True))
    absent = {(image, category) for image, category in truth.negative.tolist()}
    assert not present & absent
    assert len(present | absent) == NUM_IMAGES * len(CATEGORIES)
    assert len(truth.not_exhaustive) == 0
    assert truth.frequencies == ("f",) * len(CATEGORIES)
    assert truth.category_names == tuple(category.name for category in CATEGORIES)


@pytest.mark.parametrize(
    ("file", "protocols"), [(coarse_file, ("coco", "coco-boundary")), (fine_file, ("ap-star", "apb-star", "lvis"))]
)
def test_exact_predictions_score_a_hundred(written: Path, file: Any, protocols: tuple[str, ...]) -> None:
    truth = read_ground_truth(file(written))
    found = from_results(perfect(truth), [truth])
    for table in match(truth, found, [PRESETS[name] for name in protocols]):
        assert metrics(table)["ap"] == pytest.approx(100)
        assert num_classes(table) == len(set(truth.category.tolist()))


def test_coarse_predictions_score_less_on_fine_annotations(written: Path) -> None:
    coarse, fine = read_ground_truth(coarse_file(written)), read_ground_truth(fine_file(written))
    found = from_results(perfect(coarse), [coarse, fine])
    mask, boundary = match(fine, found, [PRESETS["ap-star"], PRESETS["apb-star"]])
    assert 60 < metrics(boundary)["ap"] < metrics(mask)["ap"] < 95


def perfect(truth: GroundTruth) -> list[dict[str, Any]]:
    """What is annotated, predicted with falling certainty."""
    return [
        {
            "image_id": int(truth.image_ids[truth.image[row]]),
            "category_id": int(truth.category_ids[truth.category[row]]),
            "segmentation": {"size": truth.sizes[truth.image[row]].tolist(), "counts": counts.decode()},
            "score": 1 / (1 + row),
        }
        for row, counts in enumerate(truth.counts)
    ]


def test_training_images_lie_beside_and_other_runs_replace(tmp_path: Path) -> None:
    write(tmp_path, "train", 1)
    write(tmp_path, "tune", 2)
    write(tmp_path, "tune", 1)
    assert open_images(coco_layout(tmp_path).train).ids == (1_000_000,)
    assert open_images(coco_layout(tmp_path).val).ids == (2_000_000,)
    assert {path.name for path in (tmp_path / "annotations").iterdir()} == {
        "instances_train2017.json",
        "glyphs_fine_train.json",
        "instances_val2017.json",
        "glyphs_fine_val.json",
    }


def test_the_same_run_writes_the_same_files(written: Path, tmp_path: Path) -> None:
    write(tmp_path, "test", NUM_IMAGES)
    for path in (path for path in written.rglob("*") if path.is_file()):
        assert (tmp_path / path.relative_to(written)).read_bytes() == path.read_bytes()


def test_a_full_disk_leaves_the_annotations_of_the_last_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenes: list[Scene]
) -> None:
    monkeypatch.setattr(files, "scene", lambda seed, index: scenes[index])
    write(tmp_path, "test", 2)
    before = coarse_file(tmp_path).read_bytes()
    whole = files.write_whole

    def full(path: Path, content: bytes) -> None:
        if path.name == "000003000002.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, content)

    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(ValueError, match="No space left on device; expected a folder with enough space"):
        write(tmp_path, "test", 3)
    assert coarse_file(tmp_path).read_bytes() == before
    assert json.loads(before)["info"]["description"] == "glyphs 1, test, coarse polygons"


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written to .*out: Not a directory|File exists"):
        write(tmp_path / "out", "test", 1)


def test_no_images_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 glyph images were asked for"):
        write(tmp_path, "test", 0)
    assert not any(tmp_path.iterdir())


def test_annotations_of_another_data_set_stay(tmp_path: Path) -> None:
    other = tmp_path / "annotations" / "instances_val2017.json"
    other.parent.mkdir()
    other.write_text('{"info":{"description":"COCO"}}')
    with pytest.raises(ValueError, match=r"instances_val2017\.json is there, and holds no glyphs"):
        write(tmp_path, "test", 1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]
