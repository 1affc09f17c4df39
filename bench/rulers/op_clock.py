"""Charges the time of every operation of torch to the part of a head that asked for it.

Which part that is says the call stack: the functions that heads and backends are made of have one purpose each. So
heads need no marks, and whoever does not measure pays nothing. What a kernel does inside, such as looking up neighbours
while it multiplies, is one operation.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from inspect import getmembers, isfunction, unwrap
from types import CodeType, FrameType, TracebackType

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import heads
import sparsity
from bench.model.assemble import assemble

OUTSIDE = ("paste", "other")
"""Parts that belong to no stage."""

_WHOLE = ("roi_align", "paste")
"""Parts whose functions have all that they call."""

_CONVOLUTIONS = frozenset({"conv2d", "convolution", "_convolution", "conv_transpose2d"})

Function = Callable[..., object]

Charges = Mapping[CodeType, str]
"""The part of every function that has one, by its code."""

PartTimes = dict[tuple[int, str], float]
"""Milliseconds by stage and part."""


def charges() -> Charges:
    """Who is charged for what: the functions that heads share, the methods of every backend in the folder, pasting."""
    backends = [sparsity.backend(name) for name in sparsity.names("sparsity")]

    def of_backends(*methods: str) -> list[Function]:
        return [getattr(each, method) for each in backends for method in methods if hasattr(each, method)]

    rules = [each for _, each in getmembers(heads.policies, isfunction) if each.__module__ == heads.policies.__name__]
    operations = ("conv2d", "sfm", "depthwise", "deform_conv2d")
    functions: dict[str, Sequence[Function]] = {
        "roi_align": [heads.align_regions],
        "selection": [heads.top_cells, heads.top_per_region, *rules],
        "subdivision": [sparsity.children_of, *of_backends("subdivide")],
        "sampling": [*filter(isfunction, vars(heads.FlatPyramid).values()), heads.cell_points, heads.region_levels],
        "convolution": [*(getattr(sparsity, name) for name in operations), *of_backends(*operations)],
        "bookkeeping": [sparsity.unravel, *of_backends("dense", "map", "with_active")],
        "paste": [assemble],
    }
    return {code: part for part, charged in functions.items() for function in charged for code in _codes(function)}


class OpClock(TorchDispatchMode):
    """While entered, `ms[stage, part]` fills up; `now` reads a clock in seconds and waits for the device if need be.

    Stage 0 is everything before the first of the `stages` is entered; choosing what a stage refines counts to the one
    before it. Leaving charges to `other` what the operations do not explain, so that all add up to the time
    inside; asking who is charged is left out of both.
    """

    def __init__(self, now: Callable[[], float], stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.ms: PartTimes = defaultdict(float)
        self._charges = charges()
        self._now = now
        self._stage = 0
        self._asking_ms = 0.0
        self._hooks = [
            stage.register_forward_pre_hook(lambda *_, number=number: self._enter_stage(number))
            for number, stage in enumerate(stages, start=1)
        ]

    def __enter__(self) -> "OpClock":
        self._begin = self._now()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for hook in self._hooks:
            hook.remove()
        inside_ms = (self._now() - self._begin) * 1000 - self._asking_ms
        self.ms[0, "other"] = inside_ms - sum(self.ms.values())

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        entered = self._now()
        part = part_of(self._charges, sys._getframe(1), func._overloadpacket.__name__, args)
        begin = self._now()
        self._asking_ms += (begin - entered) * 1000
        result = func(*args, **(kwargs or {}))
        stage = 0 if part in OUTSIDE else self._stage
        self.ms[stage, part] += (self._now() - begin) * 1000
        return result

    def _enter_stage(self, number: int) -> None:
        self._stage = number


def part_of(charged: Charges, frame: FrameType | None, operation: str, operands: Sequence[object]) -> str:
    """The part of a head that asked for an operation, by its callers.

    The innermost that has a part counts, but for RoIAlign and pasting, which have all that they call. Where a grid
    calls back into a head, as in `map`, the operation belongs to the layer.
    """
    callers = list(_callers(frame))
    for _, code in callers:
        if charged.get(code) in _WHOLE:
            return charged[code]
    in_head = False
    for package, code in callers:
        if in_head and package == sparsity.__name__:
            break
        if code in charged:
            return charged[code]
        in_head |= package == heads.__name__
    if operation in _CONVOLUTIONS:
        weight = operands[1]
        if isinstance(weight, Tensor) and tuple(weight.shape[2:]) != (1, 1):
            return "dense_convolution"
    return "pointwise"


def _callers(frame: FrameType | None) -> Iterator[tuple[str, CodeType]]:
    """Package and code of every caller in the project, the innermost first."""
    while frame is not None:
        package = _project_package(frame.f_globals.get("__name__", ""))
        if package is not None:
            yield package, frame.f_code
        frame = frame.f_back


@cache
def _project_package(module: str) -> str | None:
    package = module.partition(".")[0]
    return package if package in (sparsity.__name__, heads.__name__, __name__.partition(".")[0]) else None


def _codes(function: Function) -> Iterator[CodeType]:
    """The code of a function, below what wraps it, and of those that it defines."""
    codes = [unwrap(getattr(function, "__func__", function)).__code__]
    while codes:
        code = codes.pop()
        yield code
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
