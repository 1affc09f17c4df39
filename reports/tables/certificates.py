"""Table of certificates: how far every backend is from masked dense, operation by operation."""

from collections.abc import Iterable, Mapping

import pandas as pd

from reports.layout import Column, Table
from reports.paper import BACKENDS

NO_WAITING = "no_host_sync"

OPERATIONS = {
    "cells": "active cells",
    "storage": "stored bytes, as held",
    "linear": "linear layer",
    "halving": "map F to F/2",
    "overwrite": "overwrite active",
    "subdivide": "subdivide x2",
    "to_dense": "to a full map",
    "gather": "read 3x3 neighbors",
    "gather_far": "read a farther cell",
    "conv3_d1": "conv 3x3",
    "conv3_d3": "conv 3x3, dilation 3",
    "conv3_d5": "conv 3x3, dilation 5",
    "conv5_d1": "conv 5x5",
    "conv3_after_halving": "map, then conv 3x3",
    "conv3_after_overwrite": "overwrite, then conv",
    "conv3_after_subdivide": "subdivide, then conv",
    "sfm": "SFM (1, 3, 5)",
    "sample": "bilinear sampling",
    "deform_conv3": "deformable conv 3x3",
    NO_WAITING: "no waiting for device",
}
"""How operations are called in the table; others are shown by the name of their values."""

SHOWN = ("float32", "float64")
"""Precisions with a row for every operation; the others only get one where a backend failed."""

_HALF = ("float16", "bfloat16")
_PARTS = ("forward", "gradient")


def certificates(frame: pd.DataFrame) -> Table:
    """Worst relative errors, forward and gradient, by operation and precision; a column per backend and kernel.

    `cannot` is what a backend offers nowhere; FAIL is an error beyond the limit, a NaN, an exception, or something that
    the backend refuses though every backend must offer it, or though it offers it elsewhere.
    """
    found = frame[frame["probe"] == "certificate"]
    backends = {name: _newest(group) for name, group in _by_backend(found)}
    rows = [
        (
            OPERATIONS.get(operation, operation),
            precision,
            *(_cell(operation, precision, of) for of in backends.values()),
        )
        for operation in _operations(backends.values())
        for precision in (*SHOWN, *_HALF)
        if any(_has_row(operation, precision, of) for of in backends.values())
    ]
    columns = [Column(name=name, digits=0) for name in backends]
    return Table(
        title="Certificates: how far every backend is from masked dense",
        columns=(Column(name="Operation"), Column(name="Precision"), *columns),
        rows=tuple(rows),
        caption=_caption(found, backends),
    )


def _by_backend(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Values by backend and kernel, and by device where there are several."""
    if found.empty:
        return []
    devices = found["protocol"].map(lambda protocol: str(protocol["device"]))
    label = found["backend"].map(lambda backend: BACKENDS.get(backend, backend.replace("_", " ")))
    label = label + found["kernel"].map(lambda kernel: f" {kernel}", na_action="ignore").fillna("")
    if devices.nunique() > 1:
        label = label + " " + devices
    return [(str(name), group) for name, group in found.groupby(label, sort=True)]


def _newest(group: pd.DataFrame) -> dict[str, float]:
    """Values of the newest record alone: what an older one could and this one cannot do is gone."""
    last = group[group["started"] == group["started"].max()]
    return dict(zip(last["name"], last["value"], strict=True))


def _operations(backends: Iterable[Mapping[str, float]]) -> list[str]:
    """The known operations in the order of the table, then whatever else was examined."""
    names = [name.partition(f"_{part}_") for of in backends for name in of for part in _PARTS]
    others = {operation for operation, found, _ in names if found} - OPERATIONS.keys()
    return [*OPERATIONS, *sorted(others)]


def _has_row(operation: str, precision: str, of: Mapping[str, float]) -> bool:
    if precision in _HALF:
        return any(f"{operation}_{part}_{precision}_failed" in of for part in _PARTS)
    # A stage waits or does not, whatever the precision.
    return operation != NO_WAITING or precision == "float32"


def _cell(operation: str, precision: str, of: Mapping[str, float]) -> str:
    """Forward and gradient of one backend."""
    names = [f"{operation}_{part}_{precision}" for part in _PARTS]
    if operation == NO_WAITING:
        return "yes" if names[0] in of else "no"
    shown = ["FAIL" if f"{name}_failed" in of else _short(of[name]) for name in names if _examined(name, of)]
    return " ".join(shown) or "cannot"


def _examined(name: str, of: Mapping[str, float]) -> bool:
    return name in of or f"{name}_failed" in of


def _short(error: float) -> str:
    """One digit, such as 3e-7; 0 for results that are equal bit for bit."""
    if error == 0:
        return "0"
    digit, _, exponent = f"{error:.0e}".partition("e")
    return f"{digit}e{int(exponent)}"


def _caption(found: pd.DataFrame, backends: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    if found.empty:
        return ("No certificate was made. Run: run_bench.py certify.",)
    protocol = found.iloc[-1]["protocol"]
    sentences = [
        "Cells: largest max|a - b| / max|b| of results, then of gradients (features, weights, bias, points); "
        "b is masked dense convolution and sampling in float64, on the same inputs. 0: equal bit for bit.",
        f"Over all stages of the activities {protocol['activities']}.",
        f"Limits: forward {protocol['forward_limits']}; gradient {protocol['gradient_limits']}.",
        "cannot: the backend offers it nowhere. FAIL: beyond the limit, not finite, an exception, or refused "
        "although every backend must offer it or this one offers it elsewhere.",
        "A backend waits for the device where it reads values of tensors; without a GPU, it gets some without values.",
    ]
    for precision in _HALF:
        errors = [error for of in backends.values() for name, error in of.items() if name.endswith(f"_{precision}")]
        if errors:
            sentences.append(
                f"{precision}: at most {_short(max(errors))} forward; a row of its own only where it fails."
            )
    checks = [f"{name} {of['checks']:.0f} ({of['failed']:.0f} failed)" for name, of in backends.items()]
    return (*sentences, f"Comparisons: {', '.join(checks)}.")
