"""Composing stages, boundaries, Eq. 3, pasting, run-length encoding."""

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from bench.model.assemble import Crop, assemble, encode, encode_crop, mask_scores, paste_canvas, paste_each
from heads import Detections, Stage, boundary, compose


def make_detections(boxes: Tensor, per_region: int = 1, counts: tuple[int, ...] | None = None) -> Detections:
    counts = counts or (len(boxes),)
    image = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    region = torch.arange(len(boxes)).repeat_interleave(per_region)
    return Detections(
        boxes=boxes,
        image=image,
        queries=torch.zeros(len(boxes), 4),
        region=region,
        labels=torch.arange(len(region)),
        scores=torch.linspace(1, 0.5, len(region)),
        region_counts=counts,
        prediction_counts=tuple(per_region * count for count in counts),
    )


class TestCompose:
    def test_all_takes_the_new_stage(self) -> None:
        first, second = torch.zeros(1, 2, 2), torch.ones(1, 4, 4)
        stages = [Stage(side=2, mask_logits=first), Stage(side=4, mask_logits=second)]
        assert compose(stages) is second
        assert compose(stages[:1]) is first

    def test_selected_overwrites_its_cells_of_the_upsampled_map(self) -> None:
        coarse = torch.tensor([[[0.0, 4.0], [8.0, 12.0]], [[1.0, 1.0], [1.0, 1.0]]])
        point = (torch.tensor([[3.0, 0.0], [1.0, 2.0]]) + 0.5) / 4
        sparse = Stage(
            side=4,
            mask_logits=torch.tensor([-5.0, -6.0]),
            region=torch.tensor([0, 1]),
            point=point,
            overwrite="selected",
        )
        expected = F.interpolate(coarse[:, None], scale_factor=2, mode="bilinear", align_corners=False)[:, 0]
        expected[0, 0, 3], expected[1, 2, 1] = -5.0, -6.0
        torch.testing.assert_close(compose([Stage(side=2, mask_logits=coarse), sparse]), expected)

    def test_boundary_overwrites_only_near_the_edge_of_the_mask_so_far(self) -> None:
        # The left 3 of 8 columns and all rows are foreground: boundary where columns 2 | 3 meet, and at the map's
        # own border next to foreground.
        coarse = torch.full((1, 8, 8), -3.0)
        coarse[:, :, :3] = 3.0
        dense = torch.full((1, 16, 16), 100.0)
        stage = Stage(side=16, mask_logits=dense, overwrite="boundary", align_corners=True)
        composed = compose([Stage(side=8, mask_logits=coarse), stage])
        upsampled = F.interpolate(coarse[:, None], size=(16, 16), mode="bilinear", align_corners=True)[:, 0]
        replaced = composed[0] == 100.0
        assert torch.equal(composed[0][~replaced], upsampled[0][~replaced])
        row = replaced[8].tolist()
        assert row[:2] == [True, True]  # foreground at the border of the map
        assert not row[3]  # inside
        assert row[5]
        assert row[6]
        assert not any(row[9:])  # background, far
        assert replaced[0, :6].all()

    def test_order_of_stages_does_not_touch_the_inputs(self) -> None:
        coarse = torch.zeros(1, 2, 2)
        stage = Stage(
            side=4,
            mask_logits=torch.ones(1),
            region=torch.zeros(1, dtype=torch.long),
            point=torch.full((1, 2), 0.1),
            overwrite="selected",
        )
        compose([Stage(side=2, mask_logits=coarse), stage])
        assert not coarse.any()


