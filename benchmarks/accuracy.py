"""How fast is the accuracy engine, and how much memory does it need, next to the official libraries?

Replicates annotation files with new ids to the size of COCO's val2017, makes up predictions, and gives the same two
files to every engine, each in its own process on one thread, taking turns. Objects are run lengths already, so nobody's
time includes the conversion of polygons. lvis is compared with where it can be imported.

python -m benchmarks.accuracy
python -m benchmarks.accuracy --images 500 --workloads ap-star --repeats 1
"""

import argparse
import contextlib
import importlib.util
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pycocotools.mask as coco_mask
from numpy.typing import NDArray

from bench.accuracy.average_precision import metrics
from bench.accuracy.matching import match
from bench.accuracy.predictions import read_predictions
from bench.accuracy.protocol import PRESETS
from bench.data.cocofy import read_cocofied
from bench.data.ground_truth import GroundTruth, read_ground_truth

GOLDEN = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[1] / ".." / "shared")) / "golden"

ENGINES = {
    "coco": ("ours", "pycocotools", "faster-coco-eval"),
    "coco-boundary": ("ours", "faster-coco-eval"),
    "ap-star": ("ours", "lvis", "faster-coco-eval"),
    "apb-star": ("ours", "faster-coco-eval"),
}
"""Who computes which protocol."""

MODULES = {"pycocotools": "pycocotools", "lvis": "lvis", "faster-coco-eval": "faster_coco_eval"}

PREDICTIONS_PER_IMAGE = {"coco": 55, "lvis": 44}

Run: TypeAlias = Callable[[], float]
"""Evaluate and accumulate what was loaded, and give AP from 0 to 1."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the files, run every engine on them, print seconds, megabytes and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--coco", type=Path, default=GOLDEN / "instances_val2014_100.json")
    parser.add_argument("--lvis", type=Path, default=GOLDEN / "lvis_val_100.json")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workloads", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker:
        _work(*given.worker)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for kind, source, read in (("coco", given.coco, read_ground_truth), ("lvis", given.lvis, read_cocofied)):
            if any(PRESETS[workload].federated == (kind == "lvis") for workload in given.workloads):
                files[kind] = _write(Path(folder, kind), read(source), given.images, PREDICTIONS_PER_IMAGE[kind])
        for workload in given.workloads:
            _compare(workload, *files["lvis" if PRESETS[workload].federated else "coco"], given.repeats)


def _compare(workload: str, annotations: Path, results: Path, repeats: int) -> None:
    """Run the engines in turns and print the best of each: whatever else the machine does only adds time."""
    engines = [name for name in ENGINES[workload] if name == "ours" or importlib.util.find_spec(MODULES[name])]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    for _, engine in itertools.product(range(repeats), engines):
        command = [sys.executable, "-m", "benchmarks.accuracy", "--worker", workload, engine]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        output = subprocess.run(
            [*command, str(annotations), str(results)], env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        found[engine].append(json.loads(output.splitlines()[-1]))
    best = {
        engine: {name: min(run[name] for run in runs) for name in ("evaluate_s", "total_s", "peak_mb", "ap")}
        for engine, runs in found.items()
    }
    print(f"\n{workload}: {results.stat().st_size / 1e6:.0f} MB of predictions, best of {repeats}")
    print(f"{'':<18}{'evaluate':>12}{'x ours':>8}{'from files':>12}{'x ours':>8}{'peak':>10}{'x ours':>8}  AP")
    ours = best["ours"]
    for engine, each in best.items():
        cells = ((each[name], each[name] / ours[name]) for name in ("evaluate_s", "total_s", "peak_mb"))
        units = ("s", "s", "MB")
        text = "".join(
            f"{value:>9.1f} {unit:<2}{ratio:>8.2f}" for (value, ratio), unit in zip(cells, units, strict=True)
        )
        print(f"{engine:<18}{text}  {100 * each['ap']:.6f}", flush=True)


def _work(workload: str, engine: str, annotations: str, results: str) -> None:
    """One engine in a process of its own; the last line printed is what it took."""
    load = {"ours": _ours, "pycocotools": _pycocotools, "lvis": _lvis, "faster-coco-eval": _faster_coco_eval}[engine]
    with contextlib.redirect_stdout(io.StringIO()):
        begin = time.perf_counter()
        run = load(workload, Path(annotations), Path(results))
        loaded = time.perf_counter()
        ap = run()
        end = time.perf_counter()
    taken = {"evaluate_s": end - loaded, "total_s": end - begin, "peak_mb": _peak_mb(), "ap": ap}
    print(json.dumps(taken))


def _peak_mb() -> float:
    """The most memory this process had. Not `ru_maxrss`, which a new process inherits from its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def _ours(workload: str, annotations: Path, results: Path) -> Run:
    truth = read_ground_truth(annotations)
    predictions = read_predictions(results, [truth])

    def run() -> float:
        (table,) = match(truth, predictions, [PRESETS[workload]])
        return metrics(table)["ap"] / 100

    return run


