import torch
from torch.utils.flop_counter import FlopCounterMode

import sparsity
from sparsity.dense import Backend


def test_every_cell_is_computed_however_few_are_active() -> None:
    with torch.device("meta"):
        grid = Backend.dense(torch.zeros(2, 8, 5, 5)).subdivide(torch.zeros(3, dtype=torch.int32), torch.zeros(12, 8))
        weight, bias = torch.zeros(2, 4, 8, 3, 3), torch.zeros(2, 4)
        with FlopCounterMode(display=False) as one:
            sparsity.conv2d(grid, weight[0], bias[0])
        with FlopCounterMode(display=False) as branches:
            sparsity.sfm(grid, weight, bias, (1, 3))
    multiply_adds = 2 * 10 * 10 * 4 * 8 * 9
    assert one.get_total_flops() == 2 * multiply_adds
    assert branches.get_total_flops() == 2 * 2 * multiply_adds


def test_map_gets_every_cell_once() -> None:
    seen: list[torch.Size] = []
    grid = Backend.dense(torch.zeros(2, 3, 4, 4)).subdivide(torch.tensor([0]), torch.zeros(4, 3))

    def record(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows.shape)
        return rows

    grid.map(record)
    assert seen == [(2 * 8 * 8, 3)]