class TestBoundary:
    def test_width_1_needs_one_and_width_2_three_cells_of_the_other_kind(self) -> None:
        mask = torch.zeros(1, 11, 11, dtype=torch.bool)
        mask[0, 5, 5] = True
        assert boundary(mask, 1).sum() == 9
        assert boundary(mask, 2).sum() == 1  # one foreground cell in 25 is too few for its neighbours
        mask[0, 5, 4:7] = True
        assert boundary(mask, 2)[0, 5].tolist() == [False] * 3 + [False, True, True, True, False] + [False] * 3
        assert boundary(mask, 2)[0, 4].tolist() == [False] * 4 + [True] * 3 + [False] * 4

    def test_outside_of_the_map_is_background(self) -> None:
        full = torch.ones(1, 8, 8, dtype=torch.bool)
        ring = torch.ones(8, 8, dtype=torch.bool)
        ring[1:-1, 1:-1] = False
        assert torch.equal(boundary(full, 1)[0], ring)
        assert not boundary(~full, 1).any()
        assert boundary(full, 2)[0, 1, 3]  # 5 of 25 cells are outside

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 10_000), width=st.integers(1, 2))
    def test_equals_counting(self, seed: int, width: int) -> None:
        mask = torch.rand(1, 7, 7, generator=torch.Generator().manual_seed(seed)) > 0.4
        marked = boundary(mask, width)[0]
        padded = F.pad(mask[0], (width,) * 4)
        size = 2 * width + 1
        for row in range(7):
            for column in range(7):
                window = padded[row : row + size, column : column + size]
                others = int((window != mask[0, row, column]).sum())
                assert marked[row, column] == (others / size**2 > 0.1)


boxes_strategy = st.tuples(*[st.floats(-40, 90, width=32)] * 2, *[st.floats(0, 120, width=32)] * 2)


def paste(
    probabilities: torch.Tensor, box: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, tuple[int, int]]:
    """The only crop of one region."""
    (pasted,) = paste_each(probabilities[None], box[None], size)
    return pasted


class TestPaste:
    @settings(max_examples=60, deadline=None)
    @given(place=boxes_strategy, seed=st.integers(0, 1000))
    def test_crop_and_canvas_agree(self, place: tuple[float, float, float, float], seed: int) -> None:
        left, top, width, height = place
        box = torch.tensor([left, top, left + width, top + height])
        size = (50, 70)
        probabilities = torch.rand(14, 14, generator=torch.Generator().manual_seed(seed))
        canvas = paste_canvas(probabilities[None], box[None], size)[0]
        crop, (row, column) = paste(probabilities, box, size)
        inside = torch.zeros(size, dtype=torch.bool)
        inside[row : row + crop.shape[0], column : column + crop.shape[1]] = True
        # Tiny boxes have steep masks: a pixel centre a rounding error away is another value.
        tolerance = 1e-4 + 2e-3 / max(min(width, height), 1e-3)
        torch.testing.assert_close(canvas[inside].view(crop.shape), crop, atol=tolerance, rtol=0)
        assert (canvas[~inside] <= 0.5 + tolerance).all()

    @pytest.mark.parametrize(
        "box", [[100.0, 5, 120, 20], [-30.0, 5, -2, 20], [10.0, 10, 10, 30], [30.0, 10, 20, 30], [10.6, 1, 11.4, 9]]
    )
    def test_boxes_without_a_pixel_give_an_empty_crop(self, box: list[float]) -> None:
        crop, _ = paste(torch.ones(4, 4), torch.tensor(box), (50, 70))
        assert crop.numel() == 0

    def test_a_full_map_fills_its_box(self) -> None:
        crop, corner = paste(torch.ones(8, 8), torch.tensor([3.0, 4.0, 13.0, 24.0]), (50, 70))
        assert corner == (4, 3)
        assert crop.shape == (20, 10)
        assert (crop > 0.5).all()

    def test_many_regions_are_the_same_as_one_by_one(self) -> None:
        generator = torch.Generator().manual_seed(0)
        probabilities = torch.rand(9, 28, 28, generator=generator)
        corner = torch.rand(9, 2, generator=generator) * 60 - 10
        boxes = torch.cat([corner, corner + torch.rand(9, 2, generator=generator) * 40 - 5], 1)
        for index, (crop, place) in enumerate(paste_each(probabilities, boxes, (50, 70))):
            alone, alone_place = paste(probabilities[index], boxes[index], (50, 70))
            assert place == alone_place
            torch.testing.assert_close(crop, alone, rtol=0, atol=0)

    def test_no_regions(self) -> None:
        assert list(paste_each(torch.zeros(0, 14, 14), torch.zeros(0, 4), (50, 70))) == []
        assert mask_scores(torch.zeros(0, 14, 14), torch.zeros(0, 4), (50, 70)).shape == (0,)

    def test_canvas_runs_without_values(self) -> None:
        meta = torch.empty(3, 14, 14, device="meta")
        assert paste_canvas(meta, torch.empty(3, 4, device="meta"), (50, 70)).shape == (3, 50, 70)


