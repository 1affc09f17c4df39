"""Tables of accuracies with their intervals, and of what separates two results."""

from collections.abc import Iterable, Mapping, Sequence

from bench.names import METRICS
from reports.cells import Bounds, Number
from reports.layout import CellValue, Column, Table
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.naming import names

PROTOCOLS = {
    **{prefix: METRICS[prefix] for prefix in ("ap", "apb")},
    "box_ap": "Box AP",
    **{prefix: METRICS[prefix] for prefix in ("ap_star", "apb_star")},
}
"""How tables call the protocols whose values have these prefixes in records."""

SUFFIXES = {"": "", "50": "50", "75": "75", "_s": "S", "_m": "M", "_l": "L"}
"""How tables call a metric by what follows the prefix: AP, AP50, ..., APS for small objects."""

_ABSENT = "n/a"

_READING = (
    "A mean over the classes that have an object; n/a: no class has one of that size.",
    "Cap: how many of the best predictions count, of every image and class in AP and APB, of every image in AP*, APB*.",
)

_CLASS_AGNOSTIC = (
    "All classes are one (class-agnostic): a mask counts whatever its class, and the cap is on every image."
)

_LIBRARIES = ("pycocotools", "faster_coco_eval")


def accuracy(found: Iterable[Measured]) -> Table:
    """One row per results file or model and protocol, its intervals in the row below; the newest record counts.

    Each is measured as its caption says, so none is left out. What no class has an object for is n/a.
    """
    chosen = comparable(found, "accuracy", of=lambda subject: subject)
    scored = [each for each in (*chosen.shown, *chosen.left_out) if _protocols(each)]
    scored.sort(key=lambda each: each.started)
    called = dict(zip(scored, names([each.subject for each in scored]), strict=True))
    several = len(scored) > 1
    rows: list[tuple[CellValue, ...]] = []
    said: dict[str, list[str]] = {}
    for each, name in called.items():
        for prefix in _protocols(each):
            rows += _rows(each, prefix, [name, PROTOCOLS[prefix]] if several else [PROTOCOLS[prefix]])
        for sentence in _sentences(each):
            said.setdefault(sentence, []).append(name)
    caption = [text if len(of) == len(scored) else f"{', '.join(of)}: {text}" for text, of in said.items()]
    return Table(
        title=f"Accuracy of {called[scored[0]]}" if len(scored) == 1 else "Accuracy",
        columns=(
            *([Column(name="Predictions")] if several else []),
            Column(name="Protocol"),
            *(Column(name=f"AP{size}", digits=1) for size in SUFFIXES.values()),
            Column(name="Classes", digits=0),
            Column(name="Images", digits=0),
            Column(name="Cap", digits=0),
        ),
        rows=tuple(rows),
        caption=(*caption, *_READING),
    )


def comparison(first: str, second: str, rows: Iterable[Mapping[str, str | float | None]]) -> Table:
    """What separates two results on the same images, metric by metric.

    A row has `name`, the record's name of the value, `first` and `second` from 0 to 100, their `difference`, its
    interval `low` and `high`, the probability `p` of a difference this far from zero by chance, and the `verdict` on
    the second result.
    """
    shown = []
    for row in rows:
        low, high, p = row["low"], row["high"], row["p"]
        interval = _ABSENT if low is None or high is None else f"[{float(low):+.1f}, {float(high):+.1f}]"
        probability = _ABSENT if p is None else f"{float(p):.2g}"
        name = _label(str(row["name"]))
        shown.append((name, row["first"], row["second"], row["difference"], interval, probability, row["verdict"]))
    return Table(
        title=f"{second} against {first}",
        columns=(
            Column(name="Metric"),
            Column(name="First", digits=1),
            Column(name="Second", digits=1),
            Column(name="Difference", digits=1, signed=True),
            Column(name="Interval"),
            Column(name="p"),
            Column(name="Second is"),
        ),
        rows=tuple(shown),
        caption=(
            f"First: {first}. Second: {second}.",
            "Intervals (95 %) and p of the difference are from resampled images, the same ones for both results.",
            "They speak of the choice of images, not of the training seed.",
            "Of twenty metrics that do not differ, one is expected to seem to.",
        ),
    )


