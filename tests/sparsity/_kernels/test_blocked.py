"""The lookup in a padded map finds what asking every neighbour finds; bits come back as they were packed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsity._kernels._call import pack, unpack
from sparsity._kernels.blocked import neighbor_rows
from sparsity._lattice import neighbors_of, window
from tests.sparsity._kernels.made_up import made_up

CPU = torch.device("cpu")


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("dilations", [(1, 3, 5), (2,), (100, 1)])
def test_rows_are_those_of_the_neighbours_inside(kernel_size: int, dilations: tuple[int, ...]) -> None:
    call = made_up(kernel_size=kernel_size, dilations=dilations)
    regions, height, width = call.rows.shape
    for rows, dilation in zip(neighbor_rows(call), dilations, strict=True):
        neighbors, inside = neighbors_of(call.cells, window(kernel_size, dilation, CPU), (regions, height, width))
        assert rows.dtype == torch.int32
        assert torch.equal(rows, call.rows.flatten()[neighbors.long()] * inside)


@given(st.lists(st.lists(st.booleans(), min_size=13, max_size=13)), st.integers(1, 13))
def test_bits_make_the_round_trip(drawn: list[list[bool]], outputs: int) -> None:
    is_positive = torch.tensor(drawn, dtype=torch.bool).reshape(-1, 13)[:, :outputs]
    signs = pack(is_positive)
    assert signs.shape == (len(drawn), (outputs + 7) // 8)
    assert torch.equal(unpack(signs, outputs), is_positive)
    # Bit b of byte j is output 8j+b.
    for row, byte in zip(is_positive.tolist(), signs.tolist(), strict=True):
        assert byte[0] == sum(2**bit for bit, value in enumerate(row[:8]) if value)
