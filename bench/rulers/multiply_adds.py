"""Two rulers for multiply-adds: torch's FLOP counter with our handlers, and fvcore, the ruler of the paper.

Both count one multiply-add as one (`macs`; the paper's "GFLOPs"). Convolutions and matrix products must agree between
them. Beside these, both charge what the paper's measurement charged: bilinear resizing, grid sampling and RoIAlign 4
per output, normalisation 5 per output, nearest resizing 1, average pooling 1 per input. Element-wise operations,
indexing, top-k and NMS are not counted; they are listed as uncounted, so that a silent zero cannot hide.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TypeVar

import torch
import torchvision  # noqa: F401  (registers torchvision::roi_align, whose handler needs the name to exist)
from torch import Tensor, nn
from torch._ops import OpOverloadPacket
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import sparsity.sps  # noqa: F401  (registers sps::conv, for the same reason)
from sparsity import feedforward  # noqa: F401  (registers sps::feedforward)

aten = torch.ops.aten
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Count:
    """Multiply-adds by kind, and how often each operation ran that is not counted.

    `old_deconvolution` is what the paper's fvcore (before its fix of October 2021) charged *on top* for transposed
    convolutions, by counting them at their output resolution.
    """

    macs: Counter[str] = field(default_factory=Counter)
    old_deconvolution: int = 0
    uncounted: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All multiply-adds, transposed convolutions counted correctly."""
        return sum(self.macs.values())

    @property
    def conv_and_matmul(self) -> int:
        """The part on which the two rulers must agree."""
        return self.macs["convolution"] + self.macs["matmul"]

    def __add__(self, other: "Count") -> "Count":
        return Count(
            macs=self.macs + other.macs,
            old_deconvolution=self.old_deconvolution + other.old_deconvolution,
            uncounted=self.uncounted + other.uncounted,
        )


