"""The COCO layout: which images a run has, and clear errors where files do not fit together."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from bench.data.coco import COCO_CATEGORY_IDS, open_images
from bench.data.layout import coco_layout

SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]


def annotation(annotation_id: int, image_id: int, **changes: object) -> dict[str, object]:
    box = [2, 2, 10, 10]
    return {
        "id": annotation_id, "image_id": image_id, "category_id": 5, "bbox": box, "segmentation": SQUARE, **changes
    }  # fmt: skip


def content(*ids: int, annotations: tuple[dict[str, object], ...] = ()) -> dict[str, list[dict[str, object]]]:
    return {
        "images": [{"id": image_id, "height": 20, "width": 30, "file_name": "ignored"} for image_id in ids],
        "annotations": list(annotations),
        "categories": [{"id": 9, "name": "last"}, {"id": 5, "name": "first"}],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write JSON under annotations/, and the image files asked for."""
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotations").mkdir()

    def _write(name: str, value: object, image_ids: tuple[int, ...] = ()) -> Path:
        path = tmp_path / "annotations" / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        for image_id in image_ids:
            Image.new("RGB", (30, 20)).save(tmp_path / "val2017" / f"{image_id:012d}.jpg")
        return path

    return _write


def test_images_are_the_sorted_union_and_objects_come_from_the_coco_file(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    crowd = annotation(3, 8, iscrowd=1, segmentation={"size": [20, 30], "counts": [0, 600]})
    write("instances_val2017.json", content(8, 3, annotations=(annotation(1, 8), annotation(2, 8), crowd)), (3, 8, 4))
    lvis = write("lvis.json", content(4, 8, annotations=(annotation(1, 4),)))
    images = open_images(coco_layout(tmp_path).val, lvis=lvis)
    assert images.ids == (3, 4, 8)
    assert images.sizes[4] == (20, 30)
    assert images.category_ids == (5, 9)
    assert {image_id: len(found) for image_id, found in images.annotations.items()} == {3: 0, 8: 2}  # 4: unknown
    assert images.masks(8).shape == (2, 20, 30)
    assert images.masks(3).shape == (0, 20, 30)


def test_an_lvis_file_alone_gives_images_without_objects(write: Callable[..., Path], tmp_path: Path) -> None:
    lvis = write("lvis.json", content(4, annotations=(annotation(1, 4),)), (4,))
    images = open_images(coco_layout(tmp_path).val, lvis=lvis)
    assert images.ids == (4,)
    assert images.annotations == {}
    assert images.category_ids == COCO_CATEGORY_IDS


def test_the_first_images_by_id_need_only_their_files(write: Callable[..., Path], tmp_path: Path) -> None:
    write("instances_val2017.json", content(9, 2, 5, annotations=(annotation(1, 9), annotation(2, 2))), (2, 5))
    images = open_images(coco_layout(tmp_path).val, num_images=2)
    assert images.ids == (2, 5)
    assert set(images.annotations) == {2, 5}
    assert images.listed == {2, 5, 9}
    assert open_images(coco_layout(tmp_path).val, num_images=1).ids == (2,)
    with pytest.raises(ValueError, match=r"lacks 1 of the 3 images of the run: 000000000009.jpg; expected"):
        open_images(coco_layout(tmp_path).val)


def test_png_files_count_and_many_missing_ones_are_abbreviated(write: Callable[..., Path], tmp_path: Path) -> None:
    write("instances_val2017.json", content(1, 2, 3, 4, 5))
    Image.new("RGB", (30, 20)).save(tmp_path / "val2017" / f"{5:012d}.PNG")
    with pytest.raises(ValueError, match=r"lacks 4 of the 5 .*0001.jpg, .*0002.jpg, .*0003.jpg, \.\.\.;"):
        open_images(coco_layout(tmp_path).val)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"images": [', "is not complete JSON"),
        ('{"images": [], "annotations": [], "categories": [], "x": NaN}', "is not JSON"),
        ([], r"does not fit the format: .*object"),
        ({"images": [], "annotations": []}, "missing required field `categories`"),
        ({**content(1), "images": [{"id": 1, "height": "x", "width": 30}]}, r"\$\.images\[0\]\.height"),
        (content(1, annotations=(annotation(1, 1, bbox=[1, 2, 3]),)), r"\$\.annotations\[0\]\.bbox"),
        (
            content(1, annotations=(annotation(7, 2),)),
            r"annotation 0 \(image 2\) is on an image",
        ),
        (
            content(1, annotations=(annotation(7, 1, category_id=1),)),
            r"annotation 0 \(image 1\) has category 1;",
        ),
        (content(1, 1), "lists image 1 twice"),
        (content(), "The run has no images"),
    ],
)
def test_malformed_files_are_explained(value: object, message: str, write: Callable[..., Path], tmp_path: Path) -> None:
    write("instances_val2017.json", value, (1,))
    with pytest.raises(ValueError, match=message):
        open_images(coco_layout(tmp_path).val)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [30, 20], "counts": [600]}, r"annotation 0 \(image 1\): .*transposed"),
        ({"size": [20, 30], "counts": [1.5]}, r"annotation 0 \(image 1\): Run lengths hold 1.5"),
        (None, r"annotation 0 \(image 1\) has no polygon and no run lengths"),
    ],
)
def test_a_damaged_segmentation_is_found_when_the_file_is_read(
    segmentation: object, message: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    write("instances_val2017.json", content(1, annotations=(annotation(7, 1, segmentation=segmentation),)), (1,))
    with pytest.raises(ValueError, match=message):
        open_images(coco_layout(tmp_path).val)


def test_missing_places_are_named(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no directory .*train2017; expected pictures in it"):
        open_images(coco_layout(tmp_path).train)
    with pytest.raises(ValueError, match=r"instances_val2017.json cannot be read: No such file"):
        open_images(coco_layout(tmp_path).val)
    path = write("instances_val2017.json", content(1), (1,))
    for number in (0, -1):
        with pytest.raises(ValueError, match=f"lists 1, asked for were {number}; expected at least one"):
            open_images(coco_layout(tmp_path).val, num_images=number)
    with pytest.raises(ValueError, match=r"lvis.json cannot be read"):
        open_images(coco_layout(tmp_path).val, lvis=path.with_name("lvis.json"))


def test_two_files_must_agree_on_sizes(write: Callable[..., Path], tmp_path: Path) -> None:
    write("instances_val2017.json", content(1), (1,))
    other = content(1)
    other["images"][0]["width"] = 31
    with pytest.raises(ValueError, match="image 1 is 20 x 31, the other annotation file says 20 x 30"):
        open_images(coco_layout(tmp_path).val, lvis=write("lvis.json", other))


def test_two_files_must_agree_on_pictures(write: Callable[..., Path], tmp_path: Path) -> None:
    first, other = content(1), content(1)
    first["images"][0]["file_name"] = "a/IMG_1.jpg"
    other["images"][0]["file_name"] = "IMG_2.jpg"
    write("instances_val2017.json", first, (1,))
    with pytest.raises(ValueError, match=r"image 1 is IMG_2.jpg, the other annotation file says a/IMG_1.jpg"):
        open_images(coco_layout(tmp_path).val, lvis=write("lvis.json", other))
    first["images"][0]["file_name"] = "000000000001.jpg"
    other["images"][0]["file_name"] = "COCO_val2014_000000000001.jpg"
    write("instances_val2017.json", first)
    assert open_images(coco_layout(tmp_path).val, lvis=write("lvis.json", other)).ids == (1,)


def test_a_part_of_a_set_that_is_not_whole_is_read_by_its_own_rule(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotations").mkdir()
    Image.new("RGB", (20, 30)).save(tmp_path / "val2017" / "000000000001.png", exif=exif)
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(content(1, 2)))
    found = open_images(coco_layout(tmp_path).val, num_images=1)
    assert found.rule.turned


def test_real_files_have_every_image_and_the_masks_of_pycocotools(coco_mini: Path) -> None:
    images = open_images(coco_layout(coco_mini).val, lvis=coco_mini / "annotations" / "lvis_v0.5_val.json")
    assert len(images.ids) == 276
    assert list(images.ids) == sorted(int(path.stem) for path in (coco_mini / "val2017").iterdir())
    assert len(images.annotations) == 215
    assert images.category_ids == COCO_CATEGORY_IDS
    reference = COCO(coco_mini / "annotations" / "instances_val2017.json")
    for image_id in list(images.annotations)[::20]:
        annotations = images.annotations[image_id]
        expected = [reference.annToMask(reference.anns[found.id]) for found in annotations]
        np.testing.assert_array_equal(images.masks(image_id), np.stack(expected))
        for found, mask in zip(annotations, expected, strict=True):
            area = reference.anns[found.id]["area"]
            assert area < 1000 or abs(mask.sum() / area - 1) < 0.1
        assert not any(reference.anns[found.id]["iscrowd"] for found in annotations)


def test_images_without_annotations_are_kept(coco_mini: Path) -> None:
    images = open_images(coco_layout(coco_mini).train)
    assert len(images.ids) == 495
    assert set(images.annotations) == set(images.ids)
    assert sum(len(found) for found in images.annotations.values()) == 4094 - 45  # crowds
