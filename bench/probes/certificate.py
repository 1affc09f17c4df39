"""Certificate of a backend or kernel: how far it is from masked dense, operation by operation.

A value such as `conv3_d1_gradient_float32` is the largest relative error of that operation over all stages, activities
and, for gradients, everything they are taken in; `..._absolute` belongs to it. There is no such value for what the
backend cannot do or what gave no numbers. `failed` counts the comparisons that failed (`..._failed` those of one
value), `failures.json` names them; it is never 0 where nothing was equal. `unsupported` counts the operations that the
backend cannot do, `unsupported.json` holds what it says about them.
"""

import dataclasses
import gzip
import hashlib
import importlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.backends.certificate import certify
from bench.backends.histories import make_histories
from bench.backends.stages import grid_type
from bench.backends.trial import FORWARD_LIMITS, GRADIENT_LIMITS, OperationCheck
from bench.contract import Context, Measurement
from bench.record import Scalar, Subject

VERSION = 2
TIMED = False
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what is compared with what; a change of any source file of `sparsity` asks for another certificate."""
    return {
        "oracle": "masked dense in float64, same inputs",
        "device": context.device,
        "activities": " ".join(history.name for history in make_histories()),
        "forward_limits": _text(FORWARD_LIMITS),
        "gradient_limits": _text(GRADIENT_LIMITS),
        "sparsity": _checksum(Path(folder) for folder in importlib.import_module("sparsity").__path__),
    }


def measure(subject: Subject, context: Context) -> Measurement:
    """Make the certificate of the backend. Raises ValueError for a subject without one and for unknown names."""
    certificate = certify(grid_type(subject), context.device)
    failures, unsupported = certificate.failures, certificate.unsupported
    values: dict[str, int | float] = {
        "checks": len(certificate.checks),
        "failed": len(failures),
        "unsupported": len(unsupported),
        **_worst(certificate.checks),
    }
    for failure in failures:
        counter = f"{_name(failure)}_failed"
        values[counter] = values.get(counter, 0) + 1
    units = {name: _unit(name) for name in values}
    # mtime 0 makes equal certificates equal files.
    files = {"checks.json.gz": gzip.compress(_json(certificate.checks), mtime=0)}
    if failures:
        files["failures.json"] = _json(failures)
    if unsupported:
        reasons = {
            check.operation: check.reason for check in certificate.checks if check.outcome in ("cannot", "missing")
        }
        files["unsupported.json"] = msgspec.json.format(msgspec.json.encode(reasons), indent=1)
    return Measurement(values=values, units=units, files=files)


def _worst(checks: Iterable[OperationCheck]) -> dict[str, int | float]:
    """The largest relative error by operation, quantity and dtype, and the absolute one of the same comparison."""
    worst: dict[str, OperationCheck] = {}
    for check in checks:
        if check.relative is None:
            continue
        name = _name(check)
        if name not in worst or check.relative > (worst[name].relative or 0):
            worst[name] = check
    errors: dict[str, int | float] = {}
    for name, check in worst.items():
        assert check.relative is not None
        assert check.absolute is not None
        errors |= {name: check.relative, f"{name}_absolute": check.absolute}
    return errors


def _name(check: OperationCheck) -> str:
    """Name of the value that a comparison belongs to; the gradients in all inputs share one."""
    return f"{check.operation}_{check.quantity.partition(' ')[0]}_{check.dtype}"


def _unit(name: str) -> str:
    if name == "unsupported":
        return "operations"
    return "checks" if name == "checks" or name.endswith("failed") else ""


def _text(limits: dict[str, float]) -> str:
    return " ".join(f"{dtype} {limit:g}" for dtype, limit in limits.items())


def _json(checks: Iterable[OperationCheck]) -> bytes:
    lines = [
        {name: value for name, value in dataclasses.asdict(check).items() if value not in (None, "")}
        for check in checks
    ]
    return msgspec.json.format(msgspec.json.encode(lines), indent=1)


def _checksum(folders: Iterable[Path]) -> str:
    """One checksum of all source files, by their names and contents."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".c", ".h"):
                digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return f"sha256:{digest.hexdigest()}"
