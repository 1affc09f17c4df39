"""One history in one dtype: every operation on a backend beside the same on masked dense, and how far they are apart.

Inputs are rounded to the dtype first and then given to both, so the difference from the oracle in float64 is the error
of the backend alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

import sparsity
from bench.backends.histories import History
from bench.backends.masked_dense import MaskedDense
from bench.backends.operations import OPERATIONS, Inputs, Operation
from sparsity import Grid, GridType

FORWARD_LIMITS = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest max|a - b| / max|b| of a result that is rounding, by dtype: all that are examined."""

GRADIENT_LIMITS = {"float64": 1e-11, "float32": 2e-5}
"""The same of a gradient; half precision is examined forward only."""

_HALF_PRECISIONS = {"float16": "Half", "bfloat16": "BFloat16"}
"""What torch calls the types that it need not have every operation for."""


@dataclass(frozen=True, kw_only=True)
class OperationCheck:
    """One comparison: of a result ("forward") or of a gradient ("gradient of weight").

    `absolute` is max|a - b|, `relative` that by max|b| (by 1 where b is zero throughout). Both are None where there is
    nothing to compare: the backend `cannot` do the operation, torch is `missing` it in half precision on this device,
    or it is `broken`; `reason` says why.
    """

    operation: str
    activity: str
    stage: int
    dtype: str
    quantity: str
    outcome: Literal["equal", "unequal", "cannot", "missing", "broken"]
    absolute: float | None = None
    relative: float | None = None
    limit: float | None = None
    reason: str = ""


