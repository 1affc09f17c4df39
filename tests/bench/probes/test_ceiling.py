"""True masks through grids: exact where it can be, better with finer and soft grids, scored against their own file."""

import contextlib
import io
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.contract import Context
from bench.data.ground_truth import GroundTruth
from bench.data.layout import coco_layout
from bench.inference.squeeze import Rung, Squeezed, coverage, squeeze
from bench.probes import ceiling
from bench.record import Subject
from tests.bench.found import numbers_at, rows_at

SIZE = (40, 50)
BITMAPS = arrays(np.uint8, (12, 10), elements=st.integers(0, 1))
EDGES = st.floats(-3, 14, allow_nan=False)


def truth_of(*masks: np.ndarray, boxes: list[list[float]] | None = None, crowd: int | None = None) -> GroundTruth:
    """An annotation file about one image; boxes are those of the masks unless given."""
    encoded = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    none = np.zeros((0, 2), np.int64)
    return GroundTruth(
        name="synthetic",
        sha256="",
        version="",
        image_ids=np.array([7]),
        sizes=np.array([SIZE]),
        category_ids=np.array([3]),
        category_names=("thing",),
        frequencies=("",),
        image=np.zeros(len(masks), np.int64),
        category=np.zeros(len(masks), np.int64),
        area=np.array([float(mask.sum()) for mask in masks]),
        boxes=np.array(boxes or [coco_mask.toBbox(each) for each in encoded], np.float64),
        annotated_boxes=np.array(boxes or [coco_mask.toBbox(each) for each in encoded], np.float64),
        boxes_replaced=np.zeros(len(masks), bool),
        crowd=np.arange(len(masks)) == crowd,
        ignore=np.zeros(len(masks), bool),
        counts=tuple(each["counts"] for each in encoded),
        negative=none,
        not_exhaustive=none,
    )


def through(side: int, kind: str, truth: GroundTruth) -> list[Squeezed]:
    return list(squeeze(truth, Rung(side=side, soft=kind == "soft"), {7}))


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return ((rows - row) ** 2 + ((columns - column) / 1.3) ** 2 <= radius**2).astype(np.uint8)


def test_a_box_whose_area_is_no_number_covers_nothing() -> None:
    box = np.array([0.0, 0.0, 1e-200, 1e-200])
    np.testing.assert_array_equal(coverage(np.ones((4, 4), np.uint8), box, 2), np.zeros((2, 2)))


@given(BITMAPS, st.tuples(EDGES, EDGES, EDGES, EDGES), st.integers(1, 9))
def test_coverage_is_the_area_of_pixels_in_cells(mask: np.ndarray, edges: tuple[float, ...], side: int) -> None:
    left, right = sorted(edges[:2])
    top, bottom = sorted(edges[2:])
    covered = coverage(mask, np.array([left, top, right, bottom]), side)
    if right - left < 1e-3 or bottom - top < 1e-3:
        return  # the area of such a cell is lost in rounding

    def lengths(low: float, high: float, count: int) -> np.ndarray:
        """What every cell has of every pixel, along one axis."""
        cells, pixels = np.linspace(low, high, side + 1), np.arange(count + 1)
        inside = np.minimum(cells[1:, None], pixels[1:]) - np.maximum(cells[:-1, None], pixels[:-1])
        return inside.clip(min=0) / ((high - low) / side)

    expected = lengths(top, bottom, mask.shape[0]) @ mask @ lengths(left, right, mask.shape[1]).T
    np.testing.assert_allclose(covered, expected, atol=1e-6)


def test_a_box_without_area_covers_nothing() -> None:
    assert not coverage(np.ones((4, 4), np.uint8), np.array([2.0, 1.0, 2.0, 3.0]), 14).any()


@given(arrays(np.uint8, (14, 14), elements=st.integers(0, 1)), st.sampled_from(["soft", "binary"]))
def test_what_fits_the_cells_is_reproduced_exactly(pixels: np.ndarray, kind: str) -> None:
    pixels[[0, -1], [0, -1]] = 1  # so that the box is the mask's own
    mask = np.zeros(SIZE, np.uint8)
    mask[20:34, 5:19] = pixels
    (squeezed,) = through(14, kind, truth_of(mask, boxes=[[5, 20, 14, 14]]))
    assert (squeezed.mask.top, squeezed.mask.left) == (20, 5)
    np.testing.assert_array_equal(squeezed.mask.mask.numpy(), pixels)
    assert squeezed.iou == 1


def test_finer_and_soft_grids_are_better() -> None:
    truth = truth_of(disc(18, 20, 14), disc(12, 35, 9.5), disc(30, 11, 7.3))
    iou = {
        (side, kind): np.mean([each.iou for each in through(side, kind, truth)])
        for side in (14, 28, 56, 224)
        for kind in ("soft", "binary")
    }
    assert iou[224, "binary"] > iou[28, "binary"] > iou[14, "binary"]
    assert iou[28, "soft"] > iou[14, "soft"]
    assert iou[28, "soft"] > iou[28, "binary"]
    assert iou[14, "soft"] > iou[14, "binary"]
    assert iou[224, "soft"] == 1.0


def test_crowds_are_no_predictions_and_empty_masks_are_lost() -> None:
    truth = truth_of(disc(18, 20, 14), disc(12, 35, 9), np.zeros(SIZE, np.uint8), crowd=0)
    squeezed = through(28, "soft", truth)
    assert [each.truth for each in squeezed] == [1, 2]
    assert squeezed[0].iou > 0.9
    assert squeezed[1].iou == 0
    assert not squeezed[1].mask.mask.any()


