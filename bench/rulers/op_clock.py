"""Charges the time of every operation of torch to the part of a head that asked for it.

Which part that is says the call stack: files and functions of `heads` and `sparsity` have one purpose each. So heads
need no marks, and whoever does not measure pays nothing. What a kernel does inside, such as looking up neighbours while
it multiplies, is one operation.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import bench.model.assemble
import heads
import sparsity

OUTSIDE = ("paste", "other")
"""Parts that belong to no stage."""

_WHOLE = {("heads", "align_regions"): "roi_align", ("bench", "assemble"): "paste"}
_OF_FUNCTION = {
    ("sparsity", "subdivide"): "subdivision",
    ("sparsity", "children_of"): "subdivision",
    ("sparsity", "conv2d"): "convolution",
    ("sparsity", "sfm"): "convolution",
    ("sparsity", "deform_conv2d"): "convolution",
    ("sparsity", "map"): "bookkeeping",
    ("sparsity", "with_active"): "bookkeeping",
    ("sparsity", "unravel"): "bookkeeping",
    ("sparsity", "dense"): "bookkeeping",
}
_OF_FILE = {
    ("heads", "_regions"): "sampling",
    ("heads", "_policies"): "selection",
    ("heads", "_select"): "selection",
}

_CONVOLUTIONS = frozenset({"conv2d", "convolution", "_convolution", "conv_transpose2d"})
_FOLDERS = {
    module.__name__.partition(".")[0]: Path(str(module.__file__)).parent
    for module in (heads, sparsity, bench.model.assemble)
}


Budget = dict[tuple[int, str], float]
"""Milliseconds by stage and part."""


class OpClock(TorchDispatchMode):
    """While entered, `ms[stage, part]` fills up; `now` reads a clock in seconds and waits for the device if need be.

    Stage 0 is everything before the first of the `stages` is entered; choosing what a stage refines counts to the one
    before it. Leaving charges to `other` what the operations do not explain, so that all add up to the time
    inside; asking who is charged is left out of both.
    """

    def __init__(self, now: Callable[[], float], stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.ms: Budget = defaultdict(float)
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
        part = part_of(sys._getframe(1), func._overloadpacket.__name__, args)
        begin = self._now()
        self._asking_ms += (begin - entered) * 1000
        result = func(*args, **(kwargs or {}))
        stage = 0 if part in OUTSIDE else self._stage
        self.ms[stage, part] += (self._now() - begin) * 1000
        return result

    def _enter_stage(self, number: int) -> None:
        self._stage = number


def part_of(frame: FrameType | None, operation: str, operands: Sequence[object]) -> str:
    """The part of a head that asked for an operation, by its callers in `heads` and `sparsity`.

    The innermost that has a part counts, but for RoIAlign and pasting, which have all that they call. Where a layer of
    a head comes first, as in a function that a grid maps, the operation belongs to the layer.
    """
    callers = list(_callers(frame))
    for package, _, function in callers:
        if (package, function) in _WHOLE:
            return _WHOLE[package, function]
    for package, stem, function in callers:
        part = _OF_FUNCTION.get((package, function)) or _OF_FILE.get((package, stem))
        if part is not None:
            return part
        if package == "heads":
            break
    if operation in _CONVOLUTIONS:
        weight = operands[1]
        if isinstance(weight, Tensor) and tuple(weight.shape[2:]) != (1, 1):
            return "dense_convolution"
    return "pointwise"


def _callers(frame: FrameType | None) -> Iterator[tuple[str, str, str]]:
    """Package, file and function of every caller in the two packages, the innermost first."""
    while frame is not None:
        place = _place(frame.f_code.co_filename)
        if place is not None:
            yield *place, frame.f_code.co_name
        frame = frame.f_back


@cache
def _place(file: str) -> tuple[str, str] | None:
    """Package and stem of a file of the two packages, None for any other."""
    for package, folder in _FOLDERS.items():
        if Path(file).is_relative_to(folder):
            return package, Path(file).stem
    return None