class TestScores:
    def test_is_the_mean_of_foreground_on_the_canvas(self) -> None:
        generator = torch.Generator().manual_seed(0)
        probabilities = torch.rand(6, 14, 14, generator=generator)
        corner = torch.rand(6, 2, generator=generator) * 40 - 10
        boxes = torch.cat([corner, corner + 30], 1)
        canvas = paste_canvas(probabilities, boxes, (50, 70))
        foreground = canvas > 0.5
        expected = (canvas * foreground).sum((1, 2)) / (foreground.sum((1, 2)) + 1e-6)
        torch.testing.assert_close(mask_scores(probabilities, boxes, (50, 70)), expected, atol=1e-5, rtol=1e-5)

    def test_empty_and_constant_masks(self) -> None:
        probabilities = torch.stack([torch.full((8, 8), 0.2), torch.full((8, 8), 0.8)])
        boxes = torch.tensor([[5.0, 5.0, 45.0, 45.0], [-100.0, -100.0, 200.0, 200.0]])
        scores = mask_scores(probabilities, boxes, (50, 70))
        assert scores[0] == 0
        assert scores[1].item() == pytest.approx(0.8, abs=1e-5)


class TestAssemble:
    def test_masks_and_scores_at_their_own_resolutions(self) -> None:
        logits = torch.full((3, 8, 8), 2.0)
        logits[1] = -2.0
        boxes = torch.tensor([[10.0, 10.0, 30.0, 20.0], [0.0, 0.0, 30.0, 20.0], [5.0, 5.0, 9.0, 9.0]])
        detections = make_detections(boxes, per_region=2, counts=(2, 1))
        stages = [Stage(side=8, mask_logits=logits)]
        first, second = assemble(stages, detections, [(40, 60), (40, 60)], [(80, 120), (20, 30)])
        assert first.size == (80, 120)
        assert first.labels.tolist() == [0, 1]  # region 1 is empty: its predictions 2 and 3 are dropped
        assert first.mask_index.tolist() == [0, 0]
        crop = first.crops[0]
        assert (crop.top, crop.left, tuple(crop.mask.shape)) == (20, 20, (20, 40))
        assert crop.mask[5:-5, 5:-5].all()  # corners of a mask are round
        quality = mask_scores(logits[:1].sigmoid(), boxes[:1], (40, 60))
        torch.testing.assert_close(first.scores, detections.scores[:2] * quality)
        assert second.labels.tolist() == [4, 5]
        assert second.mask_index.tolist() == [0, 0]
        assert (second.crops[0].top, second.crops[0].left) == (2, 2)

    def test_images_without_regions(self) -> None:
        detections = make_detections(torch.tensor([[0.0, 0.0, 9.0, 9.0]]), counts=(0, 1))
        empty, full = assemble([Stage(side=8, mask_logits=torch.ones(1, 8, 8))], detections, [(9, 9)] * 2, [(9, 9)] * 2)
        assert len(empty.labels) == 0
        assert encode(empty) == []
        assert len(encode(full)) == 1

    def test_scores_follow_the_predicted_quality_only_where_asked(self) -> None:
        boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [1.0, 1.0, 8.0, 8.0], [0.0, 2.0, 9.0, 9.0]])
        detections = make_detections(boxes, per_region=2, counts=(1, 2))
        stage = Stage(side=8, mask_logits=torch.ones(3, 8, 8))
        judged = Stage(side=8, mask_logits=torch.ones(3, 8, 8), quality=torch.tensor([0.5, 0.25, 1.0]))
        sizes = [(9, 9)] * 2
        first, second = assemble([stage, judged], detections, sizes, sizes, by_quality=True)
        torch.testing.assert_close(first.scores, detections.scores[:2] * 0.5)
        torch.testing.assert_close(second.scores, detections.scores[2:] * torch.tensor([0.25, 0.25, 1.0, 1.0]))
        for one, other in zip(
            assemble([judged], detections, sizes, sizes), assemble([stage], detections, sizes, sizes), strict=True
        ):
            assert torch.equal(one.scores, other.scores)
        with pytest.raises(ValueError, match="predicts no quality"):
            assemble([judged, stage], detections, sizes, sizes, by_quality=True)

    def test_a_hundred_masks_on_a_large_image_need_no_canvases(self) -> None:
        corner = torch.rand(100, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3700.0, 2700.0])
        detections = make_detections(torch.cat([corner, corner + 250], 1))
        stages = [Stage(side=28, mask_logits=torch.ones(100, 28, 28))]
        (predictions,) = assemble(stages, detections, [(800, 1067)], [(3000, 4000)])
        assert max(crop.mask.numel() for crop in predictions.crops) < 1_100_000
        tracemalloc.start()
        encoded = encode(predictions)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(encoded) == len(predictions.labels)
        assert peak < 3000 * 4000  # one byte per pixel of one canvas


