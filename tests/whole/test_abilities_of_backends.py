"""What each backend can do (Table 2 of the paper), and that a refusal names backends that can."""

import re
from collections.abc import Callable

import pytest
import torch

from sparsity import Grid, Unsupported, backend, conv2d, deform_conv2d, depthwise, names, sfm

FEATURES, CELLS = 4, 16
ACTIONS: dict[str, Callable[[Grid], object]] = {
    "pointwise": lambda grid: conv2d(grid, torch.ones(3, FEATURES, 1, 1), None),
    "conv": lambda grid: conv2d(grid, torch.ones(3, FEATURES, 3, 3), None),
    "dilated": lambda grid: conv2d(grid, torch.ones(3, FEATURES, 3, 3), None, 3),
    "large": lambda grid: conv2d(grid, torch.ones(3, FEATURES, 5, 5), None),
    "sfm": lambda grid: sfm(grid, torch.ones(2, 3, FEATURES, 3, 3), torch.ones(2, 3), (1, 3)),
    "depthwise 1x1": lambda grid: depthwise(grid, torch.ones(2, 1, 1, FEATURES), None, (1, 4)),
    "depthwise": lambda grid: depthwise(grid, torch.ones(1, 3, 3, FEATURES), None, (1,)),
    "dilated depthwise": lambda grid: depthwise(grid, torch.ones(2, 3, 3, FEATURES), None, (1, 3)),
    "deformable": lambda grid: deform_conv2d(grid, torch.ones(3, FEATURES, 3, 3), None, torch.ones(CELLS, 9, 2)),
    "bilinear": lambda grid: grid.sample(torch.ones(CELLS, 1, 2)),
    "own cell": lambda grid: grid.gather(torch.zeros(2, 2, dtype=torch.int32)),
    "neighbours": lambda grid: grid.gather(torch.tensor([[0, 0], [-1, 1]])),
    "anywhere": lambda grid: grid.gather(torch.tensor([[0, 2]])),
    "full map": lambda grid: grid.to_dense(),
}
ALL = set(ACTIONS)
ABLE = {
    "dense": ALL,
    "sparse_on_dense": ALL,
    "sps": ALL,
    "neighbors": {"pointwise", "conv", "depthwise 1x1", "depthwise", "own cell", "neighbours"},
    "pointwise": {"pointwise", "depthwise 1x1", "own cell"},
}


def make(name: str) -> Grid:
    keep, children = torch.tensor([0, 1, 2, 17]), torch.ones(CELLS, FEATURES)
    return backend(name).dense(torch.ones(2, FEATURES, 4, 4)).subdivide(keep, children)


def able(name: str) -> set[str]:
    """Actions that a backend does not refuse."""
    found = set()
    for action, function in ACTIONS.items():
        try:
            function(make(name))
        except Unsupported:
            continue
        found.add(action)
    return found


@pytest.mark.parametrize("name", ABLE)
def test_what_a_backend_can_do(name: str) -> None:
    assert able(name) == ABLE[name]


@pytest.mark.parametrize("name", names("sparsity"))
@pytest.mark.parametrize("action", ACTIONS)
def test_a_refusal_names_backends_that_can(name: str, action: str) -> None:
    if action in able(name):
        return
    with pytest.raises(Unsupported, match="; use ") as refusal:
        ACTIONS[action](make(name))
    advice = str(refusal.value).rpartition("; use ")[2]
    advised = re.findall(r"\w+", advice.replace(" or ", " "))
    assert advised
    assert all(action in able(other) for other in advised), advice


@pytest.mark.parametrize("name", ["neighbors", "pointwise"])
def test_offsets_without_values_are_refused(name: str) -> None:
    with pytest.raises(Unsupported):
        backend(name).dense(torch.zeros(1, 2, 2, 2, device="meta")).gather(
            torch.zeros(1, 2, dtype=torch.int32, device="meta")
        )
