"""A small certificate: is a kernel right on this device, in this dtype? Milliseconds, so that every process can ask.

The calls are small and take every path that kernels may have: all feature sizes of EffSeg and odd ones, windows of 1, 3
and 5 cells, one branch and three, with and without bias, activation and sibling quads, few rows and many.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sparsity._kernels._call import Call, DepthwiseCall, FeedforwardCall
from sparsity._lattice import children_of

FORWARD_LIMITS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest max|a - b| / max|b| that is rounding, as in the certificate of a backend."""

GRADIENT_LIMITS = {**FORWARD_LIMITS, torch.float64: 1e-11, torch.float32: 2e-5}

TF32_LIMIT = 1e-2
"""Of float32 on a GPU where matrix products may use TF32, which has the digits of float16."""

_FAR = 16.0
"""A bias that is far more than a convolution here adds up to: rounding changes no sign."""


AnyCall = TypeVar("AnyCall", Call, DepthwiseCall, FeedforwardCall)


@runtime_checkable
class Kernel(Protocol):
    """A module of this folder."""

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Why the kernel cannot run there; None where it can."""
        ...

    def forward(self, call: Call, keep_signs: bool) -> tuple[Float[Tensor, "A O"], UInt8[Tensor, "A D _"]]:
        """Compute a convolution, and the signs of its branches where asked."""
        ...

    def backward(
        self, call: Call, signs: UInt8[Tensor, "A D _"], gradient: Float[Tensor, "A O"], needed: tuple[bool, bool, bool]
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
        """Compute the gradients of buffer, weight and bias; [0] where not needed."""
        ...


@runtime_checkable
class DepthwiseKernel(Protocol):
    """A module of this folder that computes depthwise convolutions too."""

    def depthwise(self, call: DepthwiseCall) -> Float[Tensor, "A F"]:
        """Compute a depthwise convolution."""
        ...

    def depthwise_backward(
        self, call: DepthwiseCall, gradient: Float[Tensor, "A F"], needed: tuple[bool, bool]
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """Compute the gradients of buffer and weight; [0] where not needed."""
        ...


@runtime_checkable
class FeedforwardKernel(Protocol):
    """A module of this folder that computes feed-forward blocks too."""

    def feedforward(self, call: FeedforwardCall) -> Float[Tensor, "N F"]:
        """Compute a normalised feed-forward block."""
        ...


Operation = Literal["convolution", "depthwise", "feedforward"]


def failure(kernel: Kernel, reference: Kernel, device: torch.device, dtype: torch.dtype) -> str | None:
    """Say what is wrong with a kernel, beside the reference in float64 on the same rounded numbers; None if nothing."""
    return _first_fault(_calls(), lambda one, call: _results(cast(Kernel, one), call), kernel, reference, device, dtype)


def depthwise_failure(kernel: object, reference: object, device: torch.device, dtype: torch.dtype) -> str | None:
    """The same for the depthwise convolution of a `DepthwiseKernel`."""
    return _first_fault(
        _depthwise_calls(),
        lambda one, call: _depthwise_results(cast(DepthwiseKernel, one), call),
        kernel,
        reference,
        device,
        dtype,
    )


def feedforward_failure(kernel: object, reference: object, device: torch.device, dtype: torch.dtype) -> str | None:
    """The same for the feed-forward block of a `FeedforwardKernel`."""
    return _first_fault(
        _feedforward_calls(),
        lambda one, call: {"output": cast(FeedforwardKernel, one).feedforward(call)},
        kernel,
        reference,
        device,
        dtype,
    )


def _first_fault(
    calls: Iterable[AnyCall],
    results: Callable[[object, AnyCall], dict[str, Tensor]],
    kernel: object,
    reference: object,
    device: torch.device,
    dtype: torch.dtype,
) -> str | None:
    for call in calls:
        ours = _converted(call, device, dtype)
        theirs = _converted(ours, torch.device("cpu"), torch.float64)
        try:
            found, expected = (results(one, of) for one, of in ((kernel, ours), (reference, theirs)))
            for quantity, wanted in expected.items():
                error = _error(found[quantity], wanted)
                limit = (FORWARD_LIMITS if quantity == "output" else GRADIENT_LIMITS)[dtype]
                if device.type == "cuda" and torch.backends.cuda.matmul.fp32_precision == "tf32":
                    limit = max(limit, TF32_LIMIT)
                if not error <= limit:
                    return f"{quantity} is off by {error:.1e} for {_described(call)}"
        except Exception as error:  # whatever is wrong with it, there is another kernel
            return f"{type(error).__name__} for {_described(call)}: {error}"
    return None


def _calls() -> Iterator[Call]:
    three = (1, 3, 5)
    generator = torch.Generator().manual_seed(0)
    for features, outputs, side, dilations, has_bias, quads, lattice_side in (
        (32, 32, 3, three, True, True, 4),
        (64, 64, 3, three, True, True, 4),
        (128, 128, 3, (1,), True, True, 4),
        (32, 32, 3, (1,), True, True, 32),  # so many rows that a kernel may take another way
        (5, 3, 5, (1, 2), True, False, 4),
        (48, 20, 3, (1,), False, True, 4),
        (7, 16, 1, (1,), False, False, 4),
    ):
        call = _call(features, outputs, side, dilations, quads, lattice_side, generator)
        yield replace(call, bias=call.bias if has_bias else None, activation=has_bias)


def _depthwise_calls() -> Iterator[DepthwiseCall]:
    three = (1, 3, 5)
    generator = torch.Generator().manual_seed(2)
    for features, side, dilations, has_bias, lattice_side in (
        (32, 3, three, True, 4),
        (64, 3, three, True, 4),
        (128, 3, (1,), True, 4),
        (32, 3, three, True, 32),
        (5, 5, (1, 2), True, 4),
        (48, 3, (1,), False, 4),
        (7, 1, (1,), False, 4),
    ):
        full = _call(features, features, side, dilations, True, lattice_side, generator)
        assert full.bias is not None
        yield DepthwiseCall(
            buffer=full.buffer,
            rows=full.rows,
            cells=full.cells,
            weight=full.weight[:, 0] * features**0.5,
            bias=full.bias[0] if has_bias else None,
            dilations=dilations,
        )


def _feedforward_calls() -> Iterator[FeedforwardCall]:
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    for num_rows, features, hidden in ((100, 32, 128), (100, 64, 256), (20, 128, 512), (3, 37, 19), (1, 5, 300)):
        yield FeedforwardCall(
            rows=normal(num_rows, features) + 2,
            added=normal(num_rows, features),
            scale=normal(features),
            shift=normal(features),
            weight_in=normal(hidden, features) / features**0.5,
            bias_in=normal(hidden),
            weight_out=normal(features, hidden) / hidden**0.5,
            bias_out=normal(features),
            epsilon=1e-5,
        )


def _call(
    features: int,
    outputs: int,
    side: int,
    dilations: tuple[int, ...],
    quads: bool,
    lattice_side: int,
    generator: torch.Generator,
) -> Call:
    """Two square regions, a third of whose cells are refined: 2x2 children each, while the others are passive."""
    size = (2, lattice_side, lattice_side)
    num_cells = 2 * lattice_side**2
    num_kept = num_cells // 3 + 1
    order = torch.randperm(num_cells, generator=generator)
    keep, passive = order[:num_kept].sort().values, order[num_kept:].sort().values
    first_active = 1 + len(passive)
    row_of = torch.empty(num_cells, dtype=torch.int64)
    row_of[passive] = torch.arange(1, first_active)
    row_of[keep] = first_active + 4 * torch.arange(num_kept)
    child = torch.tensor([[0, 1], [2, 3]]).repeat(1, lattice_side, lattice_side)
    blocks = row_of.view(size).repeat_interleave(2, 1).repeat_interleave(2, 2)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    buffer = normal(first_active + 4 * num_kept, features)
    buffer[0] = 0
    return Call(
        buffer=buffer,
        rows=(blocks + child * (blocks >= first_active)).to(torch.int32),
        cells=children_of(keep.to(torch.int32), size),
        weight=normal(len(dilations), outputs, side**2, features) / (side**2 * features) ** 0.5,
        bias=0.3 * normal(len(dilations), outputs),
        dilations=dilations,
        activation=True,
        quads=quads,
    )


def _converted(call: AnyCall, device: torch.device, dtype: torch.dtype) -> AnyCall:
    given = {field.name: getattr(call, field.name) for field in fields(call)}
    moved: dict[str, Any] = {
        name: value.to(device, dtype if value.is_floating_point() else None)
        for name, value in given.items()
        if isinstance(value, Tensor)
    }
    return replace(call, **moved)


def _results(kernel: Kernel, call: Call) -> dict[str, Tensor]:
    """Output near the kinks of the activation, and gradients away from them, where rounding would flip one."""
    output, _ = kernel.forward(call, False)
    far = call
    if call.bias is not None:
        signs = torch.where(torch.arange(call.bias.shape[1], device=call.bias.device) % 2 == 0, _FAR, -_FAR)
        far = replace(call, bias=signs.to(call.bias).expand_as(call.bias).contiguous())
    _, signs = kernel.forward(far, far.activation)
    gradient = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16).to(output)
    of_buffer, of_weight, of_bias = kernel.backward(far, signs, gradient, (True, True, True))
    return {
        "output": output,
        "gradient of the features": of_buffer,
        "gradient of the weight": of_weight,
        "gradient of the bias": of_bias,
    }


def _depthwise_results(kernel: DepthwiseKernel, call: DepthwiseCall) -> dict[str, Tensor]:
    output = kernel.depthwise(call)
    gradient = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16).to(output)
    of_buffer, of_weight = kernel.depthwise_backward(call, gradient, (True, True))
    return {"output": output, "gradient of the features": of_buffer, "gradient of the weight": of_weight}


def _error(found: Float[Tensor, "*shape"], expected: Float[Tensor, "*shape"]) -> float:
    """`max|a - b| / max|b|`; NaN where there is one."""
    return float((found.cpu().double() - expected).abs().max() / expected.abs().max())


def _described(call: Call | DepthwiseCall | FeedforwardCall) -> str:
    if isinstance(call, FeedforwardCall):
        hidden, features = call.weight_in.shape
        return f"{len(call.rows)} rows of {features} features, {hidden} hidden"
    num_taps, features = call.weight.shape[-2:]
    to = f"to {call.weight.shape[1]}" if isinstance(call, Call) else "depthwise"
    return f"{features} {to} features, {num_taps} taps, dilations {', '.join(map(str, call.dilations))}"


FAILURES: dict[Operation, Callable[[Kernel, Kernel, torch.device, torch.dtype], str | None]] = {
    "convolution": failure,
    "depthwise": depthwise_failure,
    "feedforward": feedforward_failure,
}
"""The certificate of each operation."""
