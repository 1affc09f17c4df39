"""The numbers of the official libraries, kept: on small data sets of our own, and on 100 real images of each data set.

The real ones are seven sets of predictions, a shipped one and six made from the annotations by the recipe of the
goldens: masks unchanged, eroded, dilated or shifted, with wrong classes and equal scores.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from numpy.typing import NDArray

from bench.accuracy.average_precision import metrics, per_class
from bench.accuracy.matching import Matches, match
from bench.accuracy.predictions import Predictions, decode_predictions, read_predictions
from bench.accuracy.protocol import PRESETS, ScoringProtocol
from bench.data.cocofy import read_cocofied
from bench.data.ground_truth import GroundTruth, read_ground_truth

OWN = Path(__file__).parents[1] / "golden" / "accuracy"
REAL = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[2] / ".." / "shared")) / "golden"
TOLERANCE = 1e-9

OWN_EXPECTED = json.loads((OWN / "expected.json").read_text())["expected"]
SCENARIOS = (
    "coco_fakesegm",
    "coco_perturbed_s0",
    "coco_ties_s1",
    "lvis_perturbed_s0",
    "lvis_ties_s1",
    "apstar_perturbed_s2",
    "apstar_ties_s3",
)

Dict = dict[str, Any]
Bitmap = NDArray[np.uint8]


@pytest.mark.parametrize("name", OWN_EXPECTED)
def test_own_data_sets(name: str) -> None:
    truth = read_ground_truth(OWN / f"{name}_annotations.json")
    predictions = read_predictions(OWN / f"{name}_results.json", [truth])
    cap = json.loads((OWN / "expected.json").read_text())["cap"]
    rules = PRESETS["coco"] if name == "coco" else replace(PRESETS["lvis"], cap=cap)
    cases = OWN_EXPECTED[name]
    for (iou, expected), table in zip(
        cases.items(), match(truth, predictions, [replace(rules, iou=iou) for iou in cases]), strict=True
    ):
        ours = metrics(table)
        for metric, value in expected["metrics"].items():
            key = metric.replace("ar", f"ar{cap}", 1) if rules.federated else metric
            assert_number(ours.get(key), value, f"{name} {iou} {metric}")
        assert_classes(table, expected["per_class"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_real_images(scenario: str) -> None:
    expected = golden()["scenarios"][scenario]
    truth, predictions = real(scenario)
    assert len(predictions.score) == expected["n_preds"]
    cases = {case: rules(case) for case in expected["metrics"]}
    for case, table in zip(cases, match(truth, predictions, list(cases.values())), strict=True):
        ours = metrics(table)
        for metric, value in expected["metrics"][case].items():
            assert_number(ours.get(our_name(metric, table.protocol)), value, f"{scenario} {case} {metric}")
        assert_classes(table, expected["per_class_AP"][case])


def assert_number(ours: float | None, value: float | None, what: str) -> None:
    """Ours is from 0 to 100; the libraries' -1 means that there is no such number, for which we have none."""
    if value in (None, -1):
        assert ours is None, what
    else:
        assert ours is not None, what
        assert ours / 100 == pytest.approx(value, rel=0, abs=TOLERANCE), what


def assert_classes(table: Matches, expected: Dict) -> None:
    ours = {str(row.category_id): row.ap for row in per_class(table)}
    assert ours.keys() == expected.keys()
    for category, value in expected.items():
        assert_number(ours[category], value, f"{table.protocol.name} class {category}")


def our_name(metric: str, protocol: ScoringProtocol) -> str:
    """`APs` is our `ap_s`, `AR100` `ar100`, `ARs@300` `ar300_s`."""
    stem, cap = metric.partition("@")[::2]
    kind, size = stem[:2].lower(), stem[2:]
    return f"{kind}{cap}{f'_{size}' if size in tuple('smlrcf') else size}" if size else kind + cap


def rules(case: str) -> ScoringProtocol:
    """The protocol of a case such as `boundary@300`.

    boundary-iou-api's fork of lvis-api ends size ranges before their upper bound.
    """
    if case == "segm_under_plain_coco_rules":
        return PRESETS["coco"]
    iou, _, cap = case.partition("@")
    if not cap:
        return replace(PRESETS["coco"], name=case, iou=iou)
    from_fork = case.endswith("/boundary_iou_fork") or iou == "boundary"
    return replace(
        PRESETS["lvis"], name=case, iou=iou, cap=int(cap.removesuffix("/boundary_iou_fork")), half_open=from_fork
    )


@cache
def golden() -> Dict:
    path = REAL / "eval_golden.json"
    if not path.is_file():
        pytest.skip(f"no goldens: {path} is not there; set BENCH_TEST_DATA to the folder that holds golden/")
    return json.loads(path.read_text())


@cache
def annotations(family: str) -> tuple[Dict, GroundTruth]:
    """The annotations of a family as JSON and as columns; AP*'s are LVIS's with the classes of COCO."""
    path = REAL / ("instances_val2014_100.json" if family == "coco" else "lvis_val_100.json")
    content = json.loads(path.read_text())
    if family != "apstar":
        return content, read_ground_truth(path)
    truth = read_cocofied(path)
    return cocofied(content), truth


