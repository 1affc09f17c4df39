"""Certificate of a backend or kernel: how far it is from masked dense, operation by operation.

An `error` is the largest relative one of an operation over all stages, activities and, for gradients, everything they
are taken in; `error_absolute` belongs to it. There is none for what the backend cannot do or what gave no numbers.
`failed` counts the comparisons that failed, of all and by place, `failures.json` names them; it is never 0 where
nothing was equal. `unsupported` counts the operations that the backend cannot do, `unsupported.json` holds what it says
about them.
"""

import dataclasses
import gzip
import hashlib
import importlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.backends.certificate import certify
from bench.backends.histories import make_histories
from bench.backends.stages import grid_type
from bench.backends.trial import FORWARD_LIMITS, GRADIENT_LIMITS, OperationCheck
from bench.contract import Context, Measurement
from bench.record import Scalar, Subject, Value, rows

VERSION = 2
TIMED = False
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False


class Place(NamedTuple):
    """The axes of an error."""

    operation: str
    passes: str
    dtype: str


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
    values = [*rows({"checks": len(certificate.checks), "failed": len(failures)}, "checks")]
    values += rows({"unsupported": len(unsupported)}, "operations")
    values += _errors(certificate.checks)
    for place, count in Counter(map(_place, failures)).items():
        values.append(Value(name="failed", value=count, unit="checks", at=place._asdict()))
    # mtime 0 makes equal certificates equal files.
    files = {"checks.json.gz": gzip.compress(_json(certificate.checks), mtime=0)}
    if failures:
        files["failures.json"] = _json(failures)
    if unsupported:
        reasons = {
            check.operation: check.reason for check in certificate.checks if check.outcome in ("cannot", "missing")
        }
        files["unsupported.json"] = msgspec.json.format(msgspec.json.encode(reasons), indent=1)
    return Measurement(values=values, files=files)


def _errors(checks: Iterable[OperationCheck]) -> Iterator[Value]:
    """The largest relative error by operation, passes and dtype, and the absolute one of the same comparison."""
    worst: dict[Place, OperationCheck] = {}
    for check in checks:
        if check.relative is None:
            continue
        place = _place(check)
        if place not in worst or check.relative > (worst[place].relative or 0):
            worst[place] = check
    for place, check in worst.items():
        assert check.relative is not None
        assert check.absolute is not None
        yield Value(name="error", value=check.relative, at=place._asdict())
        yield Value(name="error_absolute", value=check.absolute, at=place._asdict())


def _place(check: OperationCheck) -> Place:
    """Where the values of a comparison belong; the gradients in all inputs share a place."""
    return Place(operation=check.operation, passes=check.quantity.partition(" ")[0], dtype=check.dtype)


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
