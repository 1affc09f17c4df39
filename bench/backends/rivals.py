"""The SFM of a stage by several methods that are timed in turn: a kernel, the naive one of the paper, Dense.

`forward` ends with the rows of the active cells, on all sides. `training` is forward and backward, with gradients of
features, weights and biases; Dense gets gradients of all its cells, the others of the active ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor

from bench.backends.activity import Activity
from bench.backends.dense_layouts import LAYOUTS, dense_in_layouts
from bench.backends.stages import DILATIONS, Weights, stage_grids, weights_like
from bench.contract import Context
from sparsity import Grid, GridType, backend, sfm, window
from sparsity.sps import Backend

Rivals = Mapping[str, Callable[[], object]]

OURS, NAIVE, NAIVE_FLOAT32 = "ours", "naive", "naive_float32"


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """The last stage of an activity: with the kernel that is measured, and on Dense; both have the same features.

    `neighbors`: of every branch, the rows of `ours.buffer` that the taps of every active cell show, found beforehand.
    """

    ours: Backend
    dense: Grid
    weights: Weights
    neighbors: tuple[Int32[Tensor, "A T"], ...]


def make_workload(kind: GridType, made: Activity, context: Context) -> Workload:
    """Build the last stage of an activity. Raises ValueError for a backend without kernels, any but `sps`."""
    ours = stage_grids(kind, made, context)[-1]
    if not isinstance(ours, Backend):
        raise ValueError(
            f"The probe of kernels was given a grid of {type(ours).__module__}, which has none; expected one of the "
            "backend sps; name its kernels, as in sps:native."
        )
    # Float64 holds the number of every row, and a grid of these numbers tells which row a tap shows.
    numbers = torch.arange(len(ours.buffer), dtype=torch.float64, device=ours.buffer.device)
    numbered = replace(ours, buffer=numbers[:, None])
    shown = (numbered.gather(window(3, dilation, numbers.device))[:, :, 0] for dilation in DILATIONS)
    return Workload(
        ours=ours,
        dense=stage_grids(backend("dense"), made, context)[-1],
        weights=weights_like(ours.active, context),
        neighbors=tuple(rows.to(torch.int32) for rows in shown),
    )


def forward(workload: Workload) -> Rivals:
    """The forward pass of all, the measured kernel first; in half precision the naive one also in float32."""
    weights, buffer = workload.weights, workload.ours.buffer
    rivals: dict[str, Callable[[], object]] = {
        OURS: lambda: sfm(workload.ours, weights.branches, weights.bias, DILATIONS),
        NAIVE: lambda: naive(buffer, workload.neighbors, weights.branches, weights.bias),
        **dense_in_layouts(workload.dense, weights, "sfm"),
    }
    if buffer.dtype in (torch.bfloat16, torch.float16):
        exact = (buffer.float(), workload.neighbors, weights.branches.float(), weights.bias.float())
        rivals[NAIVE_FLOAT32] = lambda: naive(*exact)
    return rivals


def training(workload: Workload) -> Mapping[str, Callable[[], tuple[Tensor, ...]]]:
    """Forward and backward of all, the measured kernel first; gradients of features, weights and biases come back."""
    branches, bias = _leaf(workload.weights.branches), _leaf(workload.weights.bias)
    buffer = _leaf(workload.ours.buffer)
    full = workload.dense.to_dense()
    maps = {name: _leaf(full.contiguous(memory_format=layout)) for name, layout in LAYOUTS.items()}

    def both_ways(
        forward: Callable[[Tensor], Tensor], features: Tensor, gradient: Tensor
    ) -> Callable[[], tuple[Tensor, ...]]:
        def run() -> tuple[Tensor, ...]:
            # What is timed usually needs no gradient, so rivals are called in inference mode.
            with torch.inference_mode(mode=False), torch.enable_grad():
                return torch.autograd.grad(forward(features), (features, branches, bias), gradient)

        return run

    def by_kernel(rows: Tensor) -> Tensor:
        return sfm(replace(workload.ours, buffer=rows), branches, bias, DILATIONS)

    def naively(rows: Tensor) -> Tensor:
        return naive(rows, workload.neighbors, branches, bias)

    def densely(of_layout: Tensor) -> Tensor:
        return _dense(of_layout, branches, bias)

    of_rows = torch.ones_like(workload.ours.active)
    return {
        OURS: both_ways(by_kernel, buffer, of_rows),
        NAIVE: both_ways(naively, buffer, of_rows),
        **{name: both_ways(densely, of_layout, torch.ones_like(of_layout)) for name, of_layout in maps.items()},
    }


def naive(
    buffer: Float[Tensor, "N F"],
    neighbors: Sequence[Int32[Tensor, "A T"]],
    branches: Float[Tensor, "D F F 3 3"],
    bias: Float[Tensor, "D F"],
) -> Float[Tensor, "A F"]:
    """Gather and matrix product per branch, in plain torch with plain gradients: the baseline of every speed-up.

    Unlike the kernel `reference` it is given the row numbers and pays nothing for finding them. Do not make it faster.
    """
    first, *others = (
        F.relu(
            F.linear(
                buffer.index_select(0, rows.flatten()).view(len(rows), -1),
                weight.permute(0, 2, 3, 1).flatten(1),
                of_branch,
            )
        )
        for rows, weight, of_branch in zip(neighbors, branches, bias, strict=True)
    )
    return sum(others, first)


def _dense(
    full: Float[Tensor, "R F H W"], branches: Float[Tensor, "D F F 3 3"], bias: Float[Tensor, "D F"]
) -> Float[Tensor, "R F H W"]:
    """All cells; picking the active ones would charge Dense with a scatter in its backward."""
    first, *others = (
        F.conv2d(full, weight, of_branch, padding=dilation, dilation=dilation).relu()
        for weight, of_branch, dilation in zip(branches, bias, DILATIONS, strict=True)
    )
    return sum(others, first)


def _leaf(tensor: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_()
