"""Records as recipe `demo` leaves them, with invented numbers: resamples that are hard for all heads alike."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from bench.record import Record, Scalar, Subject, Value
from bench.store import Store
from tests.reports.invented import invented

DATA: dict[str, Scalar] = {"images": "all", "annotations": "sha256:coarse0123456789", "lvis": "sha256:fine0123456789"}
AP_STAR = {"mask_rcnn": 35.0, "point_rend": 40.0, "refine_mask": 44.0, "effseg": 44.2}
NUM_RESAMPLES = 1000
RULES: dict[str, Scalar] = {
    "lvis_version": "LVIS with its own classes",
    "detection_area": "mask",
    "resamples": NUM_RESAMPLES,
    "seed": 0,
    **{f"cap_{prefix}": 100 for prefix in ("ap", "apb", "ap_star", "apb_star")},
}


def trained(
    head: str, *, seed: int = 0, preset: str = "small", module: str = "sfm", backend: str = "sps", weights: str = ""
) -> Subject:
    """A head that was trained on the embedded data."""
    is_effseg = head == "effseg"
    return Subject(
        head=head,
        backend=backend if is_effseg else None,
        module=module if is_effseg else None,
        backbone="small_fpn",
        preset=preset,
        schedule="glyphs",
        seed=seed,
        weights=weights or f"sha256:{head}{seed}",
    )


def record(
    subject: Subject,
    probe: str,
    values: Mapping[str, float],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    protocol: Mapping[str, Scalar] | None = None,
    second: int = 0,
    cpu: str = "epyc",
) -> Record:
    """A record of the embedded data, all of its images unless the protocol says otherwise."""
    depends_on: dict[str, Scalar] = {"probe": probe, "version": 1, **DATA, **RULES, **(protocol or {})}
    return invented(subject, depends_on, values, intervals=intervals, second=second, cpu=cpu)


def accuracy(
    subject: Subject,
    ap_star: float,
    *,
    probe: str = "accuracy_true_boxes",
    images: int = 200,
    protocol: Mapping[str, Scalar] | None = None,
    second: int = 0,
) -> Record:
    """The accuracy of a head, all metrics at fixed distances from its AP*."""
    offsets = {"ap_star": 0, "apb_star": -12, "ap": -2, "apb": -13, "ap50": 20, "ap75": 1, "ap_s": -15, "ap_m": 2}
    metrics = {name: ap_star + offset for name, offset in offsets.items()}
    counts = {"images": images, "ap_images": images, "ap_classes": 20, "ap_star_images": images, "ap_star_classes": 20}
    intervals = {name: (value - 2.5, value + 2.5) for name, value in metrics.items()}
    return record(subject, probe, metrics | counts, intervals=intervals, protocol=protocol, second=second)


def resamples(made: Record, *, own_noise: float = 0.5) -> dict[str, np.ndarray]:
    """Resampled metrics of a record of `accuracy`: what is common to all is drawn alike, the rest by the subject."""
    common = np.random.default_rng(0).normal(0, 2, NUM_RESAMPLES)
    own = np.random.default_rng(list(made.subject.name.encode())).normal(0, own_noise, NUM_RESAMPLES)
    with_interval = [value for value in made.values if value.interval is not None and value.name.startswith("ap")]
    return {f"resampled_{value.name}": value.value + common + own for value in with_interval}


def keep(folder: Path, *records: Record, recipe: str = "demo") -> Store:
    """A store with these records, those of an accuracy with their resamples."""
    store = Store(folder)
    for number, made in enumerate(records):
        samples = resamples(made) if made.probe in ("accuracy", "accuracy_true_boxes") else None
        store.add(recipe, f"{number:08x}", made, samples)
    return store


def demo_records() -> list[Record]:
    """All heads with three seeds on true boxes, their variants, and the costs and studies of the first seed."""
    made = [accuracy(trained(head, seed=seed), ap + 0.4 * seed) for head, ap in AP_STAR.items() for seed in (0, 1, 2)]
    made += [accuracy(trained(head), ap - 8, probe="accuracy") for head, ap in AP_STAR.items()]
    made += [
        accuracy(trained(head, preset="small_agnostic"), ap - 0.5) for head, ap in AP_STAR.items() if head != "effseg"
    ]
    made += [
        accuracy(trained("effseg", module=module), 44.2 - loss)
        for module, loss in (("dense_sfm", 0.0), ("mlp", 2.0), ("conv", 0.5), ("deform_conv", 0.4))
    ]
    made += [
        record(each.subject, "params", {"params_total": 1.5e6, "params_head": 0.3e6})
        for each in made
        if each.probe == "accuracy_true_boxes"
    ]
    for head in AP_STAR:
        limits: dict[str, Scalar] = {"images": "first 20"}
        flops = {"images": 20, "macs": 2.51e9, "macs_head": 0.42e9, "regions": 11.5}
        speed = {
            "images": 20,
            "fps_paper": 9.87,
            "latency_ms_median": 101.0,
            "latency_ms_p95": 133.0,
            "latency_ms_head_median": 31.0,
        }
        made.append(record(trained(head), "flops", flops, protocol=limits))
        made.append(record(trained(head), "speed", speed, protocol=limits))
        made.append(region_cost(trained(head), {10: (0.1, 3.0), 100: (1.0, 21.0)}))
    boxes = {"box_ap": 55.0, "box_ap50": 80.0, "images": 200}
    made.append(record(trained("effseg"), "box_accuracy", boxes, intervals={"box_ap": (53.0, 57.0)}))
    return [*made, policies(), budget()]


def region_cost(subject: Subject, costs: Mapping[int, tuple[float, float]], *, second: int = 0) -> Record:
    """GMACs and milliseconds of a head by its number of regions."""
    made = record(subject, "region_cost", {}, protocol={"regions": ", ".join(map(str, costs))}, second=second)
    values = [
        value
        for number, (gmacs, ms) in costs.items()
        for value in (
            Value(name="macs_head", value=gmacs * 1e9, unit="MACs", at={"regions": number}),
            Value(name="latency_ms_median", value=ms, unit="ms", at={"phase": "head", "regions": number}),
        )
    ]
    return msgspec.structs.replace(made, values=tuple(values))


def policies() -> Record:
    """The study of rules: only `uncertainty` is not significantly different."""
    changes = {"uncertainty": -0.2, "boundary": -1.5, "random": -6.0, "oracle": 3.0, "all": -0.8}
    return _study("policies", "predicted", changes, {"cells_per_stage": 712.4})


def budget() -> Record:
    """The study of budgets."""
    changes = {"none": -9.0, "half": -2.0, "double": 0.3}
    cells = {"none": 1.0, "half": 356.0, "trained": 712.0, "double": 1300.0}
    times = {f"latency_ms_{name}": 10 + 0.02 * number for name, number in cells.items()}
    return _study("budget", "trained", changes, {f"cells_{name}": number for name, number in cells.items()} | times)


def _study(probe: str, reference: str, changes: Mapping[str, float], values: Mapping[str, float]) -> Record:
    found = dict(values) | {"images": 60}
    intervals: dict[str, tuple[float, float]] = {}
    for metric, base in (("ap_star", 44.2), ("apb_star", 32.2), ("ap", 42.2), ("apb", 31.2)):
        found[f"{metric}_{reference}"] = base
        for name, change in changes.items():
            found[f"{metric}_{name}"] = base + change
            found[f"{metric}_{name}_minus_{reference}"] = change
            intervals[f"{metric}_{name}_minus_{reference}"] = change - 0.5, change + 0.5
    return record(trained("effseg"), probe, found, intervals=intervals, protocol={"images": "first 60"})
