import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsity import unravel, window
from sparsity._lattice import all_cells, cell_rows, children_of, interpolate, neighbors_of
from tests.sparsity.walks import patient

CPU = torch.device("cpu")
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


@patient
@given(SIZES)
def test_unravel_inverts_the_flat_index_and_stays_int32(size: tuple[int, int, int]) -> None:
    cells = all_cells(size, CPU)
    parts = unravel(cells, size)
    assert all(part.dtype == torch.int32 for part in parts)
    region, row, column = parts
    assert torch.equal((region * size[1] + row) * size[2] + column, cells)
    assert torch.equal(torch.stack(parts).long(), torch.stack(torch.unravel_index(cells.long(), size)))


@patient
@given(SIZES)
def test_children_tile_the_finer_lattice_and_halve_back_to_their_parents(size: tuple[int, int, int]) -> None:
    cells = all_cells(size, CPU)
    children = children_of(cells, size)
    fine = (size[0], 2 * size[1], 2 * size[2])
    assert children.dtype == torch.int32
    assert torch.equal(children.sort().values, all_cells(fine, CPU))
    region, row, column = unravel(children, fine)
    assert torch.equal((region * size[1] + row // 2) * size[2] + column // 2, cells.repeat_interleave(4))
    assert torch.equal((row % 2 * 2 + column % 2).reshape(-1, 4), torch.arange(4).expand(len(cells), 4))


def test_window_is_row_major_and_dilated() -> None:
    expected = [(-2, -2), (-2, 0), (-2, 2), (0, -2), (0, 0), (0, 2), (2, -2), (2, 0), (2, 2)]
    offsets = window(3, 2, CPU)
    assert offsets.dtype == torch.int32
    assert [tuple(offset) for offset in offsets.tolist()] == expected


@pytest.mark.parametrize("kernel_size", [2, 4])
def test_even_kernels_are_refused_with_a_way_out(kernel_size: int) -> None:
    with pytest.raises(ValueError, match=f"use {kernel_size + 1}"):
        window(kernel_size, 1, CPU)


@pytest.mark.parametrize("dilation", [0, -1])
def test_taps_are_apart(dilation: int) -> None:
    with pytest.raises(ValueError, match="use 1 for a plain convolution"):
        window(3, dilation, CPU)


@patient
@given(SIZES)
def test_rows_of_a_map_are_in_the_order_of_its_cells(size: tuple[int, int, int]) -> None:
    cells = all_cells(size, CPU)
    full = torch.stack((cells, -cells)).view(2, *size).transpose(0, 1).double()
    rows = cell_rows(full)
    assert torch.equal(rows, torch.stack((cells, -cells), dim=1).double())
    assert rows.is_contiguous()


@patient
@given(SIZES, st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
def test_neighbors_stay_in_their_region_and_outside_ones_are_readable(
    size: tuple[int, int, int], offset: tuple[int, int]
) -> None:
    cells = all_cells(size, CPU)
    neighbors, inside = neighbors_of(cells, torch.tensor([offset]), size)
    for cell, neighbor, is_inside in zip(cells.tolist(), neighbors[:, 0].tolist(), inside[:, 0].tolist(), strict=True):
        region, position = divmod(cell, size[1] * size[2])
        row, column = position // size[2] + offset[0], position % size[2] + offset[1]
        assert is_inside == (0 <= row < size[1] and 0 <= column < size[2])
        assert neighbor == ((region * size[1] + row) * size[2] + column if is_inside else cell)
    assert neighbors.dtype == torch.int32


def test_interpolation_has_a_one_sided_slope_at_cell_centers_and_zero_far_outside() -> None:
    heights = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    points = torch.tensor([[[0.0, 0.0], [1e30, -1e30]]], requires_grad=True)
    cells = torch.tensor([0], dtype=torch.int32)
    values = interpolate(heights, lambda flat: flat, cells, points, (1, 2, 2))
    assert values.flatten().tolist() == [0.0, 0.0]
    values.sum().backward()
    assert points.grad is not None
    assert points.grad[0, 0].tolist() == [10.0, 1.0]
    assert points.grad[0, 1].tolist() == [0.0, 0.0]
