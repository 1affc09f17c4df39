"""Make the small data sets beside this file and the numbers of the official libraries on them.

Run in an environment with pycocotools 2.0.11, lvis 0.5.3 and faster-coco-eval 1.8.0, which the project itself does not
need: `python tests/golden/accuracy/make.py`. The same versions write the same files.

* `coco`: crowds, equal scores, over ten predictions of a class in an image, an `ignore` that COCO's rules overwrite.
* `lvis`: absent and not exhaustively annotated classes, a class of each frequency, equal scores at the cap.
* `lvis_odd`: the same with an ignored object, and an object and a prediction without a pixel, as only lvis treats them.
"""

import contextlib
import copy
import importlib.metadata
import io
import json
from pathlib import Path
from typing import Any

import lvis.eval
import numpy as np
import pycocotools.mask as coco_mask
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from lvis import LVIS, LVISEval, LVISResults
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HERE = Path(__file__).parent
CAP = 6
"""Predictions counted in an image of the LVIS sets: few, so that the cap matters."""

CATEGORIES = {2: "bicycle", 3: "car", 7: "train", 9: "boat"}
CATEGORY_IDS = tuple(CATEGORIES)
"""Ids of COCO. Of the last class there are predictions and no objects."""

COCO_NAMES = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l", "ar1", "ar10", "ar100", "ar_s", "ar_m", "ar_l")
LVIS_NAMES = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l", "ap_r", "ap_c", "ap_f", "ar", "ar_s", "ar_m", "ar_l")

Dict = dict[str, Any]


