"""The choice of a kernel: the first of an order that can run on a device and passes a small certificate there."""

import logging
import os
from functools import cache
from types import ModuleType
from typing import cast

import torch

from sparsity._grid import Unsupported
from sparsity._kernels._trial import FAILURES, DepthwiseKernel, FeedforwardKernel, Kernel, Operation
from sparsity._plugins import names, plugin, unknown_name

VARIABLE = "SPS_KERNEL"
"""Environment variable that forces a kernel by its name."""

_PACKAGE = "sparsity._kernels"
_REFERENCE = "reference"
_ORDER = ("triton", "native", "blocked", _REFERENCE)
"""The fastest first. A kernel that is not among them runs where it is asked for by name.

A list, because a place in it says something about all the others, and was measured.
"""

log = logging.getLogger(__name__)


class Unavailable(Unsupported, ValueError):
    """The kernel that was asked for cannot run there: a wrong wish of a user, and a measurement of a certificate."""


def check_kernel(name: str) -> None:
    """Raise ValueError with the closest names where there is no kernel of that name."""
    if name not in names(_PACKAGE):
        raise unknown_name("kernel", name, names(_PACKAGE))


def kernel_for(device: torch.device, dtype: torch.dtype, name: str | None) -> Kernel:
    """The kernel of a name; without one that of the environment variable `SPS_KERNEL`, and without it the best.

    Raises ValueError for an unknown name, and `Unavailable`, which is one, for a named kernel that cannot run there.
    """
    return _chosen("convolution", device, dtype, name)


def depthwise_kernel_for(device: torch.device, dtype: torch.dtype, name: str | None) -> DepthwiseKernel:
    """The same for depthwise convolutions, which not every kernel computes: `Unavailable` for such a one."""
    return cast(DepthwiseKernel, _chosen("depthwise", device, dtype, name))


def feedforward_kernel_for(device: torch.device, dtype: torch.dtype) -> FeedforwardKernel:
    """The best for feed-forward blocks; the one of `SPS_KERNEL` where it computes them there.

    A block is no operation of a backend, so no name comes with it. Raises ValueError where `SPS_KERNEL` names none.
    """
    forced = os.environ.get(VARIABLE)
    if forced and _unavailable("feedforward", forced, device, dtype) is None:
        return cast(FeedforwardKernel, _kernel(forced))
    return cast(FeedforwardKernel, _kernel(_best("feedforward", device, dtype)))


def why_kernel(device: torch.device, dtype: torch.dtype, operation: Operation = "convolution") -> list[str]:
    """Say which kernel runs there, and of each other one why not. Raises ValueError as `kernel_for`."""
    forced = os.environ.get(VARIABLE)
    if forced:
        _chosen(operation, device, dtype, forced)
        return [f"{forced}: used, because {VARIABLE} says so"]
    best = _best(operation, device, dtype)
    lines = [f"{best}: used"]
    for name in names(_PACKAGE):
        if name != best:
            is_slower = name in _ORDER and _ORDER.index(name) > _ORDER.index(best)
            reason = f"slower than {best}" if is_slower else _obstacle(operation, name, device, dtype)
            lines.append(f"{name}: {reason or ''}")
    return lines


def _chosen(operation: Operation, device: torch.device, dtype: torch.dtype, name: str | None) -> Kernel:
    """The kernel of a name, of the environment, or the best."""
    name = name or os.environ.get(VARIABLE)
    if not name:
        return _kernel(_best(operation, device, dtype))
    reason = _unavailable(operation, name, device, dtype)
    if reason is not None:
        raise Unavailable(
            f"The kernel {name!r} cannot compute {dtype} on {device}: {reason}. "
            f"Take another one, or none and unset {VARIABLE}: the best that can is found by itself."
        )
    return _kernel(name)


def _unavailable(operation: Operation, name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a kernel cannot run an operation there; None where it can."""
    kernel = _kernel(name)
    reason = kernel.unavailable(device, dtype)
    if reason is None and operation == "depthwise" and not isinstance(kernel, DepthwiseKernel):
        return "it has no depthwise convolution"
    if reason is None and operation == "feedforward" and not isinstance(kernel, FeedforwardKernel):
        return "it has no feed-forward block"
    return reason


@cache
def _kernel(name: str) -> Kernel:
    """Import a kernel when it is first asked for: some bring a compiler."""
    module: ModuleType = plugin(_PACKAGE, name, "kernel")
    return cast(Kernel, module)


@cache
def _best(operation: Operation, device: torch.device, dtype: torch.dtype) -> str:
    """Name of the first kernel in order that nothing speaks against; nothing speaks against the last."""
    here = [name for name in _ORDER if name in names(_PACKAGE)]
    return next(name for name in here if _obstacle(operation, name, device, dtype) is None)


@cache
def _obstacle(operation: Operation, name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a kernel cannot be chosen: it cannot run, or it fails its certificate, which is worth a warning."""
    reason = _unavailable(operation, name, device, dtype)
    if reason is not None or name == _REFERENCE:
        return reason
    fault = FAILURES[operation](_kernel(name), _kernel(_REFERENCE), device, dtype)
    if fault is None:
        return None
    log.warning("The SPS kernel %r is not used for %s on %s, because it is wrong: %s.", name, dtype, device, fault)
    return f"wrong: {fault}"
