"""Certificates: does a backend compute what masked dense computes, forward and gradient, in every dtype?

Both replay the same histories of a grid and try every operation on the grid of every stage, on the same inputs, which
are rounded to the examined dtype first. The difference from the oracle in float64 is then the error of the backend
alone. What a backend cannot do is part of its certificate, if it can do it nowhere and every backend need not. A
difference beyond the limit, a NaN or an exception is a failure, and so is a certificate in which nothing was equal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import sparsity
from bench.backends.histories import History, make_histories
from bench.backends.masked_dense import MaskedDense
from bench.backends.operations import OPERATIONS, Inputs
from bench.backends.trial import FORWARD_LIMITS, GRADIENT_LIMITS, OperationCheck, Trial
from bench.names import NO_WAITING
from sparsity import Grid, GridType

_NEVER_WAITING = [operation for operation in OPERATIONS if not operation.may_wait]


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """All comparisons of a backend."""

    checks: tuple[OperationCheck, ...]

    @property
    def failures(self) -> list[OperationCheck]:
        """Checks that are unequal or broken; a backend that has any is wrong."""
        return [check for check in self.checks if check.outcome in ("unequal", "broken")]

    @property
    def unsupported(self) -> list[str]:
        """Operations that the backend cannot do, or torch not in half precision on this device."""
        return list(dict.fromkeys(check.operation for check in self.checks if check.outcome in ("cannot", "missing")))


def certify(
    kind: GridType,
    device: str = "cpu",
    *,
    histories: Sequence[History] | None = None,
    dtypes: Sequence[str] = tuple(FORWARD_LIMITS),
) -> Certificate:
    """Compare a backend with masked dense: every operation at every stage of every history, in every dtype.

    The first history is also run to see who waits for the device. float32 means IEEE arithmetic: on a GPU, TF32 is off
    while this runs.
    """
    tried = make_histories() if histories is None else histories
    trials: list[OperationCheck] = []
    with _ieee_float32():
        for history in tried:
            for dtype in dtypes:
                trials += Trial(kind, history, dtype, device, with_gradient=False).checks()
                if dtype in GRADIENT_LIMITS:
                    trials += Trial(kind, history, dtype, device, with_gradient=True).checks()
        waiting = _waiting(kind, tried[0], device)
    return Certificate(checks=(*_all_or_nothing(trials), *waiting, *_unproven(trials)))


def _all_or_nothing(checks: Sequence[OperationCheck]) -> list[OperationCheck]:
    """Make it a failure to offer an operation in one place and not in another: a head could not rely on either."""
    offered = {(check.operation, check.dtype) for check in checks if check.relative is not None}
    return [
        replace(check, outcome="broken", reason=f"Elsewhere it can, but here: {check.reason}")
        if check.outcome == "cannot" and (check.operation, check.dtype) in offered
        else check
        for check in checks
    ]


def _unproven(checks: Sequence[OperationCheck]) -> list[OperationCheck]:
    """Give a failure for a certificate that would prove nothing."""
    if any(check.outcome == "equal" for check in checks):
        return []
    check = partial(OperationCheck, operation="any", activity="all", stage=0, dtype="float32", quantity="forward")
    return [
        check(outcome="broken", reason="Nothing was equal to masked dense: no operation, at no stage, in no dtype.")
    ]


def _waiting(kind: GridType, history: History, device: str) -> list[OperationCheck]:
    """Run every stage where nothing can be waited for; only `sparsity.Unsupported` and `may_wait` excuse an operation.

    On a GPU, CUDA raises at every wait. Elsewhere tensors are fake: they have a shape and a device but no values, so
    reading one raises as well. Unlike those of the meta device they do not tell a backend that they are special.
    """
    trial = Trial(kind, history, "float32", device, with_gradient=False)
    drawn = [
        [trial.for_backend(operation.draw(oracle, trial.normal, False)) for operation in _NEVER_WAITING]
        for oracle in history.replay(MaskedDense, list(trial.theirs.values()))
    ]
    check = partial(OperationCheck, operation=NO_WAITING, activity=history.name, dtype="float32", quantity="forward")
    checks: list[OperationCheck] = []
    # Whatever comes from the host waits by itself, so it is on the device before.
    there = [keep.to(device) for keep in history.keeps]
    with _no_waiting(device) as watched:
        keeps = tuple(watched(keep) for keep in there)
        inputs = [[{name: watched(value) for name, value in given.items()} for given in of_stage] for of_stage in drawn]
        grids = replace(history, keeps=keeps).replay(kind, [watched(number) for number in trial.ours.values()])
        for stage, of_stage in enumerate(inputs):
            try:
                _run_all(next(grids), of_stage)
                checks.append(check(stage=stage, outcome="equal", absolute=0.0, relative=0.0, limit=0.0))
            except Exception as error:  # a backend that waits is slow, not wrong
                checks.append(check(stage=stage, outcome="cannot", reason=f"{type(error).__name__}: {error}"))
                break
    return checks


def _run_all(grid: Grid, inputs: Sequence[Inputs]) -> None:
    for operation, given in zip(_NEVER_WAITING, inputs, strict=True):
        with suppress(sparsity.Unsupported):
            operation.run(grid, given)


@contextmanager
def _no_waiting(device: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """Make waiting an error; gives what turns a tensor into one that is watched."""
    if torch.device(device).type != "cuda":
        with FakeTensorMode() as mode:
            yield mode.from_tensor
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield lambda tensor: tensor
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def _ieee_float32() -> Iterator[None]:
    """Switch TF32 off: it has 10 bits where float32 has 23, and is the default of cuDNN's convolutions."""
    settings = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision
