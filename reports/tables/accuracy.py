"""Tables of accuracies with their intervals, and of what separates two results."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import pandas as pd

from bench.record import Scalar
from reports.cells import Bounds
from reports.layout import CellValue, Column, Table
from reports.select.frame import labels, number

PROTOCOLS = {"ap": "AP", "apb": "APB", "ap_star": "AP*", "apb_star": "APB*"}
"""How tables call the protocols whose values have these prefixes in records."""

METRICS = {"": "", "50": "50", "75": "75", "_s": "S", "_m": "M", "_l": "L"}
"""How tables call a metric by what follows the prefix: AP, AP50, ..., APS for small objects."""

_ABSENT = "n/a"

_Values: TypeAlias = Mapping[str, Mapping[Any, Any]]
"""Rows of the frame by the name of their value."""

_READING = (
    "A mean over the classes that have an object; n/a: no class has one of that size.",
    "Cap: how many of the best predictions count, of every image and class in AP and APB, of every image in AP*, APB*.",
)

_LIBRARIES = ("pycocotools", "faster_coco_eval")


def accuracy(frame: pd.DataFrame) -> Table:
    """One row per results file or model and protocol, its intervals in the row below; the newest value counts.

    What no class has an object for is n/a. The accuracy of random weights is left out.
    """
    known = frame[(frame["weights"] != "random") & (frame["probe"] == "accuracy")]
    subjects = [
        (str(name), _of_newest(of_subject))
        for name, of_subject in known.groupby(pd.Series(labels(known), known.index, dtype=str), sort=False)
    ]
    measured = [
        (name, values) for name, values in subjects if any(f"{prefix}_classes" in values for prefix in PROTOCOLS)
    ]
    several = len(measured) > 1
    rows: list[tuple[CellValue, ...]] = []
    said: dict[str, list[str]] = {}
    for name, values in measured:
        for prefix, label in PROTOCOLS.items():
            if f"{prefix}_classes" in values:
                rows += _rows(values, prefix, [name, label] if several else [label])
        for sentence in _sentences(values):
            said.setdefault(sentence, []).append(name)
    of_all = len(measured)
    caption = [text if len(names) == of_all else f"{', '.join(names)}: {text}" for text, names in said.items()]
    return Table(
        title="Accuracy" if len(measured) != 1 else f"Accuracy of {measured[0][0]}",
        columns=(
            *([Column(name="Predictions")] if several else []),
            Column(name="Protocol"),
            *(Column(name=f"AP{size}", digits=1) for size in METRICS.values()),
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


def _rows(values: _Values, prefix: str, labels: list[str]) -> list[tuple[CellValue, ...]]:
    """The values of a protocol, and in a second row their intervals, if they have any."""
    found = [values.get(prefix + suffix) for suffix in METRICS]
    counts = [values[f"{prefix}_{what}"] for what in ("classes", "images")]
    numbers = [_ABSENT if value is None else number(value) for value in found]
    cap = float(counts[0]["protocol"][f"cap_{prefix}"])
    rows: list[tuple[CellValue, ...]] = [(*labels, *numbers, *(float(count["value"]) for count in counts), cap)]
    intervals = ["" if value is None else _interval(value) for value in found]
    if any(intervals):
        rows.append((*([""] * len(labels)), *intervals, None, None, None))
    return rows


def _interval(value: Mapping[Any, Any]) -> Bounds:
    low, high = value["low"], value["high"]
    return Bounds("" if pd.isna(low) else f"[{low:.1f}, {high:.1f}]", source=value["source"])


def _label(name: str) -> str:
    """`apb_star_s` as APB*S, `ar_star100_s` as AR*100S."""
    for prefix in sorted(PROTOCOLS, key=len, reverse=True):
        for stem in (prefix, prefix.replace("ap", "ar")):
            if name.startswith(stem):
                return (
                    PROTOCOLS[prefix].replace("AP", stem[:2].upper()) + name.removeprefix(stem).replace("_", "").upper()
                )
    return name


def _of_newest(of_subject: pd.DataFrame) -> _Values:
    """Rows by the name of their value, of one record: the newest. Another one may be of other annotations."""
    newest = of_subject["protocol"].iloc[-1]
    return {str(row["name"]): row for row in of_subject.to_dict("records") if row["protocol"] == newest}


def _sentences(values: _Values) -> Iterable[str]:
    """What the numbers of one results file were made of, and with."""
    protocol: Mapping[str, Scalar] = next(iter(values.values()))["protocol"]
    if "predictions" in protocol:
        yield f"Predictions: {protocol['predictions']}"
    if protocol["annotations"] is not None:
        yield f"AP, APB: COCO annotations, {protocol['annotations']}"
    if protocol["lvis"] is not None:
        version = protocol.get("lvis_version") or "LVIS of unknown version"
        yield f"AP*, APB*: {version}, federated rules, {protocol['lvis']}"
    if protocol["resamples"]:
        yield (
            f"Intervals: 95 %, of {protocol['resamples']} resamples of the images, seed {protocol['seed']}; "
            "they speak of the choice of images, not of the training seed."
        )
    if protocol["detection_area"] == "box":
        yield "APS, APM, APL: predictions are sized by the area of their BOX, objects by the annotated one."
    if _number(values, "predictions_unknown"):
        unknown = _number(values, "predictions_unknown")
        yield f"Left out: {unknown:.0f} predictions on images or of classes that no annotation file knows."
    for prefix, label in PROTOCOLS.items():
        empty, images = _number(values, f"{prefix}_images_empty"), _number(values, f"{prefix}_images")
        if empty:
            yield f"{label}: {empty:.0f} of {images:.0f} images have no prediction; all of their objects are missed."
        left_out = _number(values, f"{prefix}_left_out")
        if left_out:
            yield f"{label}: {left_out:.0f} predictions are on images that its annotation file does not list."
        for library in _LIBRARIES:
            difference = _number(values, f"check_{library}_{prefix}")
            if difference is not None:
                yield f"{label}: {library.replace('_', '-')} agrees on the same input, to {difference:.1g} of 1."


def _number(values: _Values, name: str) -> float | None:
    return float(values[name]["value"]) if name in values else None
