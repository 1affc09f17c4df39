"""What was found in a picture, as arrays, as COCO results and as a picture."""

import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from bench.inference.mask_crop import MaskCrop
from bench.inference.prediction import Prediction


@pytest.fixture
def found() -> Prediction:
    generator = np.random.default_rng(0)
    first = MaskCrop(mask=generator.random((20, 30)) < 0.5, top=5, left=7)
    second = MaskCrop(mask=np.ones((60, 10), bool), top=0, left=70)
    return Prediction(
        image=np.full((60, 80, 3), 100, np.uint8),
        crops=(first, second, first),
        boxes=np.array([[7, 5, 37, 25], [70, 0, 80, 60], [7, 5, 37, 25]], np.float32),
        class_ids=np.array([3, 1, 1]),
        class_names=("cat", "dog", "dog"),
        scores=np.array([0.9, 0.5, 0.2], np.float32),
    )


def test_masks_are_those_of_the_crops_on_the_picture(found: Prediction) -> None:
    assert found.masks.shape == (3, 60, 80)
    assert found.masks.dtype == bool
    for index, crop in enumerate(found.crops):
        assert (found.masks[index] == found.mask(index)).all()
        assert found.masks[index].sum() == crop.area
        height, width = crop.mask.shape
        assert (found.mask(index)[crop.top : crop.top + height, crop.left : crop.left + width] == crop.mask).all()


def test_coco_results_hold_the_masks_and_no_box(found: Prediction) -> None:
    results = found.coco_results("street")
    assert [each["category_id"] for each in results] == [3, 1, 1]
    assert [each["score"] for each in results] == found.scores.tolist()
    for result, mask in zip(results, found.masks, strict=True):
        assert result.keys() == {"image_id", "category_id", "score", "segmentation"}
        assert result["image_id"] == "street"
        assert (coco_mask.decode(result["segmentation"]) == mask).all()


def test_low_scores_are_left_out(found: Prediction) -> None:
    assert len(found.above(0.5)) == 2
    assert found.above(0.5).class_names == ("cat", "dog")
    assert len(found.above(0.95)) == 0
    assert found.above(0.95).masks.shape == (0, 60, 80)
    assert found.above(0.95).coco_results(1) == []


def test_it_shows_itself(found: Prediction) -> None:
    assert repr(found) == "<Prediction: 80 x 60 pixels, 3 objects: 2 dog, 1 cat>"
    assert repr(found.above(1)) == "<Prediction: 80 x 60 pixels, 0 objects>"
    shown = Image.open(io.BytesIO(found._repr_png_()))
    assert shown.size == (80, 60)
    assert (np.array(shown) == np.array(found.overlay())).all()
    assert (np.array(found.overlay()) != found.image).any()
