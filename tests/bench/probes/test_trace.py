"""Where heads refine: on stages made by hand, and on real images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.contract import Context, Measurement
from bench.data.coco import open_images
from bench.data.layout import coco_layout
from bench.probes import trace
from bench.probes.trace import StageTrace
from bench.record import Subject
from heads import Stage, compose
from heads.effseg import PRESETS
from tests.bench.found import numbers_at


def dense(side: int, logits: float, **rule: object) -> Stage:
    return Stage(side=side, mask_logits=torch.full((2, side, side), logits), **rule)  # type: ignore[arg-type]


def selected(side: int, places: list[tuple[int, int, int]]) -> Stage:
    """A sparse stage at cells (region, row, column)."""
    region, row, column = torch.tensor(places, dtype=torch.int64).view(-1, 3).unbind(1)
    point = (torch.stack([column, row], 1) + 0.5) / side
    logits = torch.zeros(len(places))
    return Stage(side=side, mask_logits=logits, region=region, point=point, overwrite="selected")


def test_selected_cells_are_active() -> None:
    places = [(0, 0, 3), (1, 2, 1), (1, 3, 3)]
    (refined,) = trace.trace([dense(2, 1.0), selected(4, places)])
    assert [tuple(place) for place in refined.active.nonzero().tolist()] == places
    assert refined.processed_fraction == 3 / 32


def test_a_cell_predicted_twice_is_active_once() -> None:
    (refined,) = trace.trace([dense(2, 1.0), selected(4, [(0, 0, 3), (0, 0, 3)])])
    assert refined.active.sum() == 1
    assert refined.processed_fraction == 2 / 32


def test_a_stage_that_selects_nothing() -> None:
    (refined,) = trace.trace([dense(2, 1.0), selected(4, [])])
    assert not refined.active.any()
    assert refined.processed_fraction == 0


def test_a_stage_that_stands_for_itself_is_active_everywhere() -> None:
    (refined,) = trace.trace([dense(2, 1.0), dense(4, -1.0)])
    assert refined.active.all()
    assert refined.processed_fraction == 1


def test_of_a_boundary_stage_the_replaced_cells_are_active_and_all_are_processed() -> None:
    generator = torch.Generator().manual_seed(0)
    ticks = torch.linspace(-1, 1, 16)
    disk = 0.5 - (ticks[:, None] ** 2 + ticks**2)
    first = Stage(side=16, mask_logits=torch.stack([disk, disk + 0.2]))
    second = Stage(
        side=32,
        mask_logits=10 + torch.rand(2, 32, 32, generator=generator),
        overwrite="boundary",
        align_corners=True,
    )
    (refined,) = trace.trace([first, second])
    # No value of the first stage is that large, so the composed mask shows who was replaced.
    assert torch.equal(refined.active, compose([first, second]) > 5)
    assert refined.processed_fraction == 1
    assert 0 < refined.active.float().mean() < 0.5


def test_later_stages_do_not_change_earlier_ones() -> None:
    stages = [dense(2, 1.0), selected(4, [(0, 0, 3)]), selected(8, [(1, 1, 1), (1, 1, 2)])]
    first, second = trace.trace(stages)
    assert first.active.sum() == 1
    assert second.active.sum() == 2
    assert torch.equal(first.active, next(trace.trace(stages[:2])).active)
    assert not list(trace.trace(stages[:1]))


def test_fractions_are_means_over_images_and_maps_sums_over_regions() -> None:
    collected = StageTrace(total=np.zeros((2, 2), np.int64))
    one = torch.tensor([[[True, False], [False, False]]])
    two = torch.tensor([[[True, True], [True, True]], [[True, False], [True, False]]])
    for active in (one, two):
        collected.add(trace.Refined(active=active, processed_fraction=1.0))
    measured = Measurement(values=tuple(collected.rows(1)))
    values, samples = numbers_at(measured, stage=1), collected.samples()
    assert values["side"] == 2
    assert {row.name for row in measured.values if row.unit == "cells"} == {"side"}
    assert values["active_fraction"] == pytest.approx((0.25 + 0.75) / 2)
    assert values["active_fraction_std"] == pytest.approx(0.25)
    assert values["region_fraction_median"] == pytest.approx(0.5)
    assert samples["active_map"].tolist() == [[1, 1 / 3], [2 / 3, 1 / 3]]
    assert samples["image_maps"].tolist() == [[[1, 0], [0, 0]], [[2, 1], [2, 1]]]
    assert samples["region_fractions"].tolist() == [0.25, 1.0, 0.5]


def test_only_the_first_images_keep_maps() -> None:
    collected = StageTrace(total=np.zeros((2, 2), np.int64))
    for _ in range(trace.NUM_IMAGE_MAPS + 3):
        collected.add(trace.Refined(active=torch.ones(1, 2, 2, dtype=torch.bool), processed_fraction=1.0))
    assert len(collected.samples()["image_maps"]) == trace.NUM_IMAGE_MAPS
    assert len(collected.samples()["image_fractions"]) == trace.NUM_IMAGE_MAPS + 3


def measure(head: str, coco: Path) -> Measurement:
    effseg = {"backend": "sps", "module": "sfm"} if head == "effseg" else {}
    subject = Subject(head=head, backbone="small_fpn", preset="small", **effseg)
    return trace.measure(subject, Context(data=coco_layout(coco), images=2, detections="ground_truth"))


def test_effseg_on_real_images_refines_its_budget(coco_mini: Path) -> None:
    measurement = measure("effseg", coco_mini)
    values, samples = numbers_at(measurement), measurement.samples
    cells = PRESETS["small"].budget.cells
    assert cells is not None
    for stage, side in ((1, 28), (2, 56), (3, 112)):
        of_stage = numbers_at(measurement, stage=stage)
        assert of_stage["side"] == side
        # All regions of an image share the budget, so its mean is fixed and that of a region is not.
        assert of_stage["active_fraction"] == pytest.approx(4 * cells / side**2)
        assert of_stage["processed_fraction"] == pytest.approx(of_stage["active_fraction"])
        assert samples[f"stage{stage}_active_map"].shape == (side, side)
        assert len(samples[f"stage{stage}_region_fractions"]) == 2 * values["regions"]
        assert samples[f"stage{stage}_image_maps"].shape == (2, side, side)
    assert len(samples["image_ids"]) == values["images"] == 2
    scenes = [f"scene{image_id}" for image_id in samples["image_ids"]]
    for stage, side in ((1, 28), (2, 56), (3, 112)):
        bits = [np.unpackbits(samples[f"{scene}_stage{stage}_active"], axis=1, count=side**2) for scene in scenes]
        assert [len(of_image) for of_image in bits] == [len(samples[f"{scene}_boxes"]) for scene in scenes]
        found = np.concatenate(bits).reshape(-1, side, side)
        assert np.allclose(found.mean(axis=0), samples[f"stage{stage}_active_map"])
        counts = [of_image.sum(axis=0).reshape(side, side) for of_image in bits]
        assert np.array_equal(counts, samples[f"stage{stage}_image_maps"])


def test_boxes_of_a_scene_are_those_of_its_objects(coco_mini: Path) -> None:
    samples = measure("effseg", coco_mini).samples
    files = open_images(coco_layout(coco_mini).val, num_images=2)
    for image_id in files.ids:
        height, width = files.sizes[image_id]
        pixels, boxes = samples[f"scene{image_id}_pixels"], samples[f"scene{image_id}_boxes"]
        assert max(pixels.shape) <= trace.SNAPSHOT_SIDE
        assert pixels.shape[1] / pixels.shape[0] == pytest.approx(width / height, rel=0.01)
        left, top, across, down = np.array([each.bbox for each in files.annotations[image_id]]).T
        expected = np.stack([left, top, left + across, top + down], axis=1) * pixels.shape[1] / width
        assert np.abs(boxes - expected).max() < 1.5


def test_only_the_first_images_are_scenes(coco_mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "NUM_SNAPSHOTS", 1)
    samples = measure("effseg", coco_mini).samples
    first, second = samples["image_ids"]
    assert f"scene{first}_stage3_active" in samples
    assert not [name for name in samples if name.startswith(f"scene{second}_")]


def test_refine_mask_processes_everything_and_replaces_boundaries(coco_mini: Path) -> None:
    measurement = measure("refine_mask", coco_mini)
    first, last = (numbers_at(measurement, stage=stage) for stage in (1, 3))
    assert first["active_fraction"] == 1
    assert last["processed_fraction"] == 1
    assert last["active_fraction"] < 1


def test_a_head_of_one_stage_has_nothing_to_trace(coco_mini: Path) -> None:
    values = measure("mask_rcnn", coco_mini).values
    units = {"images": "images", "images_skipped": "images", "regions": "regions"}
    assert {value.name: value.unit for value in values} == units


def test_the_protocol_names_the_data(coco_mini: Path) -> None:
    subject = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")
    protocol = trace.protocol(subject, Context(data=coco_layout(coco_mini), images=2))
    assert str(protocol["annotations"]).startswith("sha256:")
    assert protocol["images"] == "first 2"