@contextmanager
def counting() -> Iterator[None]:
    """Run attention as separate products: its fused kernels are opaque to both rulers, which would count 0."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


_COUNTED_BY_TORCH = {
    aten.convolution: "convolution",
    aten._convolution: "convolution",
    aten.mm: "matmul",
    aten.addmm: "matmul",
    aten.bmm: "matmul",
    aten.baddbmm: "matmul",
    # A kernel of SPS does what a gather and one matrix product per branch would do.
    torch.ops.sps.conv: "matmul",
    torch.ops.sps.depthwise: "matmul",
    torch.ops.sps.feedforward: "matmul",
}

# Multiply-adds per element of the output (of the input for pooling), as fvcore charges them; torch leaves them out.
_COUNTED_BY_US = {
    aten.native_layer_norm: ("norm", 5),
    aten.native_group_norm: ("norm", 5),
    torch.ops.sps.feedforward: ("norm", 5),  # what it normalises is as large as what it gives
    aten.upsample_bilinear2d: ("resample", 4),
    aten.upsample_nearest2d: ("resample", 1),
    aten.grid_sampler_2d: ("resample", 4),
    # Bilinear samples as sums over bags of four corners: heads.FlatPyramid.
    aten._embedding_bag: ("resample", 4),
    aten._embedding_bag_forward_only: ("resample", 4),
    aten._adaptive_avg_pool2d: ("pool", 1),
    torch.ops.torchvision.roi_align: ("roi_align", 4),
}


def count_torch(function: Callable[[], T]) -> tuple[Count, T]:
    """Count one call with torch's FLOP counter and our handlers, and give its result. Call inside `counting()`.

    Works on meta tensors, where only shapes are computed.
    """
    counter, ours = FlopCounterMode(display=False), _Handlers()
    with counter, ours:
        result = function()
    macs = Counter(ours.macs)
    by_op = counter.get_flop_counts().get("Global", {})
    for op, flops in by_op.items():
        macs[_COUNTED_BY_TORCH.get(op, "other")] += flops // 2
    uncounted = Counter({op.__name__: n for op, n in ours.seen.items() if op not in by_op and op not in _COUNTED_BY_US})
    return Count(macs=macs, old_deconvolution=ours.old_deconvolution, uncounted=uncounted), result


class _Handlers(TorchDispatchMode):
    """Counts what torch's counter leaves out, and remembers everything that computed something."""

    # Views and copies compute nothing.
    _MOVES = frozenset(
        {"clone", "copy_", "_to_copy", "_unsafe_view", "detach", "cat", "stack"}
        | {"empty", "zeros", "ones", "arange", "full", "new_zeros"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()
        self.old_deconvolution = 0
        self.seen: Counter[OpOverloadPacket] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        packet = func._overloadpacket
        if packet is aten.grid_sampler_2d and args[0].is_meta:
            # torch finds this shape by computing the samples symbolically: most of the time of a count.
            result = args[0].new_empty((*args[0].shape[:2], *args[1].shape[1:3]))
        else:
            result = func(*args, **(kwargs or {}))
        if not func.is_view and packet.__name__ not in self._MOVES:
            self.seen[packet] += 1
        if packet in _COUNTED_BY_US:
            kind, factor = _COUNTED_BY_US[packet]
            output = args[0] if kind == "pool" else result[0] if isinstance(result, tuple) else result
            if packet is aten.native_layer_norm and args[2] is None:
                factor -= 1  # without scale and shift
            self.macs[kind] += factor * output.numel()
        elif packet in (aten.convolution, aten._convolution) and args[6]:
            x, weight = args[0], args[1]
            cells_in, cells_out = prod(x.shape[2:]), prod(result.shape[2:])
            self.old_deconvolution += x.shape[0] * weight.numel() * (cells_out - cells_in)
        return result


_KIND_OF_FVCORE = {
    "conv": "convolution",
    "linear": "matmul",
    "addmm": "matmul",
    "mm": "matmul",
    "bmm": "matmul",
    "matmul": "matmul",
    "einsum": "matmul",
    "sps_conv": "matmul",
    "sps_depthwise": "matmul",
    "sps_feedforward": "matmul",
    "scaled_dot_product_attention": "matmul",
    "layer_norm": "norm",
    "group_norm": "norm",
    "upsample_bilinear2d": "resample",
    "upsample_nearest2d": "resample",
    "grid_sampler": "resample",
    "embedding_bag": "resample",
    "adaptive_avg_pool2d": "pool",
    "roi_align": "roi_align",
}


def count_fvcore(module: nn.Module, inputs: tuple[Tensor, ...]) -> Count:
    """Count one call of a module on real tensors with fvcore. Call inside `counting()`."""
    with _without_deprecations():
        from fvcore.nn import FlopCountAnalysis
        from fvcore.nn.jit_handles import get_shape

    def roi_align(inputs: list[object], outputs: list[object]) -> Counter[str]:
        return Counter({"roi_align": 4 * prod(get_shape(outputs[0]))})

    def attention(inputs: list[object], outputs: list[object]) -> Counter[str]:
        *batch, num_queries, width = get_shape(inputs[0])
        num_keys, value_width = get_shape(inputs[1])[-2], get_shape(inputs[2])[-1]
        macs = prod(batch) * num_queries * num_keys * (width + value_width)
        return Counter({"scaled_dot_product_attention": macs})

    def bags_of_four(inputs: list[object], outputs: list[object]) -> Counter[str]:
        return Counter({"embedding_bag": 4 * prod(get_shape(outputs[0]))})

    def sparse_convolution(inputs: list[object], outputs: list[object]) -> Counter[str]:
        (num_active,), weight = get_shape(inputs[2]), get_shape(inputs[3])
        return Counter({"sps_conv": num_active * prod(weight)})

    def sparse_depthwise(inputs: list[object], outputs: list[object]) -> Counter[str]:
        (num_active,), weight = get_shape(inputs[2]), get_shape(inputs[3])
        return Counter({"sps_depthwise": num_active * prod(weight)})

    def feedforward_block(inputs: list[object], outputs: list[object]) -> Counter[str]:
        num_rows, features = get_shape(inputs[0])
        macs = 2 * num_rows * prod(get_shape(inputs[4]))
        return Counter({"sps_feedforward": macs, "layer_norm": 5 * num_rows * features})

    analysis = FlopCountAnalysis(module, inputs)
    analysis.set_op_handle("torchvision::roi_align", roi_align, "aten::scaled_dot_product_attention", attention)
    analysis.set_op_handle("aten::embedding_bag", bags_of_four, "sps::conv", sparse_convolution)
    analysis.set_op_handle("sps::depthwise", sparse_depthwise, "sps::feedforward", feedforward_block)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    # fvcore logs on the root of its own hierarchy; what it cannot count is in the result.
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    macs: Counter[str] = Counter()
    with _without_deprecations():
        by_operator = analysis.by_operator()
    for name, flops in by_operator.items():
        macs[_KIND_OF_FVCORE.get(name, "other")] += int(flops)
    uncounted = Counter({name.removeprefix("aten::"): n for name, n in analysis.unsupported_ops().items()})
    return Count(macs=macs, uncounted=uncounted)


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """Keep to ourselves that fvcore rests on TorchScript, which torch deprecates: the second ruler outlives it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