def _pycocotools(workload: str, annotations: Path, results: Path) -> Run:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes(str(results)), PRESETS[workload].iou)

    def run() -> float:
        evaluation.evaluate()
        evaluation.accumulate()
        return _mean(evaluation.eval["precision"][:, :, :, 0, -1])

    return run


def _faster_coco_eval(workload: str, annotations: Path, results: Path) -> Run:
    from faster_coco_eval import COCO, COCOeval_faster

    protocol = PRESETS[workload]
    truth = COCO(str(annotations))
    found = json.loads(results.read_text())
    if protocol.federated:
        found = _best(found, protocol.cap)
    evaluation = COCOeval_faster(
        truth,
        truth.loadRes(found),
        protocol.iou,
        lvis_style=protocol.federated,
        boundary_cpu_count=1,
        rle_iou_max_workers=1,
    )
    if protocol.federated:
        evaluation.params.maxDets = [protocol.cap]

    def run() -> float:
        evaluation.evaluate()
        evaluation.accumulate()
        return _mean(np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1])

    return run


def _lvis(workload: str, annotations: Path, results: Path) -> Run:
    import lvis.eval
    from lvis import LVIS, LVISEval, LVISResults

    class NumpyWithFloat:
        """numpy with the alias that lvis 0.5.3 still uses, for that module alone."""

        float = float

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    lvis.eval.np = NumpyWithFloat()
    truth = LVIS(str(annotations))
    evaluation = LVISEval(truth, LVISResults(truth, str(results), max_dets=PRESETS[workload].cap), "segm")

    def run() -> float:
        evaluation.evaluate()
        evaluation.accumulate()
        return _mean(evaluation.eval["precision"][..., 0])

    return run


def _mean(precision: NDArray[np.float64]) -> float:
    return float(precision[precision > -1].mean())


def _best(results: list[dict[str, Any]], cap: int) -> list[dict[str, Any]]:
    """The best results of every image, ties in the order of the file."""
    by_image: dict[int, list[dict[str, Any]]] = {}
    for result in results:
        by_image.setdefault(result["image_id"], []).append(result)
    return [best for each in by_image.values() for best in sorted(each, key=lambda one: -one["score"])[:cap]]


def _write(folder: Path, truth: GroundTruth, num_images: int, per_image: int) -> tuple[Path, Path]:
    """Write annotations with run lengths, and predictions, for as many images, by turns those of `truth`."""
    folder.mkdir()
    copies = max(1, round(per_image * len(truth.image_ids) / len(truth.image)))
    by_image = [_image(truth, place, copies, np.random.default_rng(place)) for place in range(len(truth.image_ids))]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image_id in range(1, num_images + 1):
        image, objects, predictions = by_image[(image_id - 1) % len(by_image)]
        images.append({**image, "id": image_id})
        for each in objects:
            annotations.append({**each, "image_id": image_id, "id": len(annotations) + 1})
        results += [{**each, "image_id": image_id} for each in predictions]
    rows = zip(truth.category_ids.tolist(), truth.category_names, truth.frequencies, strict=True)
    categories = [{"id": number, "name": name, "frequency": frequency or "f"} for number, name, frequency in rows]
    content = {"images": images, "annotations": annotations, "categories": categories}
    files = folder / "annotations.json", folder / "results.json"
    files[0].write_text(json.dumps(content))
    files[1].write_text(json.dumps(results))
    print(
        f"{folder.name}: {num_images:,} images, {len(annotations):,} objects, {len(results):,} predictions", flush=True
    )
    return files


_Image: TypeAlias = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]


def _image(truth: GroundTruth, place: int, copies: int, generator: np.random.Generator) -> _Image:
    """An image with its objects and with predictions: the objects a few pixels off, one in ten of another class."""
    size = truth.sizes[place].tolist()
    lists = {
        name: truth.category_ids[rows[rows[:, 0] == place, 1]].tolist()
        for name, rows in (("neg_category_ids", truth.negative), ("not_exhaustive_category_ids", truth.not_exhaustive))
    }
    image = {"height": size[0], "width": size[1], **lists}
    objects, predictions = [], []
    for row in np.flatnonzero(truth.image == place).tolist():
        category = int(truth.category_ids[truth.category[row]])
        mask = {"size": size, "counts": truth.counts[row].decode()}
        object_ = {"category_id": category, "segmentation": mask, "bbox": truth.boxes[row].tolist()}
        objects.append({**object_, "area": float(truth.area[row]), "iscrowd": int(truth.crowd[row])})
        bitmap = coco_mask.decode(mask)
        for _ in range(copies):
            moved = np.roll(bitmap, tuple(generator.integers(-4, 5, 2).tolist()), (0, 1))
            encoded = coco_mask.encode(np.asfortranarray(moved))["counts"].decode()
            guess = int(generator.choice(truth.category_ids)) if generator.random() < 0.1 else category
            prediction = {"category_id": guess, "segmentation": {"size": size, "counts": encoded}}
            predictions.append({**prediction, "score": round(float(generator.random()), 4)})
    return image, objects, predictions


if __name__ == "__main__":
    main()
