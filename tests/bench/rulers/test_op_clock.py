"""Who is charged for an operation: the functions themselves are known, wherever they are written."""

from collections.abc import Callable
from time import perf_counter

import pytest
import torch
from torch import nn

from bench.rulers.op_clock import OpClock
from heads import Linear, Stage, in_blocks, policies
from sparsity import Grid, backend, names

FEATURES = torch.ones(2, 3, 4, 4)


def parts(run: Callable[[], object]) -> set[str]:
    with torch.inference_mode(), OpClock(perf_counter, []) as clock:
        run()
    return {part for _, part in clock.ms} - {"other"}


@pytest.mark.parametrize("name", names("sparsity"))
def test_the_methods_of_every_backend_are_known(name: str) -> None:
    grid: Grid = backend(name).dense(FEATURES)
    keep, children = torch.arange(0, 30, 6), torch.ones(20, 3)
    assert parts(lambda: backend(name).dense(FEATURES)) == {"bookkeeping"}
    assert parts(lambda: grid.subdivide(keep, children)) == {"subdivision", "bookkeeping"}


@pytest.mark.parametrize("name", names("sparsity"))
def test_what_a_grid_maps_is_charged_to_the_layer(name: str) -> None:
    grid: Grid = backend(name).dense(FEATURES)
    layer = nn.Sequential(Linear(3, 5), nn.ReLU())
    by_layer = parts(lambda: grid.map(lambda rows: in_blocks(layer, rows)))
    assert "pointwise" in by_layer
    assert by_layer <= {"pointwise", "bookkeeping"}


def test_a_rule_is_selection_with_all_that_it_calls() -> None:
    stages = [Stage(side=4, mask_logits=torch.ones(2, 4, 4))]
    rules = (policies.uncertainty, policies.at_boundary, policies.at_random(torch.Generator()))
    for rule in rules:
        assert parts(lambda rule=rule: rule(stages)) == {"selection"}
