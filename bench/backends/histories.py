"""Made-up histories of a grid on which certificates try a backend: realistic activity, and the corner cases."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.backends.activity import activity
from sparsity import Grid, GridType, children_of, unravel

Wanted = Callable[[Int[Tensor, "A"], Int[Tensor, "A"], Int[Tensor, "A"], int, int], Bool[Tensor, "A"]]
"""Says by region, row, column, height and width which cells are kept."""


@dataclass(frozen=True, kw_only=True)
class History:
    """A history of a grid: it starts dense, then every stage subdivides, drops feature columns and overwrites.

    `size`: (R, H, W) of stage 0. `features`: feature size of every stage, not growing. `keeps`: rows [K] int64 to
    subdivide, ascending, a tensor per stage after the first. All this only moves numbers, so two backends that are
    right hold the same ones, bit for bit.
    """

    name: str
    size: tuple[int, int, int]
    features: tuple[int, ...]
    keeps: tuple[Int[Tensor, "_"], ...]

    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the numbers of a replay: the start, then per stage the children and what overwrites them."""
        regions, height, width = self.size
        made: list[tuple[int, ...]] = [(regions, self.features[0], height, width)]
        for keep, before, after in zip(self.keeps, self.features[:-1], self.features[1:], strict=True):
            made += [(4 * len(keep), before), (4 * len(keep), after)]
        return made

    def replay(self, kind: GridType, numbers: Sequence[Tensor]) -> Iterator[Grid]:
        """The grid of every stage on a backend, on the device of the numbers; a backend's exceptions pass through."""
        keeps = [keep.to(numbers[0].device) for keep in self.keeps]
        grid = kind.dense(numbers[0])
        yield grid
        stages = zip(keeps, numbers[1::2], numbers[2::2], self.features[1:], strict=True)
        for keep, children, replacement, features in stages:
            grid = grid.subdivide(keep, children).map(partial(_first_columns, number=features))
            grid = grid.with_active(replacement)
            yield grid


def make_histories() -> tuple[History, ...]:
    """Objects with EffSeg's feature sizes and active fractions; then scattered cells, and corner cases, both small."""
    generator = torch.Generator().manual_seed(0)
    objects = activity(2, 50, generator, side=7)
    scattered = activity(3, 30, generator, stages=2, side=5, kind="scattered")
    return (
        History(name="objects", size=(2, 7, 7), features=(128, 128, 64, 32), keeps=objects.keeps),
        History(name="scattered", size=(3, 5, 5), features=(16, 8, 8), keeps=scattered.keeps),
        _small("empty", 2, lambda region, row, column, height, width: region < 0),
        _small("full", 2, lambda region, row, column, height, width: region >= 0),
        _small("one_region", 1, lambda region, row, column, height, width: (row + column) % 3 != 0),
        _small("passive_region", 3, lambda region, row, column, height, width: (region != 1) & (column % 2 == 0)),
        # Across a border lie the cells of another region, for whoever forgets the border.
        _small(
            "borders", 3, lambda region, row, column, height, width: _at_border(row, height) | _at_border(column, width)
        ),
        _small("no_regions", 0, lambda region, row, column, height, width: region >= 0),
    )


def _small(name: str, regions: int, wanted: Wanted) -> History:
    """A history of two subdivisions on oblong lattices, which a mix-up of rows and columns does not survive."""
    features, height, width = (16, 8, 8), 4, 5
    size = (regions, height, width)
    cells = torch.arange(regions * height * width, dtype=torch.int32)
    keeps = []
    for _ in features[1:]:
        now = (regions, height, width)
        keep = wanted(*unravel(cells, now), height, width).nonzero()[:, 0]
        keeps.append(keep)
        cells = children_of(cells[keep], now)
        height, width = 2 * height, 2 * width
    return History(name=name, size=size, features=features, keeps=tuple(keeps))


def _at_border(position: Int[Tensor, "A"], extent: int) -> Bool[Tensor, "A"]:
    return (position == 0) | (position == extent - 1)


def _first_columns(rows: Float[Tensor, "N F"], number: int) -> Float[Tensor, "N G"]:
    return rows[:, :number].contiguous()
