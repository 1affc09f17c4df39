"""Every operation on a grid, each with inputs to try it on: what a certificate examines.

An operation is described once and runs on any `Grid`, the oracle included. Its result is what the operation returns,
or what can be seen of a changed grid: `linear`, `halving`, `overwrite` and `subdivide` read the active cells
afterwards, the same with `conv3_after_` in front their 3x3 neighbourhoods, where a stale copy would show.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

import sparsity
from bench.backends.stages import DILATIONS
from sparsity import Grid

_BIAS_OFF_KINK = 16.0
"""Far more than a convolution of normal inputs adds up to, and exact in every dtype."""

Inputs = Mapping[str, Tensor]

Normal = Callable[..., Tensor]
"""Draws normally distributed numbers of a shape, as in `normal(3, 4)`: float64 on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation on a grid with some inputs.

    `draw(grid, normal, smooth)` makes the inputs by name, in float64 on the CPU; with `smooth` they stay away from
    the kinks of the operation, where rounding alone can flip a gradient. Bilinear inputs always stay off the borders of
    cells. `run(grid, inputs)` gives the result.
    """

    name: str
    draw: Callable[[Grid, Normal, bool], dict[str, Tensor]]
    run: Callable[[Grid, Inputs], Tensor]
    is_core: bool = False
    """Every backend must offer it; the others may be `sparsity.Unsupported`."""
    may_wait: bool = False
    """`Grid` allows a backend to read values on the device here."""


def _nothing(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    return {}


def _linear_inputs(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    features = _features(grid)
    return {"weight": normal(features, features) / features**0.5, "bias": normal(features)}


def _halving_inputs(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    features = _features(grid)
    half = features // 2
    return {"weight": normal(half, features) / features**0.5, "bias": normal(half), "kernel": _kernel(half, 3, normal)}


def _overwrite_inputs(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    active, features = grid.active.shape
    return {"replacement": normal(active, features), "kernel": _kernel(features, 3, normal)}


def _subdivide_inputs(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    """Keep every third active cell, so that kept and demoted cells are neighbours."""
    active, features = grid.active.shape
    keep = torch.arange(0, active, 3)
    return {"keep": keep, "children": normal(4 * len(keep), features), "kernel": _kernel(features, 3, normal)}


def _around(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    return {"offsets": sparsity.window(3, 1, torch.device("cpu"))}


def _far(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    return {"offsets": torch.tensor([[2, -3]])}


def _sample_inputs(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    _, row, column = sparsity.unravel(grid.cells, grid.size)
    return {"points": torch.stack((row, column), -1)[:, None] + _off_borders(normal(len(row), 4, 2))}


def _deform_inputs(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    features = _features(grid)
    displacement = sparsity.window(3, 1, torch.device("cpu")) + _off_borders(normal(len(grid.cells), 9, 2))
    return {"weight": _kernel(features, 3, normal), "bias": normal(features), "displacement": displacement}


def _sfm_inputs(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    features, branches = _features(grid), len(DILATIONS)
    bias = normal(branches, features)
    if smooth:
        bias = bias.sign() * _BIAS_OFF_KINK
    return {"weight": torch.stack([_kernel(features, 3, normal) for _ in range(branches)]), "bias": bias}


def _depthwise_inputs(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
    features, branches = _features(grid), len(DILATIONS)
    return {"weight": normal(branches, 3, 3, features) / (9 * branches) ** 0.5, "bias": normal(features)}


def _run_halving(grid: Grid, inputs: Inputs) -> Grid:
    return grid.map(lambda rows: F.linear(rows, inputs["weight"], inputs["bias"]))


def _run_overwrite(grid: Grid, inputs: Inputs) -> Grid:
    return grid.with_active(inputs["replacement"])


def _run_subdivide(grid: Grid, inputs: Inputs) -> Grid:
    return grid.subdivide(inputs["keep"], inputs["children"])


def _seen_at_active(name: str, draw: Callable[..., dict[str, Tensor]], change: Callable[..., Grid]) -> Operation:
    return Operation(name=name, draw=draw, run=lambda grid, inputs: change(grid, inputs).active, is_core=True)


def _seen_by_neighbors(name: str, draw: Callable[..., dict[str, Tensor]], change: Callable[..., Grid]) -> Operation:
    def run(grid: Grid, inputs: Inputs) -> Tensor:
        return sparsity.conv2d(change(grid, inputs), inputs["kernel"], None)

    return Operation(name=f"conv3_after_{name}", draw=draw, run=run)


def _gathering(name: str, draw: Callable[..., dict[str, Tensor]]) -> Operation:
    return Operation(name=name, draw=draw, run=lambda grid, inputs: grid.gather(inputs["offsets"]), may_wait=True)


def _convolution(kernel_size: int, dilation: int) -> Operation:
    def draw(grid: Grid, normal: Normal, smooth: bool) -> dict[str, Tensor]:
        features = _features(grid)
        return {"weight": _kernel(features, kernel_size, normal), "bias": normal(features)}

    def run(grid: Grid, inputs: Inputs) -> Tensor:
        return sparsity.conv2d(grid, inputs["weight"], inputs["bias"], dilation)

    return Operation(name=f"conv{kernel_size}_d{dilation}", draw=draw, run=run)


_CHANGES: Sequence[tuple[str, Callable[..., dict[str, Tensor]], Callable[..., Grid]]] = (
    ("halving", _halving_inputs, _run_halving),
    ("overwrite", _overwrite_inputs, _run_overwrite),
    ("subdivide", _subdivide_inputs, _run_subdivide),
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(name="cells", draw=_nothing, run=lambda grid, _: grid.cells, is_core=True),
    Operation(
        name="linear",
        draw=_linear_inputs,
        run=lambda grid, inputs: F.linear(grid.active, inputs["weight"], inputs["bias"]),
        is_core=True,
    ),
    *(_seen_at_active(*change) for change in _CHANGES),
    Operation(name="to_dense", draw=_nothing, run=lambda grid, _: grid.to_dense()),
    _gathering("gather", _around),
    _gathering("gather_far", _far),
    *(_convolution(3, dilation) for dilation in DILATIONS),
    _convolution(5, 1),
    *(_seen_by_neighbors(*change) for change in _CHANGES),
    Operation(
        name="sfm",
        draw=_sfm_inputs,
        run=lambda grid, inputs: sparsity.sfm(grid, inputs["weight"], inputs["bias"], DILATIONS),
    ),
    Operation(name="sample", draw=_sample_inputs, run=lambda grid, inputs: grid.sample(inputs["points"])),
    Operation(
        name="deform_conv3",
        draw=_deform_inputs,
        run=lambda grid, inputs: sparsity.deform_conv2d(grid, inputs["weight"], inputs["bias"], inputs["displacement"]),
    ),
    Operation(
        name="depthwise",
        draw=_depthwise_inputs,
        run=lambda grid, inputs: sparsity.depthwise(grid, inputs["weight"], inputs["bias"], DILATIONS),
    ),
)


def _features(grid: Grid) -> int:
    return int(grid.active.shape[1])


def _kernel(features: int, side: int, normal: Normal) -> Float[Tensor, "F F k k"]:
    """Weights under which normal inputs stay normal, so that one limit suits all sizes."""
    return normal(features, features, side, side) / (side * features**0.5)


def _off_borders(numbers: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Move numbers to where their distance from an integer is at least a tenth, in the same cell."""
    low = numbers.floor()
    return low + 0.1 + 0.8 * (numbers - low)