def cocofied(lvis: Dict) -> Dict:
    """What `perturb` needs of the recipe `cocofy`: annotations and classes, in order."""
    synsets = json.loads((REAL.parent / "data" / "coco_mini" / "coco_to_synset.json").read_text())
    coco_ids = {each["synset"]: each["coco_cat_id"] for each in synsets.values()}
    new_ids = {each["id"]: coco_ids[each["synset"]] for each in lvis["categories"] if each["synset"] in coco_ids}
    kept = [
        {**each, "category_id": new_ids[each["category_id"]]}
        for each in lvis["annotations"]
        if each["category_id"] in new_ids
    ]
    listed = {
        new_ids[category]
        for image in lvis["images"]
        for name in ("neg_category_ids", "not_exhaustive_category_ids")
        for category in image[name]
        if category in new_ids
    }
    occurring = sorted(listed | {each["category_id"] for each in kept})
    return {**lvis, "annotations": kept, "categories": [{"id": category} for category in occurring]}


def real(scenario: str) -> tuple[GroundTruth, Predictions]:
    expected = golden()["scenarios"][scenario]
    content, truth = annotations(expected["family"])
    if "dt" in expected:
        results = json.loads((REAL / expected["dt"]).read_text())
    else:
        results = perturbed(content, expected["family"], **expected["perturb"])
    text = json.dumps(results, sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(text).hexdigest() == expected["preds_sha256"], "the recipe is not that of the goldens"
    return truth, decode_predictions(text, scenario, [truth])


def perturbed(content: Dict, family: str, *, seed: int, copies: int, score_decimals: int) -> list[Dict]:
    """Predictions by the recipe `perturb` of the goldens; six random numbers for every copy of an object."""
    generator = np.random.default_rng(seed)
    categories = sorted(each["id"] for each in content["categories"])
    results = []
    for place, each in enumerate(content["annotations"]):
        if each.get("iscrowd", 0):
            continue
        for copy in range(copies):
            u = generator.random(6)
            if u[0] < 0.15:
                continue
            kind = next(
                name for name, end in (("same", 0.4), ("erode", 0.6), ("dilate", 0.8), ("shift", 1)) if u[0] < end
            )
            change = (int(13 * u[1]) - 6, int(13 * u[2]) - 6) if kind == "shift" else (1 + int(4 * u[1]), 0)
            mask = changed(family, place, kind, *(change if kind != "same" else (0, 0)))
            if mask is None:
                continue
            category = categories[int(u[4] * len(categories))] if u[3] < 0.1 else each["category_id"]
            score = 0.25 + 0.5 * u[5] + (0.25 if kind == "same" else 0.0) - 0.1 * copy
            results.append(
                {
                    "image_id": each["image_id"],
                    "category_id": category,
                    "segmentation": mask,
                    "score": round(float(np.clip(score, 0.01, 0.99)), score_decimals),
                }
            )
    return results


@cache
def changed(family: str, place: int, kind: str, first: int, second: int) -> Dict | None:
    """The mask of an object after a change, None for an empty one."""
    mask = bitmap(family, place)
    if kind == "same":
        moved = mask
    elif kind == "shift":
        moved = shifted(mask, first, second)
    else:
        best = np.maximum if kind == "dilate" else np.minimum
        moved = squared(mask, first, best)
    if not moved.any():
        return None
    encoded = coco_mask.encode(np.asfortranarray(moved))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


@cache
def bitmap(family: str, place: int) -> Bitmap:
    content, _ = annotations(family)
    each = content["annotations"][place]
    height, width = sizes(family)[each["image_id"]]
    outline = each["segmentation"]
    encoded = coco_mask.frPyObjects(outline, height, width)
    return coco_mask.decode(coco_mask.merge(encoded) if isinstance(outline, list) else encoded)


@cache
def sizes(family: str) -> dict[int, tuple[int, int]]:
    return {image["id"]: (image["height"], image["width"]) for image in annotations(family)[0]["images"]}


def squared(mask: Bitmap, radius: int, best: np.ufunc) -> Bitmap:
    """The least or largest value in the square of a radius around every pixel, zero outside the image.

    Rows and columns one after the other, on the extent of the mask: quick, and equal to repeated steps of one pixel.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return mask
    top, left = max(rows[0] - radius, 0), max(columns[0] - radius, 0)
    extent = (slice(top, rows[-1] + radius + 1), slice(left, columns[-1] + radius + 1))
    found = mask.copy()
    found[extent] = best.reduce(list(neighbours(best.reduce(list(neighbours(mask[extent], radius, 0))), radius, 1)))
    return found


def neighbours(mask: Bitmap, radius: int, axis: int) -> Iterator[Bitmap]:
    padding = [(radius, radius) if axis == each else (0, 0) for each in (0, 1)]
    padded = np.pad(mask, padding)
    for step in range(2 * radius + 1):
        yield padded[step : step + mask.shape[0]] if axis == 0 else padded[:, step : step + mask.shape[1]]


def shifted(mask: Bitmap, down: int, right: int) -> Bitmap:
    height, width = mask.shape
    padded = np.pad(mask, 6)
    return padded[6 - down : 6 - down + height, 6 - right : 6 - right + width]
