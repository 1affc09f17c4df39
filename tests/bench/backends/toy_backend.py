"""A backend of one file for tests, right as it stands, and the bugs that can be planted in it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sparsity
from bench.backends.certificate import Certificate, certify
from bench.backends.histories import make_histories
from sparsity import backend

OBJECTS, *SMALL = make_histories()

# A complete backend in one file: a full map as rows, everything else left to the operations of `sparsity`.
TOY = '''"""Toy: a full map, every operation by gathering."""

import torch

from sparsity import Unsupported, children_of, unravel


class Backend:
    def __init__(self, rows, cells, size):
        self.rows, self.cells, self.size = rows, cells, size

    @classmethod
    def dense(cls, features):
        regions, _, height, width = features.shape
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)
        return cls(rows, torch.arange(len(rows), dtype=torch.int32, device=rows.device), (regions, height, width))

    @property
    def active(self):
        return self.rows[self.cells.long()]

    def with_active(self, active):
        rows = self.rows
        if active.shape[1] != rows.shape[1]:
            rows = rows.new_empty(len(rows), active.shape[1])
        return Backend(rows.index_put((self.cells.long(),), active), self.cells, self.size)

    def map(self, function):
        return Backend(function(self.rows), self.cells, self.size)

    def subdivide(self, keep, children):
        regions, height, width = self.size
        full = self.rows.unflatten(0, self.size).repeat_interleave(2, 1).repeat_interleave(2, 2)
        cells = children_of(self.cells[keep], self.size)
        rows = full.flatten(0, 2).index_put((cells.long(),), children)
        return Backend(rows, cells, (regions, 2 * height, 2 * width))

    def gather(self, offsets):
        regions, height, width = self.size
        region, row, column = unravel(self.cells, self.size)
        down, right = offsets.unbind(1)
        row, column = row[:, None] + down, column[:, None] + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place = ((region[:, None] * height + row) * width + column) * inside
        return self.rows[place.long()] * inside[..., None]

    def sample(self, points):
        raise Unsupported("The toy does not sample.")

    def to_dense(self):
        return self.rows.unflatten(0, self.size).permute(0, 3, 1, 2)

    def storage(self):
        return {"features": self.rows.nbytes, "index": self.cells.nbytes}
'''

# What goes wrong: a line of the toy, its wrong version, and an operation that must fail.
BUGS = {
    "wrong neighbour": ("down, right = offsets.unbind(1)", "right, down = offsets.unbind(1)", "conv3_d1"),
    "border forgotten": (
        "inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)",
        "inside = (row >= 0) & (row < height) & (column >= 0) & (column <= width)",
        "conv3_d1",
    ),
    "only far taps wrong": ("right = offsets.unbind(1)", "right = (offsets.clamp(-4, 4)).unbind(1)", "conv3_d5"),
    "stale copy": (
        "return Backend(rows.index_put((self.cells.long(),), active), self.cells, self.size)",
        "made = Backend(rows.index_put((self.cells.long(),), active), self.cells, self.size)\n"
        "        if len(rows) > len(active):\n"
        "            made.gather = self.gather\n"
        "        return made",
        "conv3_after_overwrite",
    ),
    "passive ignored": (
        "return self.rows[place.long()] * inside[..., None]",
        "return (self.rows * torch.isin(torch.arange(len(self.rows)), self.cells)[:, None])[place.long()]"
        " * inside[..., None]",
        "conv3_d1",
    ),
    "passive not mapped": (
        "return Backend(function(self.rows), self.cells, self.size)",
        "mapped, old = function(self.rows), self.rows\n"
        "        return Backend(old[:, : mapped.shape[1]].index_put((self.cells.long(),), mapped[self.cells.long()]),"
        " self.cells, self.size)",
        "conv3_after_halving",
    ),
    "passive without gradient": (
        "full = self.rows.unflatten(",
        "full = self.rows.detach().unflatten(",
        "conv3_d1",
    ),
    "children swapped": (
        "cells = children_of(self.cells[keep], self.size)",
        "cells = children_of(self.cells[keep], self.size).view(-1, 4)[:, [0, 2, 1, 3]].flatten()",
        "cells",
    ),
    "not finite": ("* inside[..., None]", "/ inside[..., None]", "conv3_d1"),
    "half the digits": (
        "return self.rows[place.long()] * inside[..., None]",
        "return self.rows.half().to(self.rows)[place.long()] * inside[..., None]",
        "conv3_d1",
    ),
    "other dtype": ("return self.rows[self.cells.long()]", "return self.rows[self.cells.long()].double()", "overwrite"),
    "exception": ("region, row, column = unravel", "raise KeyError('lost'); region, row, column = unravel", "conv3_d1"),
}


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Write the one file of a backend named `toy` to where `sparsity` finds it."""
    monkeypatch.setattr(sparsity, "__path__", [*sparsity.__path__, str(tmp_path)])

    def write(source: str) -> None:
        sys.modules.pop("sparsity.toy", None)
        (tmp_path / "toy.py").write_text(source)

    yield write
    sys.modules.pop("sparsity.toy", None)
    if hasattr(sparsity, "toy"):
        del sparsity.toy


def quick(
    name: str, dtype: str = "float32", histories: tuple[str, ...] = ("scattered", "passive_region", "borders")
) -> Certificate:
    """By default three histories that between them catch every planted bug."""
    wanted = [history for history in SMALL if history.name in histories]
    return certify(backend(name), histories=wanted, dtypes=[dtype])