def _protocols(measured: Measured) -> list[str]:
    """The prefixes of the protocols that a record has values of."""
    return [prefix for prefix in PROTOCOLS if measured.has(f"{_counts(prefix)}_classes")]


def _counts(prefix: str) -> str:
    """How the counts beside the values of a protocol begin."""
    return prefix.removesuffix("_ap")


def _rows(measured: Measured, prefix: str, labels: Sequence[str]) -> list[tuple[CellValue, ...]]:
    """The values of a protocol, and in a second row their intervals, if they have any."""
    numbers = [measured.number(prefix + suffix) for suffix in SUFFIXES]
    counts = [measured.number(f"{_counts(prefix)}_{what}") for what in ("classes", "images")]
    shown = (_ABSENT if number is None else number for number in numbers)
    rows: list[tuple[CellValue, ...]] = [(*labels, *shown, *counts, measured.protocol[f"cap_{prefix}"])]
    if any(number is not None and number.interval is not None for number in numbers):
        rows.append((*[""] * len(labels), *map(_interval, numbers), None, None, None))
    return rows


def _interval(number: Number | None) -> str:
    if number is None or number.interval is None:
        return ""
    return Bounds("[{:.1f}, {:.1f}]".format(*number.interval), source=number.source)


def _label(name: str) -> str:
    """`apb_star_s` as APB*S, `ar_star100_s` as AR*100S, `box_ap50` as Box AP50."""
    for prefix in sorted(PROTOCOLS, key=len, reverse=True):
        for kind in ("ap", "ar"):
            stem = prefix.replace("ap", kind)
            if name.startswith(stem):
                return PROTOCOLS[prefix].replace("AP", kind.upper()) + name.removeprefix(stem).replace("_", "").upper()
    return name


def _sentences(measured: Measured) -> Iterable[str]:
    """What the numbers of one results file were made of, and with."""
    protocol = measured.protocol
    if "predictions" in protocol:
        yield f"Predictions: {protocol['predictions']}"
    if protocol["annotations"] is not None:
        scored = "Box AP" if "cap_box_ap" in protocol else "AP, APB"
        yield f"{scored}: COCO annotations, {protocol['annotations']}"
    if protocol["lvis"] is not None:
        version = protocol.get("lvis_version") or "LVIS of unknown version"
        yield f"AP*, APB*: {version}, federated rules, {protocol['lvis']}"
    if protocol["resamples"]:
        yield (
            f"Intervals: 95 %, of {protocol['resamples']} resamples of the images, seed {protocol['seed']}; "
            "they speak of the choice of images, not of the training seed."
        )
    if protocol.get("class_agnostic"):
        yield _CLASS_AGNOSTIC
    if protocol["detection_area"] == "box" and "cap_box_ap" not in protocol:
        yield "APS, APM, APL: predictions are sized by the area of their BOX, objects by the annotated one."
    unknown = measured.number("predictions_unknown")
    if unknown:
        yield f"Left out: {unknown:.0f} predictions on images or of classes that no annotation file knows."
    for prefix, label in PROTOCOLS.items():
        empty, images = (measured.number(f"{_counts(prefix)}_{what}") for what in ("images_empty", "images"))
        if empty and images is not None:
            yield f"{label}: {empty:.0f} of {images:.0f} images have no prediction; all of their objects are missed."
        left_out = measured.number(f"{_counts(prefix)}_left_out")
        if left_out:
            yield f"{label}: {left_out:.0f} predictions are on images that its annotation file does not list."
        for library in _LIBRARIES:
            difference = measured.number(f"check_{library}_{prefix}")
            if difference is not None:
                yield f"{label}: {library.replace('_', '-')} agrees on the same input, to {difference:.1g} of 1."
