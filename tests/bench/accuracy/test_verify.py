"""Live comparison with pycocotools and faster-coco-eval on random scenes, and that a difference would be found."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings

from bench.accuracy.average_precision import metrics
from bench.accuracy.boundary import band_width
from bench.accuracy.matching import Matches, match
from bench.accuracy.protocol import PRESETS, ScoringProtocol
from bench.accuracy.verify import TOLERANCE, Check, check
from tests.bench.accuracy.scenes import Scene, encode, ground_truth, predictions, scene, scenes

COCO = (
    PRESETS["coco"],
    ScoringProtocol(name="boxes", iou="bbox"),
    replace(PRESETS["coco"], name="capped by class", cap=3, detection_area="box"),
    replace(PRESETS["coco"], name="half open", half_open=True, iou_thresholds=(0.5, 0.6, 1.0)),
)
LVIS = (
    PRESETS["ap-star"],
    replace(PRESETS["ap-star"], name="capped by image", cap=3),
    replace(PRESETS["ap-star"], name="boxes", iou="bbox"),
)


def needs_faster_coco_eval() -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed: pip install '.[test]'")


def checks(drawn: Scene, protocols: tuple[ScoringProtocol, ...]) -> list[Check]:
    tables = match(drawn.truth, drawn.predictions, protocols)
    return [check(drawn.truth, drawn.predictions, table) for table in tables]


def assert_equal(found: list[Check]) -> None:
    assert [each.sentence() for each in found if not each.passed] == []


@settings(max_examples=25)
@given(scenes(boxes=True))
def test_coco_rules_equal_pycocotools(drawn: Scene) -> None:
    found = checks(drawn, COCO)
    assert {each.library for each in found} == {"pycocotools"}
    assert_equal(found)


def assume_comparable_bands(drawn: Scene, protocols: tuple[ScoringProtocol, ...]) -> None:
    """Leave out what faster-coco-eval 1.8 gets wrong; test_boundary compares ours with the definition there too.

    It erodes across columns in images of no more rows than two bands have, and rounds a width of 1.5 down.
    """
    for protocol in protocols:
        for height, width in drawn.truth.sizes.tolist():
            exact = protocol.dilation_ratio * math.hypot(height, width)
            assume(height > 2 * band_width(height, width, protocol.dilation_ratio))
            assume(exact < 1 or abs(exact % 1 - 0.5) > 1e-6)


@settings(max_examples=15)
@given(scenes(side=(2, 100)))
def test_boundaries_equal_faster_coco_eval(drawn: Scene) -> None:
    needs_faster_coco_eval()
    protocols = (PRESETS["coco-boundary"], replace(PRESETS["coco-boundary"], name="wide", dilation_ratio=0.07))
    assume_comparable_bands(drawn, protocols)
    assert_equal(checks(drawn, protocols))


@settings(max_examples=25)
@given(scenes(lvis=True))
def test_lvis_rules_equal_faster_coco_eval(drawn: Scene) -> None:
    needs_faster_coco_eval()
    found = checks(drawn, LVIS)
    assert {each.library for each in found} == {"faster-coco-eval"}
    assert_equal(found)


@settings(max_examples=15)
@given(scenes(lvis=True))
def test_lvis_boundaries_equal_faster_coco_eval(drawn: Scene) -> None:
    needs_faster_coco_eval()
    assume_comparable_bands(drawn, (PRESETS["apb-star"],))
    assert_equal(checks(drawn, (PRESETS["apb-star"],)))


def test_ids_of_images_may_be_negative() -> None:
    needs_faster_coco_eval()
    drawn = scene(2, lvis=True, max_objects=8)
    for image in drawn.annotations["images"]:
        image["id"] *= -1
    for each in [*drawn.annotations["annotations"], *drawn.results]:
        each["image_id"] *= -1
    assert_equal(checks(drawn, (PRESETS["coco"], PRESETS["coco-boundary"], PRESETS["ap-star"])))


def test_some_images_of_a_file() -> None:
    drawn = scene(3, num_images=6)
    some = drawn.truth.image_ids[::2].tolist()
    for protocol in (PRESETS["coco"], replace(PRESETS["ap-star"], cap=2)):
        if protocol.federated:
            needs_faster_coco_eval()
        (table,) = match(drawn.truth, drawn.predictions, [protocol], images=some)
        assert check(drawn.truth, drawn.predictions, table).passed


def flipped(table: Matches) -> Matches:
    """The table with one true positive less."""
    matched = table.matched.copy()
    matched[0, 0, np.flatnonzero(matched[0, 0])[0]] = False
    return replace(table, matched=matched)


def test_a_wrong_table_is_found_and_named() -> None:
    drawn = scene(0)
    (table,) = match(drawn.truth, drawn.predictions, [PRESETS["coco"]])
    found = check(drawn.truth, drawn.predictions, flipped(table))
    assert not found.passed
    assert found.difference > TOLERANCE
    assert found.sentence().startswith("coco: pycocotools ")
    assert "differs by" in found.sentence()


def test_nothing_is_printed_and_no_input_is_changed(capfd: pytest.CaptureFixture[str]) -> None:
    needs_faster_coco_eval()
    drawn = scene(1, lvis=True)
    before = ground_truth(drawn.annotations), predictions(drawn.results)
    assert_equal(checks(drawn, (PRESETS["coco"], PRESETS["apb-star"])))
    assert capfd.readouterr() == ("", "")
    for old, new in zip(before, (drawn.truth, drawn.predictions), strict=True):
        for name, value in vars(old).items():
            np.testing.assert_array_equal(getattr(new, name), value)


def test_empty_inputs() -> None:
    needs_faster_coco_eval()
    drawn = scene(2, lvis=True)
    silent = Scene(annotations=drawn.annotations, results=[])
    blank = Scene(annotations={**drawn.annotations, "annotations": []}, results=drawn.results)
    for each in (silent, blank):
        assert_equal(checks(each, (PRESETS["coco"], PRESETS["coco-boundary"], PRESETS["ap-star"])))


def test_what_has_no_pixel_is_left_out_for_lvis() -> None:
    needs_faster_coco_eval()
    drawn = scene(6, lvis=True, max_objects=8)
    first, empty = drawn.annotations["annotations"][0], drawn.results[0]
    first["area"] = 0.0
    size = empty["segmentation"]["size"]
    empty |= {"segmentation": encode(np.zeros(size, np.uint8)), "category_id": first["category_id"]}
    assert_equal(checks(drawn, LVIS[:2]))


def test_a_size_on_the_end_of_a_half_open_range() -> None:
    drawn = scene(8, max_objects=8)
    for each in drawn.annotations["annotations"]:
        each["area"] = float(32**2)
    closed = replace(PRESETS["coco"], name="closed")
    half_open = replace(PRESETS["coco"], name="half open", half_open=True)
    tables = match(drawn.truth, drawn.predictions, [closed, half_open])
    assert metrics(tables[0])["ap_s"] > 0
    assert "ap_s" not in metrics(tables[1])
    assert_equal([check(drawn.truth, drawn.predictions, table) for table in tables])


def test_repairs_are_named() -> None:
    needs_faster_coco_eval()
    (found,) = checks(scene(2, lvis=True), (PRESETS["ap-star"],))
    said = " ".join(found.repairs)
    for repair in ("numbered from 1", "best 100 predictions of every image", "without a pixel", "without objects"):
        assert repair in said


def test_objects_to_ignore_are_beyond_the_library() -> None:
    drawn = scene(2, lvis=True)
    drawn.annotations["annotations"][0]["ignore"] = 1
    with pytest.raises(ValueError, match="1 objects are marked `ignore`"):
        checks(drawn, (PRESETS["ap-star"],))


def test_the_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ValueError, match=r"not installed.*pip install 'finegrained-bench\[test\]'"):
        checks(scene(2), (PRESETS["coco-boundary"],))
