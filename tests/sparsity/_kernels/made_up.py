"""Made-up sparse convolutions, and what they should give: a dense convolution of the expanded map, in its dtype."""

from dataclasses import fields, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sparsity._kernels._call import Call, DepthwiseCall, FeedforwardCall
from sparsity._kernels._trial import AnyCall
from sparsity.sps import Backend


def made_up(
    *,
    features: int = 8,
    outputs: int = 8,
    kernel_size: int = 3,
    dilations: tuple[int, ...] = (1, 3, 5),
    activation: bool = True,
    has_bias: bool = True,
    size: tuple[int, int, int] = (3, 5, 4),
    kept_shares: tuple[float, ...] = (0.6, 0.4),
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> Call:
    """A random convolution on a grid that was subdivided at random: `kept_shares` of the cells, one share a time.

    Results are of the order of 1. Without shares every cell is active and `quads` is False; after a share of 0 none is.
    The same seed gives the same numbers in every dtype, up to rounding.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    grid = Backend.dense(normal(size[0], features, *size[1:]))
    for share in kept_shares:
        num_active = grid.num_active
        keep = torch.randperm(num_active, generator=generator)[: round(share * num_active)].sort().values
        grid = grid.subdivide(keep, normal(4 * len(keep), features))
    num_taps = kernel_size**2
    weight = normal(len(dilations), outputs, num_taps, features) / (num_taps * features) ** 0.5
    bias = 0.3 * normal(len(dilations), outputs)
    return Call(
        buffer=grid.buffer.to(device, dtype),
        rows=grid.rows.to(device),
        cells=grid.cells.to(device),
        weight=weight.to(device, dtype),
        bias=bias.to(device, dtype) if has_bias else None,
        dilations=dilations,
        activation=activation,
        quads=bool(kept_shares),
    )


def made_up_depthwise(call: Call) -> DepthwiseCall:
    """A depthwise convolution of the same cells: the weights of the first output, the bias of the first branch."""
    return DepthwiseCall(
        buffer=call.buffer,
        rows=call.rows,
        cells=call.cells,
        weight=call.weight[:, 0] * call.weight.shape[3] ** 0.5,
        bias=None if call.bias is None else call.bias[0].repeat(call.weight.shape[3])[: call.weight.shape[3]],
        dilations=call.dilations,
    )


def lonely(call: Call) -> Call:
    """The same call with every second cell in each direction active, so that no 3x3 neighbour of an active cell is."""
    regions, height, width = call.rows.shape
    cells = torch.arange(regions * height * width, dtype=torch.int32).reshape(regions, height, width)
    chosen = cells[:, ::2, ::2].flatten()
    is_chosen = torch.zeros(cells.numel(), dtype=torch.bool).index_put((chosen,), torch.tensor(True))
    num_others = int((~is_chosen).sum())
    rows = torch.where(is_chosen, is_chosen.cumsum(0) + num_others, (~is_chosen).cumsum(0)).to(torch.int32)
    generator = torch.Generator().manual_seed(1)
    buffer = torch.randn(1 + cells.numel(), call.buffer.shape[1], generator=generator, dtype=torch.float64)
    buffer[0] = 0
    return replace(
        call, buffer=buffer.to(call.buffer), rows=rows.reshape(cells.shape).to(call.rows), cells=chosen, quads=False
    )


def off_kink(call: Call) -> Call:
    """The same call with half of the branch outputs far above zero and half far below: no sign hangs on rounding."""
    assert call.bias is not None
    far = torch.full_like(call.bias, 16.0)
    far[:, ::2] = -16.0
    return replace(call, bias=far)


def double(call: AnyCall) -> AnyCall:
    """The same call, as rounded, in float64 on the CPU."""
    converted = {
        field.name: value.to("cpu", torch.float64 if value.is_floating_point() else value.dtype)
        for field in fields(call)
        if isinstance(value := getattr(call, field.name), Tensor)
    }
    return replace(call, **converted)


def expected(call: Call) -> Float[Tensor, "A O"]:
    """Convolve the expanded map densely, and take the active cells; differentiable by torch alone."""
    full = call.buffer.index_select(0, call.rows.flatten()).unflatten(0, call.rows.shape).permute(0, 3, 1, 2)
    side = round(call.weight.shape[2] ** 0.5)
    total = torch.zeros(())
    for branch, dilation in enumerate(call.dilations):
        weight = call.weight[branch].unflatten(1, (side, side)).permute(0, 3, 1, 2)
        bias = None if call.bias is None else call.bias[branch]
        one = F.conv2d(full, weight, bias, padding=side // 2 * dilation, dilation=dilation)
        total = total + (one.relu() if call.activation else one)
    return total.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, call.cells)


def expected_gradients(call: Call, gradient: Float[Tensor, "A O"]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of buffer, weight and bias where that of the result is `gradient`, by autograd of `expected`."""
    leaves = [value.detach().requires_grad_() for value in (call.buffer, call.weight, call.bias) if value is not None]
    result = expected(replace(call, **dict(zip(("buffer", "weight", "bias"), leaves, strict=False))))
    found = torch.autograd.grad(result, leaves, gradient, allow_unused=True, materialize_grads=True)
    return found[0], found[1], found[2] if call.bias is not None else None


def expected_depthwise(call: DepthwiseCall) -> Float[Tensor, "A F"]:
    """Convolve the expanded map densely in groups, and take the active cells; differentiable by torch alone."""
    full = call.buffer.index_select(0, call.rows.flatten()).unflatten(0, call.rows.shape).permute(0, 3, 1, 2)
    side, features = call.kernel_size, call.buffer.shape[1]
    total = torch.zeros(()) if call.bias is None else call.bias[:, None, None]
    for weight, dilation in zip(call.weight, call.dilations, strict=True):
        kernel = weight.T.unflatten(1, (side, side))[:, None]
        total = total + F.conv2d(full, kernel, padding=side // 2 * dilation, dilation=dilation, groups=features)
    return total.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, call.cells)


def expected_depthwise_gradients(call: DepthwiseCall, gradient: Float[Tensor, "A F"]) -> tuple[Tensor, Tensor]:
    """Gradients of buffer and weight by autograd of `expected_depthwise`; of the buffer without the zero row."""
    buffer, weight = (value.detach().requires_grad_() for value in (call.buffer, call.weight))
    result = expected_depthwise(replace(call, buffer=buffer, weight=weight))
    of_buffer, of_weight = torch.autograd.grad(
        result, (buffer, weight), gradient, allow_unused=True, materialize_grads=True
    )
    of_buffer[:1] = 0
    return of_buffer, of_weight


def made_up_feedforward(
    num_rows: int, features: int, hidden: int, dtype: torch.dtype = torch.float32
) -> FeedforwardCall:
    """A feed-forward block whose rows have a mean that is not zero."""
    generator = torch.Generator().manual_seed(num_rows + features)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    return FeedforwardCall(
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


def expected_feedforward(call: FeedforwardCall) -> Float[Tensor, "N F"]:
    """The block in float64, by its formula."""
    tensors = [value.double() for value in vars(call).values() if isinstance(value, Tensor)]
    rows, added, scale, shift, weight_in, bias_in, weight_out, bias_out = tensors
    centred = rows - rows.mean(1, keepdim=True)
    normed = centred / (centred.square().mean(1, keepdim=True) + call.epsilon).sqrt() * scale + shift
    return added + (normed @ weight_in.T + bias_in).clamp(min=0) @ weight_out.T + bias_out
