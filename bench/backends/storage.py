"""What the methods of Table 2 must store, in closed form: bytes from counts of features, taken without any backend.

The counts come from replaying an activity on a map that holds nothing but the number of the feature each cell shows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from bench.backends.activity import Activity
from sparsity import children_of, unravel

INDEX_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Census:
    """Counts of one stage: cells of all lattices, active cells, distinct features of the passive cells.

    `passive_near` are the distinct passive features within one cell of an active one.
    """

    cells: int
    active: int
    passive: int
    passive_near: int


FORMULAS: dict[str, Callable[[Census, int], int]] = {
    "dense": lambda of, row: of.cells * row + of.active * INDEX_BYTES,
    "pointwise": lambda of, row: of.active * row + of.active * INDEX_BYTES,
    "neighbors": lambda of, row: (of.active + of.passive_near + 1) * row + (9 + 1) * of.active * INDEX_BYTES,
    "sparse_on_dense": lambda of, row: of.cells * row + of.active * INDEX_BYTES,
    "sps": lambda of, row: (of.active + of.passive + 1) * row + (of.cells + of.active) * INDEX_BYTES,
}
"""Bytes by backend from the counts and the bytes of one feature row: features, then indices, of which the active cells
are always a part. SPS and Neighbors have one row more, of zeros, for the outside.

A list, because what a backend says of itself is held against it; one that is not in it is measured alone."""


def censuses(made: Activity) -> Iterator[Census]:
    """Count every stage after the first."""
    size = (made.regions, made.side, made.side)
    cells = torch.arange(made.regions * made.side**2, dtype=torch.int32)
    shown = cells.view(size)
    num_features = len(cells)
    for keep in made.keeps:
        cells = children_of(cells[keep], size)
        size = (size[0], 2 * size[1], 2 * size[2])
        shown = shown.repeat_interleave(2, 1).repeat_interleave(2, 2)
        # A child gets a number that no feature had before.
        shown.view(-1)[cells.long()] = torch.arange(num_features, num_features + len(cells), dtype=torch.int32)
        yield _count(shown, cells, num_features)
        num_features += len(cells)


def _count(shown: Int[Tensor, "R H W"], cells: Int[Tensor, "A"], first_child: int) -> Census:
    region, row, column = unravel(cells, (shown.shape[0], shown.shape[1], shown.shape[2]))
    near = torch.zeros(shown.shape)
    near[region, row, column] = 1
    near = F.max_pool2d(near[:, None], 3, stride=1, padding=1)[:, 0] > 0
    passive = shown < first_child
    return Census(
        cells=shown.numel(),
        active=len(cells),
        passive=len(shown[passive].unique()),
        passive_near=len(shown[passive & near].unique()),
    )