class Trial:
    """One history in one dtype: either all results or all gradients of a backend beside those of the oracle."""

    def __init__(self, kind: GridType, history: History, dtype: str, device: str, *, with_gradient: bool) -> None:
        self.kind, self.history, self.device, self.with_gradient = kind, history, device, with_gradient
        self.name, self.dtype = dtype, getattr(torch, dtype)
        self.generator = torch.Generator().manual_seed(1)
        numbers = {str(place): self.normal(*shape) for place, shape in enumerate(history.shapes())}
        self.ours, self.theirs = self.for_backend(numbers), self.for_oracle(numbers)

    def checks(self) -> Iterator[OperationCheck]:
        """Try every operation at every stage, and what a grid says about itself."""
        grids = self.history.replay(self.kind, list(self.ours.values()))
        for stage, oracle in enumerate(self.history.replay(MaskedDense, list(self.theirs.values()))):
            check = partial(OperationCheck, activity=self.history.name, stage=stage, dtype=self.name)
            try:
                grid = next(grids)
            except Exception as error:  # whatever a backend raises is a result; the others must still be examined
                yield self._without_result(partial(check, operation="subdivide"), error, is_core=True)
                return
            try:
                sparsity.check(grid)
            except Exception as error:  # as above
                yield self._without_result(partial(check, operation="cells"), error, is_core=True)
            if not self.with_gradient:
                yield self._storage(grid, partial(check, operation="storage"))
            for operation in OPERATIONS:
                yield from self._try(operation, oracle, grid, partial(check, operation=operation.name), stage)

    def _try(
        self, operation: Operation, oracle: Grid, grid: Grid, check: Callable[..., OperationCheck], stage: int
    ) -> Iterator[OperationCheck]:
        inputs = operation.draw(oracle, self.normal, self.with_gradient)
        expected = self._found(operation, oracle, self.for_oracle(inputs), _by_fate(self.theirs, stage))
        try:
            actual = self._found(operation, grid, self.for_backend(inputs), _by_fate(self.ours, stage))
        except Exception as error:  # as above
            yield self._without_result(check, error, is_core=operation.is_core)
            return
        limit = (GRADIENT_LIMITS if self.with_gradient else FORWARD_LIMITS)[self.name]
        for quantity, wanted in expected.items():
            judge = partial(check, quantity=quantity, limit=limit)
            if quantity in actual:
                yield _compared(judge, actual[quantity], wanted, self.dtype)
            else:
                yield judge(outcome="broken", reason="The result has no gradient.")

    def _storage(self, grid: Grid, check: Callable[..., OperationCheck]) -> OperationCheck:
        """Bytes as `storage` gives them beside those of the memory behind the grid: equal, or one of them is wrong."""
        try:
            ours = [torch.tensor([sum(grid.storage().values())])]
            return _compared(partial(check, quantity="forward", limit=0.0), ours, [_held_bytes(grid)], self.dtype)
        except Exception as error:  # as above
            return self._without_result(check, error, is_core=True)

    def _without_result(
        self, check: Callable[..., OperationCheck], error: Exception, *, is_core: bool
    ) -> OperationCheck:
        """An exception instead of a result: of a backend or of torch, which may not have the operation, or a failure.

        What all backends must offer is never excused by `sparsity.Unsupported`.
        """
        judge = partial(check, quantity=self.quantity, reason=f"{type(error).__name__}: {error}")
        if isinstance(error, sparsity.Unsupported):
            return judge(outcome="broken" if is_core else "cannot")
        # torch has no class of its own for: "addmm" not implemented for 'Half'.
        is_of_torch = isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError)
        said = f"not implemented for '{_HALF_PRECISIONS.get(self.name)}'"
        return judge(outcome="missing" if is_of_torch and said in str(error) else "broken")

    def _found(
        self, operation: Operation, grid: Grid, inputs: Inputs, features: Mapping[str, Sequence[Tensor]]
    ) -> dict[str, list[Tensor]]:
        """The result, or the gradients of a random projection of it in all that it may depend on."""
        result = operation.run(grid, inputs)
        if not self.with_gradient:
            return {"forward": [result]}
        if not result.requires_grad:
            return {}
        drawn = torch.randn(result.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        projection = drawn.to(self.dtype).to(result.device, result.dtype)
        leaves = dict(features) | {name: [value] for name, value in inputs.items() if value.requires_grad}
        gradients = torch.autograd.grad(
            (result * projection).sum(),
            [leaf for group in leaves.values() for leaf in group],
            retain_graph=True,  # the grid of a stage serves all operations
            allow_unused=True,
            materialize_grads=True,
        )
        found = iter(gradients)
        return {f"gradient of {name}": [next(found) for _ in group] for name, group in leaves.items()}

    @property
    def quantity(self) -> str:
        """What is compared."""
        return "gradient" if self.with_gradient else "forward"

    def normal(self, *shape: int) -> Tensor:
        """Draw normally distributed numbers, float64 on the CPU."""
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def for_backend(self, values: Inputs) -> dict[str, Tensor]:
        """Values as the backend gets them, rounded to the examined dtype; indices stay as they are."""
        return {name: self._leaf(value, self.dtype, self.device) for name, value in values.items()}

    def for_oracle(self, values: Inputs) -> dict[str, Tensor]:
        """The same rounded values in float64."""
        return {name: self._leaf(value, torch.float64, "cpu") for name, value in values.items()}

    def _leaf(self, value: Tensor, dtype: torch.dtype, device: str) -> Tensor:
        if not value.is_floating_point():
            return value.to(device)
        return value.to(self.dtype).to(device, dtype, copy=True).requires_grad_(self.with_gradient)


def _by_fate(numbers: Inputs, stage: int) -> dict[str, list[Tensor]]:
    """The features of a replay that stage `stage` shows: where they are active, and where only passive cells have them.

    The children of a stage are overwritten, so they show nowhere.
    """
    start, *others = numbers.values()
    shown = [start, *others[1::2]][: stage + 1]
    groups = {"active": shown[-1:], "passive": shown[:-1]}
    return {name: group for name, group in groups.items() if group}


def _compared(
    judge: Callable[..., OperationCheck], actual: Sequence[Tensor], expected: Sequence[Tensor], dtype: torch.dtype
) -> OperationCheck:
    """Compare tensors that belong together: shape and type first, then numbers up to the limit, indices exactly."""
    for ours, theirs in zip(actual, expected, strict=True):
        wanted = dtype if theirs.is_floating_point() else theirs.dtype
        if ours.shape != theirs.shape or ours.dtype != wanted:
            is_, should = f"{ours.dtype} {tuple(ours.shape)}", f"{wanted} {tuple(theirs.shape)}"
            return judge(outcome="broken", reason=f"The result is {is_} and should be {should}.")
        if not theirs.is_floating_point():
            judge = partial(judge, limit=0.0)
    ours, theirs = (
        torch.cat([part.detach().cpu().double().flatten() for part in parts]) for parts in (actual, expected)
    )
    if not ours.isfinite().all():
        return judge(outcome="broken", reason="The result is not finite.")
    absolute = float((ours - theirs).abs().max()) if len(ours) else 0.0
    scale = float(theirs.abs().max()) if len(theirs) else 0.0
    check = judge(outcome="equal", absolute=absolute, relative=absolute / (scale or 1.0))
    assert check.relative is not None
    assert check.limit is not None
    return check if check.relative <= check.limit else replace(check, outcome="unequal")


def _held_bytes(grid: Grid) -> Int[Tensor, "1"]:
    """Bytes of all memory behind the tensors of a grid, whole buffers where it holds a view."""
    memory = [tensor.untyped_storage() for tensor in _tensors(vars(grid))]
    return torch.tensor([sum({storage.data_ptr(): storage.nbytes() for storage in memory}.values())])


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors among the attributes of a grid, also those in lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)
