"""Table of certificates: how far every backend is from masked dense, operation by operation."""

from collections.abc import Iterable, Iterator, Sequence

from bench.names import CERTIFIED, NO_WAITING
from reports.layout import Column, Table
from reports.paper import BACKENDS
from reports.select.comparable import Comparable, comparable
from reports.select.measured import Measured

SHOWN = ("float32", "float64")
"""Precisions with a row for every operation; the others only get one where a backend failed."""

_HALF = ("float16", "bfloat16")
_PASSES = ("forward", "gradient")


def certificates(found: Iterable[Measured]) -> Table:
    """Worst relative errors, forward and gradient, by operation and precision; a column per backend and kernel.

    `cannot` is what a backend offers nowhere; FAIL is an error beyond the limit, a NaN, an exception, or something that
    the backend refuses though every backend must offer it, or though it offers it elsewhere.
    """
    choices = _by_device(found)
    backends = dict(sorted(_columns(choices)))
    # What the project does not know comes last.
    examined = {str(operation) for each in backends.values() for operation in each.axes("operation")}
    rows = [
        (
            CERTIFIED.get(operation, operation),
            precision,
            *(_cell(operation, precision, each) for each in backends.values()),
        )
        for operation in (*CERTIFIED, *sorted(examined - CERTIFIED.keys()))
        for precision in (*SHOWN, *_HALF)
        if any(_has_row(operation, precision, each) for each in backends.values())
    ]
    columns = [Column(name=name, digits=0) for name in backends]
    return Table(
        title="Certificates: how far every backend is from masked dense",
        columns=(Column(name="Operation"), Column(name="Precision"), *columns),
        rows=tuple(rows),
        caption=(*_reading(backends), *(sentence for choice in choices.values() for sentence in choice.sentences())),
    )


def _by_device(found: Iterable[Measured]) -> dict[str, Comparable]:
    """Comparable certificates of each device."""
    devices: dict[str, list[Measured]] = {}
    for each in found:
        if each.probe == "certificate":
            devices.setdefault(str(each.protocol["device"]), []).append(each)
    return {
        device: comparable(of_device, "certificate", of=lambda subject: (subject.backend, subject.kernel))
        for device, of_device in devices.items()
    }


def _columns(choices: dict[str, Comparable]) -> Iterator[tuple[str, Measured]]:
    """Certificates by backend and kernel, and by device where there are several."""
    for device, choice in choices.items():
        for each in choice.shown:
            backend = str(each.subject.backend)
            words = [BACKENDS.get(backend, backend.replace("_", " ")), each.subject.kernel]
            yield " ".join(filter(None, [*words, device if len(choices) > 1 else None])), each


def _has_row(operation: str, precision: str, found: Measured) -> bool:
    if precision in _HALF:
        return found.has("failed", operation=operation, dtype=precision)
    # A stage waits or does not, whatever the precision.
    return operation != NO_WAITING or precision == "float32"


def _cell(operation: str, precision: str, found: Measured) -> str:
    """Forward and gradient of one backend."""
    if operation == NO_WAITING:
        return "yes" if found.has("error", operation=operation, passes="forward", dtype=precision) else "no"
    shown = []
    for passes in _PASSES:
        failed, error = (
            found.number(name, operation=operation, passes=passes, dtype=precision) for name in ("failed", "error")
        )
        if failed is not None:
            shown.append("FAIL")
        elif error is not None:
            shown.append(_short(error))
    return " ".join(shown) or "cannot"


def _short(error: float) -> str:
    """One digit, such as 3e-7; 0 for results that are equal bit for bit."""
    if error == 0:
        return "0"
    digit, _, exponent = f"{error:.0e}".partition("e")
    return f"{digit}e{int(exponent)}"


def _reading(backends: dict[str, Measured]) -> Sequence[str]:
    """What cells say, by which limits, and how much was compared."""
    if not backends:
        return ["No certificate was made. Run: run_bench.py certify."]
    protocol = max(backends.values(), key=lambda each: each.started).protocol
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
        errors = [value.value for each in backends.values() for value in each.record.where("error", dtype=precision)]
        if errors:
            sentences.append(
                f"{precision}: at most {_short(max(errors))} forward; a row of its own only where it fails."
            )
    counts = [
        f"{name} {each.record.get('checks').value:.0f} ({each.record.get('failed').value:.0f} failed)"
        for name, each in backends.items()
    ]
    return [*sentences, f"Comparisons: {', '.join(counts)}."]