class _NumpyWithFloat:
    """numpy with the alias that lvis 0.5.3 still uses, for that module alone."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


lvis.eval.np = _NumpyWithFloat()


def main() -> None:
    """Write data sets and expected numbers."""
    coco, coco_results = _data_set(np.random.default_rng(22), federated=False)
    fed, fed_results = _data_set(np.random.default_rng(2), federated=True)
    odd, odd_results = _with_oddities(fed, fed_results)
    sets = {"coco": (coco, coco_results), "lvis": (fed, fed_results), "lvis_odd": (odd, odd_results)}
    for name, (annotations, results) in sets.items():
        _write(f"{name}_annotations.json", annotations)
        _write(f"{name}_results.json", results)
    versions = {name: importlib.metadata.version(name) for name in ("pycocotools", "lvis", "faster-coco-eval")}
    expected = {
        "coco": {
            "bbox": _by_pycocotools(coco, coco_results, "bbox"),
            "segm": _by_pycocotools(coco, coco_results, "segm"),
            "boundary": _by_faster(coco, coco_results, "boundary", federated=False),
        },
        "lvis": {
            "bbox": _by_lvis(fed, fed_results, "bbox"),
            "segm": _by_lvis(fed, fed_results, "segm"),
            "boundary": _by_faster(fed, _best(fed_results), "boundary", federated=True),
        },
        "lvis_odd": {"bbox": _by_lvis(odd, odd_results, "bbox"), "segm": _by_lvis(odd, odd_results, "segm")},
    }
    _write("expected.json", {"versions": versions, "cap": CAP, "expected": expected}, indent=1)


def _data_set(rng: np.random.Generator, *, federated: bool) -> tuple[Dict, list[Dict]]:
    """Six images with rectangles, as polygons, and ellipses, as run lengths, found more or less well."""
    categories = [
        {"id": number, "name": name, "synset": f"{name}.n.01", "frequency": frequency}
        for (number, name), frequency in zip(CATEGORIES.items(), "rcff", strict=True)
    ]
    images, annotations, results = [], [], []
    for image_id in (12, 5, 40, 33, 21, 8):
        height, width = (int(side) for side in rng.integers(40, 220, 2))
        image = {"id": image_id, "height": height, "width": width}
        present = set()
        for _ in range(rng.integers(2, 6)):
            category = int(rng.choice(CATEGORY_IDS[:3]))
            present.add(category)
            segmentation, bitmap = _shape(rng, height, width)
            crowd = int(not federated and rng.random() < 0.15)
            if crowd:
                segmentation = _run_lengths(bitmap)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": category,
                "segmentation": segmentation,
                "bbox": coco_mask.toBbox(_encode(bitmap)).tolist(),
                "area": float(bitmap.sum()) - 0.25,
                "iscrowd": crowd,
            }
            if not federated and rng.random() < 0.1:
                annotation["ignore"] = 1
            annotations.append(annotation)
            for _ in range(rng.integers(0, 5)):
                guess = category if rng.random() < 0.85 else int(rng.choice(CATEGORY_IDS))
                results.append(_result(rng, image_id, guess, _moved(rng, bitmap)))
        for _ in range(int(rng.integers(0, 3)) + 14 * (image_id == 5)):
            results.append(_result(rng, image_id, 3, _shape(rng, height, width)[1]))
        if federated:
            image["neg_category_ids"] = [number for number in CATEGORY_IDS if number not in present][:1]
            image["not_exhaustive_category_ids"] = sorted(present)[:1] if rng.random() < 0.5 else []
        images.append(image)
    order = rng.permutation(len(results))
    results = [results[place] for place in order]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def _with_oddities(annotations: Dict, results: list[Dict]) -> tuple[Dict, list[Dict]]:
    """Ignore an object, and add an object and a best prediction without a pixel."""
    annotations, results = copy.deepcopy(annotations), copy.deepcopy(results)
    annotations["annotations"][0]["ignore"] = 1
    image = annotations["images"][1]
    empty = _encode(np.zeros((image["height"], image["width"]), np.uint8))
    category = annotations["annotations"][-1]["category_id"]
    where = {"image_id": image["id"], "category_id": category, "segmentation": empty}
    number = len(annotations["annotations"]) + 1
    annotations["annotations"].append({**where, "id": number, "bbox": [0.0, 0.0, 0.0, 0.0], "area": 0.0})
    results.insert(0, {**where, "score": 0.95})
    return annotations, results


def _shape(rng: np.random.Generator, height: int, width: int) -> tuple[Any, Any]:
    """A segmentation as JSON has it, and its bitmap."""
    y, x = rng.random(2) * (height * 0.7, width * 0.7)
    tall, wide = 3 + rng.random(2) * (height, width) * 0.6
    if rng.random() < 0.5:
        right, bottom = min(x + wide, width), min(y + tall, height)
        polygon = [round(float(at), 1) for at in (x, y, right, y, right, bottom, x, bottom)]
        return [polygon], coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([polygon], height, width)))
    rows, columns = np.mgrid[:height, :width]
    bitmap = (np.hypot((rows - y) / tall, (columns - x) / wide) <= 1).astype(np.uint8)
    return _encode(bitmap), bitmap


def _moved(rng: np.random.Generator, bitmap: Any) -> Any:
    """The mask as it is or a few pixels off, never empty."""
    if rng.random() < 0.3:
        return bitmap
    moved = np.roll(bitmap, tuple(int(step) for step in rng.integers(-4, 5, 2)), (0, 1))
    moved[: rng.integers(0, 4)] = 0
    return moved if moved.any() else bitmap


def _result(rng: np.random.Generator, image_id: int, category_id: int, bitmap: Any) -> Dict:
    score = round(float(rng.random()), 1)
    return {"image_id": image_id, "category_id": category_id, "segmentation": _encode(bitmap), "score": score}


def _encode(bitmap: Any) -> Dict:
    encoded = coco_mask.encode(np.asfortranarray(bitmap))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode()}


def _run_lengths(bitmap: Any) -> Dict:
    """Plain run lengths, as COCO writes crowds."""
    flat = np.concatenate([[0], bitmap.ravel("F"), [1 - bitmap[-1, -1]]])
    runs = np.diff(np.flatnonzero(np.diff(flat)), prepend=0)
    return {"size": list(bitmap.shape), "counts": runs.tolist()}


def _best(results: list[Dict]) -> list[Dict]:
    """The best predictions of every image: faster-coco-eval would cap by class."""
    kept: list[Dict] = []
    for image_id in dict.fromkeys(result["image_id"] for result in results):
        of_image = [result for result in results if result["image_id"] == image_id]
        kept += sorted(of_image, key=lambda result: -result["score"])[:CAP]
    return kept


def _by_pycocotools(annotations: Dict, results: list[Dict], iou: str) -> Dict:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), iou)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return _expected(COCO_NAMES, run.stats, run.params.catIds, run.eval["precision"][:, :, :, 0, -1])


def _by_lvis(annotations: Dict, results: list[Dict], iou: str) -> Dict:
    truth = LVIS.__new__(LVIS)  # its constructor takes a file only
    truth.logger = lvis.lvis.logging.getLogger("lvis")
    truth.dataset = copy.deepcopy(annotations)
    truth._create_index()
    run = LVISEval(truth, LVISResults(truth, copy.deepcopy(results), max_dets=CAP), iou)
    run.params.max_dets = CAP
    run.run()
    return _expected(LVIS_NAMES, list(run.get_results().values()), run.params.cat_ids, run.eval["precision"][..., 0])


def _by_faster(annotations: Dict, results: list[Dict], iou: str, *, federated: bool) -> Dict:
    truth = FasterCOCO(copy.deepcopy(annotations))
    run = COCOeval_faster(truth, truth.loadRes(copy.deepcopy(results)), iou, lvis_style=federated)
    if federated:
        run.params.maxDets = [CAP]
    run.run()
    stats = run.stats_as_dict
    values = [stats[f"AP_{name}"] for name in ("all", "50", "75", "small", "medium", "large")]
    return _expected(COCO_NAMES[:6], values, run.params.catIds, np.asarray(run.eval["precision"])[:, :, :, 0, -1])


def _expected(names: tuple[str, ...], values: Any, category_ids: Any, precision: Any) -> Dict:
    """Metrics, and the AP of every class, from 0 to 1; None where a library says -1, which is no number of anything."""

    def number(value: float) -> float | None:
        return None if value == -1 else float(value)

    classes = precision.mean((0, 1))
    return {
        "metrics": {name: number(value) for name, value in zip(names, values, strict=True)},
        "per_class": {str(int(category)): number(value) for category, value in zip(category_ids, classes, strict=True)},
    }


def _write(name: str, content: Any, indent: int | None = None) -> None:
    (HERE / name).write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