class TestEncode:
    @settings(max_examples=80, deadline=None)
    @given(
        size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
        data=st.data(),
        seed=st.integers(0, 1000),
        share=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    )
    def test_equals_encoding_the_canvas(
        self, size: tuple[int, int], data: st.DataObject, seed: int, share: float
    ) -> None:
        height, width = size
        top = data.draw(st.integers(0, height))
        left = data.draw(st.integers(0, width))
        rows = data.draw(st.integers(0, height - top))
        columns = data.draw(st.integers(0, width - left))
        mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < share
        canvas = np.zeros(size, np.uint8)
        canvas[top : top + rows, left : left + columns] = mask.numpy()
        expected = coco_mask.encode(np.asfortranarray(canvas))
        encoded = encode_crop(Crop(mask=mask, top=top, left=left), size)
        assert encoded["size"] == list(size)
        assert encoded["counts"] == expected["counts"].decode()


def test_dilated_masks_are_those_of_the_authors_way_and_the_scores_stay() -> None:
    """On canvases: masks cut at input size, then resized as booleans."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 28, 28, generator=generator)
    corner = 80 * torch.rand(6, 2, generator=generator) - 10
    boxes = torch.cat([corner, corner + 5 + 60 * torch.rand(6, 2, generator=generator)], 1)
    stages, detections, sizes = [Stage(side=28, mask_logits=logits)], make_detections(boxes), ((90, 120), (140, 203))
    (exact,) = assemble(stages, detections, *([size] for size in sizes))
    (dilated,) = assemble(stages, detections, *([size] for size in sizes), finishing="dilated")
    at_input = paste_canvas(logits.sigmoid(), boxes, sizes[0]) > 0.5
    expected = resize(at_input, list(sizes[1]), antialias=False)
    assert dilated.labels.tolist() == exact.labels.tolist() == list(range(6))
    assert torch.equal(dilated.scores, exact.scores)
    area = {"exact": 0, "dilated": 0}
    for name, image in (("exact", exact), ("dilated", dilated)):
        found = torch.from_numpy(np.stack([coco_mask.decode(mask) for mask in encode(image)])).bool()  # type: ignore[arg-type]
        area[name] = int(found.sum())
        if name == "dilated":
            assert torch.equal(found, expected)
    assert area["dilated"] > 1.05 * area["exact"]


def test_logits_that_are_not_numbers_are_an_error_and_infinite_ones_are_sure() -> None:
    detections = make_detections(torch.tensor([[2.0, 2, 10, 10], [4, 4, 12, 12]]), counts=(1, 1))
    logits = torch.full((2, 4, 4), torch.inf)
    logits[1, :, 2:] = -torch.inf
    (first, second) = assemble([Stage(side=4, mask_logits=logits)], detections, [(16, 16)] * 2, [(16, 16)] * 2)
    assert first.crops[0].mask.all()
    assert second.crops[0].mask.sum() == 4 * 8
    assert first.scores.isfinite().all()
    logits[1, 3, 3] = torch.nan
    with pytest.raises(ValueError, match=r"^The mask of region 0 of image 1 of the batch has logits that are not num"):
        assemble([Stage(side=4, mask_logits=logits)], detections, [(16, 16)] * 2, [(16, 16)] * 2)
