"""The data sets of public bug reports: each is looked at, opened and learnt from as its row says, beside its twin.

The twin has the same three pictures and seven objects without the fault.
"""

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.data.augment import SMALL_TEST, Picture
from bench.data.coco import CocoImages, open_images
from bench.data.findings import tell_once
from bench.data.layout import coco_layout, recognise
from bench.data.samples import CocoDataset, Sample
from tests.whole.test_cases import EXPECTED

CASES = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[2] / ".." / "shared")) / "cases"


OWN_NAMES = ("IMG_0041.jpg", "IMG 0042 (copy).jpg", "\u7ec6\u80de.jpg")


def named(name: str) -> Path:
    return CASES / f"set_{name}"


def pixels(files: CocoImages) -> list[np.ndarray]:
    """The pictures as a model gets them, before they are normalised."""
    found = []

    def keep(picture: Picture, generator: object) -> Picture:
        found.append(np.asarray(picture.image))
        return picture

    list(CocoDataset(files=files, transform=keep))
    return found


def learnt(files: CocoImages) -> list[tuple[list[list[float]], list[int], int]]:
    """What a model learns from every picture: boxes, classes, pixels of masks."""
    samples = [sample for sample in CocoDataset(files=files, transform=SMALL_TEST) if isinstance(sample, Sample)]
    objects = [sample.objects for sample in samples if sample.objects is not None]
    return [(each.boxes.round().tolist(), each.labels.tolist(), int(each.masks.sum())) for each in objects]


@pytest.fixture
def twin(tmp_path: Path) -> CocoImages:
    """The pictures of a case with the annotations of the toy."""
    return opened_with("string_ann_id", tmp_path / "twin")


def opened_with(case: str, folder: Path) -> CocoImages:
    """Open the annotations of a case with the toy's pictures, which some cases call by other names."""
    annotations = folder / "annotations" / "instances_val2017.json"
    annotations.parent.mkdir(parents=True)
    shutil.copytree(named("all_crowd") / "val2017", folder / "val2017")
    shutil.copy(CASES / case / "gt.json", annotations)
    return open_images(coco_layout(folder).val)


# What is an error, has other pictures or a bad size, or has not all of the toy's objects, is tested elsewhere.
READABLE = sorted(
    name
    for name, (case, *_) in EXPECTED.items()
    if case.ap == 76.4 and name not in ("number_of_file_is_id", "stem_image_ids")
)


@pytest.mark.parametrize("case", READABLE)
def test_what_is_evaluated_is_learnt_from(case: str, twin: CocoImages, tmp_path: Path) -> None:
    assert learnt(opened_with(case, tmp_path / "case")) == learnt(twin)


@pytest.mark.parametrize("case", ["box_among_polygons", "empty_object", "null_segmentation", "no_segmentation"])
def test_objects_without_a_mask_are_the_same_error_for_all(case: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no polygon and no run lengths.*left out"):
        opened_with(case, tmp_path)
    part = coco_layout(tmp_path).val
    few = open_images(type(part)(pictures=part.pictures, annotations=part.annotations, leave_out_maskless=True))
    assert {finding.name for finding in few.findings} >= {"without_mask"}


@pytest.mark.parametrize("name", ["roboflow", "cvat", "own_names", "lvis1", "truncated"])
def test_pictures_are_found_in_every_layout(name: str, twin: CocoImages, tmp_path: Path) -> None:
    folder = named(name)
    if name == "own_names":  # as it is, its annotations have other names than its pictures
        folder = tmp_path / "own_names"
        shutil.copytree(named(name), folder)
        path = folder / "annotations" / "instances_val2017.json"
        content = json.loads(path.read_bytes())
        for image, own in zip(content["images"], OWN_NAMES, strict=True):
            image["file_name"] = own
        path.chmod(0o644)
        path.write_text(json.dumps(content))
    data = recognise(folder)
    files = open_images(data.val, lvis=data.lvis, parts=(data.train, data.val) if name != "lvis1" else ())
    assert len(files.paths) == 3
    found = learnt(files)
    assert found == [each for each in learnt(twin) if name not in ("truncated", "lvis1") or each in found]
    assert len(found) == {"truncated": 2, "lvis1": 2}.get(name, 3)


def test_names_that_nobody_has_are_told() -> None:
    with pytest.raises(ValueError, match=r"lacks 3 of the 3 images.*it holds 3 that no image of the run is.*IMG"):
        open_images(coco_layout(named("own_names")).val)


def test_two_pictures_that_may_be_meant_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"000000000000\.png by its name, .*000000000001\.png by its id"):
        open_images(coco_layout(named("shifted")).train)


def test_photographs_are_turned_as_they_were_annotated(twin: CocoImages, caplog: pytest.LogCaptureFixture) -> None:
    tell_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        turned = pixels(open_images(coco_layout(named("exif3")).val))
    assert "turned by their EXIF orientation" in caplog.text
    upright = pixels(twin)
    for one, other in zip(turned, upright, strict=True):
        as_it_is, upside_down = (np.abs(one.astype(int) - each).mean() for each in (other, other[::-1, ::-1]))
        assert as_it_is < 0.7 * upside_down


def test_few_bits_are_no_black_picture(caplog: pytest.LogCaptureFixture) -> None:
    tell_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        found = pixels(open_images(coco_layout(named("gray12in16")).val))
    assert "use 12 of 16 bits" in caplog.text
    assert min(picture.max() for picture in found) > 100


SAID = {
    "own_names": "IMG 0042 (copy).jpg",
    "roboflow": "Roboflow",
    "cvat": "prepare split",
    "lvis1": "lvis_v1_val.json",
    "exif3": "turned by their EXIF orientation",
    "gray12in16": "use 12 of 16 bits",
    "truncated": "all 3 images",
    "shifted": "Two different pictures may be image 1",
}


@pytest.mark.parametrize("name", SAID)
def test_doctor_says_what_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--data", str(named(name))]) == 0
    assert SAID[name] in " ".join(capsys.readouterr().out.split())