def test_masks_are_there_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large image with many objects all together fill the memory."""
    truth = truth_of(*(disc(18, 8 + 4 * place, 7) for place in range(6)))
    squeezed: list[weakref.ref[Squeezed]] = []
    decode = coco_mask.decode

    def one(mask: object) -> np.ndarray:
        assert isinstance(mask, dict)
        return decode(mask)

    def watched(*arguments: object) -> Iterator[Squeezed]:
        for each in squeeze(*arguments):
            assert sum(before() is not None for before in squeezed) <= 1, "but the last one, which the loop has"
            squeezed.append(weakref.ref(each))
            yield each

    monkeypatch.setattr(coco_mask, "decode", one)
    monkeypatch.setattr(ceiling, "squeeze", watched)
    ceiling._score(truth, ("coco",), Rung(side=28, soft=True), {7})
    assert len(squeezed) == 6


def test_other_images_are_left_out() -> None:
    assert list(squeeze(truth_of(disc(18, 20, 14)), Rung(side=14, soft=True), {8})) == []


@pytest.mark.parametrize(
    "subject",
    [
        Subject(head="mask_rcnn", weights="none"),
        Subject(head="grid0_soft", weights="none"),
        Subject(head="grid14", weights="none"),
        Subject(head="grid14_hard", weights="none"),
        Subject(head=None, weights="none"),
        Subject(head="grid14_soft"),
        Subject(head="grid14_soft", weights="none", schedule="12ep"),
    ],
)
def test_only_grids_have_a_ceiling(subject: Subject) -> None:
    with pytest.raises(ValueError, match=r"grid\{side\}_soft"):
        ceiling.rung(subject)


def grid(name: str) -> Subject:
    return Subject(head=name, weights="none")


def test_the_ladder_on_real_data(coco_mini: Path, tmp_path: Path) -> None:
    lvis = coco_mini / "annotations" / "lvis_v0.5_val_cocofied.json"
    context = Context(data=coco_layout(coco_mini), lvis=lvis, images=20)
    made = ceiling.measure(grid("grid14_binary"), context)
    coarse, fine = numbers_at(made), numbers_at(ceiling.measure(grid("grid112_soft"), context))
    for name in ("ap", "apb", "ap_star", "apb_star", "mean_iou", "mean_iou_star", "mean_boundary_iou"):
        assert coarse[name] < fine[name], name
    assert fine["ap"] > 99
    assert coarse["apb"] < coarse["ap"]
    interval = rows_at(made)["ap"].interval
    assert interval is not None
    assert interval[0] < coarse["ap"] < interval[1]
    units = [rows_at(made)[name].unit for name in ("ap", "images", "objects_star", "boxes_replaced", "mean_iou")]
    assert units == ["points", "images", "objects", "objects", ""]
    assert coarse["images"] == 20

    path = coco_mini / "annotations" / "instances_val2017.json"
    predictions = tmp_path / "predictions.json"
    predictions.write_bytes(made.files["predictions.json"])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        starred = {image["id"] for image in json.loads(lvis.read_bytes())["images"]}
        first = sorted(starred | truth.imgs.keys())[:20]
        official = COCOeval(truth, truth.loadRes(str(predictions)), "segm")
        official.params.imgIds = [image_id for image_id in first if image_id in truth.imgs]
        official.evaluate()
        official.accumulate()
        official.summarize()
    assert coarse["ap"] == pytest.approx(100 * official.stats[0], abs=1e-7)
    assert coarse["ap_images"] == len(official.params.imgIds)
    assert coarse["ap_star_images"] == len(starred & set(first))
    assert coarse["objects"] == len(truth.getAnnIds(official.params.imgIds, iscrowd=False))
    assert {result["score"] for result in json.loads(made.files["predictions_star.json"])} == {1.0}


def test_either_annotation_file_will_do(coco_mini: Path, tmp_path: Path) -> None:
    """No image file is read, and a directory without COCO's annotations still gives AP*."""
    (tmp_path / "annotations").mkdir()
    lvis = coco_mini / "annotations" / "lvis_v0.5_val_cocofied.json"
    with pytest.raises(ValueError, match="There are no annotations"):
        ceiling.measure(grid("grid28_soft"), Context(data=coco_layout(tmp_path), images=5))
    starred = numbers_at(ceiling.measure(grid("grid28_soft"), Context(data=coco_layout(tmp_path), lvis=lvis, images=5)))
    assert starred["ap_star"] > 90
    assert "ap" not in starred
    plain = numbers_at(ceiling.measure(grid("grid28_soft"), Context(data=coco_layout(coco_mini), images=5)))
    assert plain["ap"] > 90
    assert "ap_star" not in plain


def test_other_annotations_are_another_measurement(coco_mini: Path) -> None:
    lvis = coco_mini / "annotations" / "lvis_v0.5_val_cocofied.json"
    contexts = [
        Context(data=coco_layout(coco_mini)),
        Context(data=coco_layout(coco_mini), images=4),
        Context(data=coco_layout(coco_mini), lvis=lvis),
    ]
    found = [ceiling.protocol(grid("grid28_soft"), context) for context in contexts]
    assert found[0] != found[1]
    assert found[0] != found[2]
    assert found[2]["lvis"] != found[2]["annotations"]
