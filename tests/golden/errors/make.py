"""Make the small data set beside this file and the numbers of tidecv 1.0.1 on it.

Run in an environment with pycocotools 2.0.11, numpy, and tidecv 1.0.1, which the project itself does not need:
`python tests/golden/errors/make.py`. The same versions write the same files.

Rectangles of four classes in six images, two of them crowds, with predictions that have every kind of error: moved
ones, corners of the right box, wrong classes, copies, inventions. Of class 9 there are predictions and no objects, the
only object of class 8 is missed. Scores are distinct, images ascend: tidecv settles equal scores by another order.
"""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
from numpy.typing import NDArray
from tidecv import TIDE, datasets

HERE = Path(__file__).parent
SIDE = 220
CLASSES = (1, 2, 5, 8, 9)
KINDS = ("right", "right", "right", "moved", "corners", "other class", "other class, moved")

Dict = dict[str, Any]
Bitmap = NDArray[np.uint8]


def main() -> None:
    """Write annotations, results and expected numbers."""
    annotations, results = _data_set(np.random.default_rng(8))
    _write("annotations.json", annotations)
    _write("results.json", results)
    with contextlib.redirect_stdout(io.StringIO()):
        tide = TIDE(mode=TIDE.MASK)
        run = tide.evaluate(
            datasets.COCO(str(HERE / "annotations.json")), datasets.COCOResult(str(HERE / "results.json")), name="made"
        )
    errors = tide.get_all_errors()

    def by_class(data: Any) -> Dict:
        return {
            str(category): [of.num_gt_positives, of.get_ap()]
            for category, of in sorted(data.objs.items())
            if not of.is_empty()
        }

    mended = {
        kind.short_name: by_class(run.fix_errors(lambda error, kind=kind: isinstance(error, kind)))
        for kind in TIDE._error_types
    }
    counted = [error for error in run.errors if not (hasattr(error, "pred") and error.pred["used"] is None)]
    expected = {
        "tidecv": "1.0.1",
        "ap": run.ap,
        "dap": {**errors["main"]["made"], **errors["special"]["made"]},
        "counts": {kind.short_name: sum(isinstance(error, kind) for error in counted) for kind in TIDE._error_types},
        "objects_and_ap_of_classes": by_class(run.ap_data),
        "mended": mended,
    }
    _write("expected.json", expected, indent=1)


def _data_set(rng: np.random.Generator) -> tuple[Dict, list[Dict]]:
    images, annotations, results = [], [], []
    for image in range(1, 7):
        images.append({"id": image, "height": SIDE, "width": SIDE, "file_name": f"{image}.png"})
        for corner in rng.permutation(4)[: rng.integers(2, 5)]:
            category = int(rng.choice((1, 2, 5)))
            bitmap = _rectangle(*_place(rng, int(corner)))
            annotations.append(_annotation(len(annotations) + 1, image, category, bitmap, crowd=0))
            for kind in rng.choice(KINDS, 2):
                guess = int(rng.choice([each for each in CLASSES if each != category])) if "other" in kind else category
                results.append(_result(image, guess, _changed(bitmap, kind)))
        results.append(_result(image, int(rng.choice(CLASSES)), _rectangle(*_place(rng, int(rng.integers(4))))))
    for image in (2, 5):
        bitmap = _rectangle(0, 90, SIDE, 60)
        annotations.append(_annotation(len(annotations) + 1, image, 1, bitmap, crowd=1))
        results.append(_result(image, 1, _rectangle(70, 100, 30, 40)))
    for image, category in ((6, 8), (3, 2), (4, 5)):
        bitmap = _rectangle(0, SIDE // 2 - 5, 9, 9)
        annotations.append(_annotation(len(annotations) + 1, image, category, bitmap, crowd=0))
    scores = rng.permutation(len(results)) / len(results)
    results = [result | {"score": round(float(score), 4)} for result, score in zip(results, scores, strict=True)]
    categories = [{"id": category, "name": f"class {category}"} for category in CLASSES]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def _place(rng: np.random.Generator, corner: int) -> tuple[int, int, int, int]:
    """Top, left, height and width, of all sizes, in a quarter of the image."""
    height, width = (int(side) for side in rng.integers(12, 100, 2))
    row, column = divmod(corner, 2)
    top, left = (int(rng.integers(SIDE // 2 - side)) for side in (height, width))
    return row * SIDE // 2 + top, column * SIDE // 2 + left, height, width


def _rectangle(top: int, left: int, height: int, width: int) -> Bitmap:
    bitmap = np.zeros((SIDE, SIDE), np.uint8)
    bitmap[top : top + height, left : left + width] = 1
    return bitmap


def _changed(bitmap: Bitmap, kind: str) -> Bitmap:
    """The same, a third to the side, or what is left of it at two corners, whose box is the same."""
    rows, columns = np.flatnonzero(bitmap.any(1)), np.flatnonzero(bitmap.any(0))
    height, width = len(rows), len(columns)
    if "moved" in kind:
        return np.roll(bitmap, (height * 2 // 5, width // 5), (0, 1))
    if kind == "corners":
        kept = bitmap.copy()
        kept[rows[0] : rows[0] + height // 2, columns[0] + width // 3 : columns[-1] + 1] = 0
        kept[rows[0] + height // 2 : rows[-1] + 1, columns[0] : columns[-1] + 1 - width // 3] = 0
        return kept
    return bitmap


def _annotation(number: int, image: int, category: int, bitmap: Bitmap, *, crowd: int) -> Dict:
    mask = _encode(bitmap)
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": crowd,
        "area": float(bitmap.sum()),
        "bbox": coco_mask.toBbox(mask).tolist(),
        "segmentation": mask,
    }


def _result(image: int, category: int, bitmap: Bitmap) -> Dict:
    return {"image_id": image, "category_id": category, "segmentation": _encode(bitmap)}


def _encode(bitmap: Bitmap) -> Dict:
    encoded = coco_mask.encode(np.asfortranarray(bitmap))
    return {"size": list(bitmap.shape), "counts": encoded["counts"].decode()}


def _write(name: str, content: Any, indent: int | None = None) -> None:
    (HERE / name).write_text(json.dumps(content, indent=indent) + "\n")


if __name__ == "__main__":
    main()
