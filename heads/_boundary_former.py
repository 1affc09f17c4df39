"""Polygons as soft masks: the signed squared distance of every cell to the nearest edge."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SOFTNESS = 0.1
CELLS_AT_A_TIME = 2**22
SHORTEST = 1e-6


def polygon_logits(polygon: Float[Tensor, "R P 2"], side: int) -> Float[Tensor, "R side side"]:
    """Logits of closed polygons with corners (x, y) in [0, 1]^2, on a lattice of that unit square.

    The squared distance of a cell's centre to the nearest edge, in cells, over 0.1; positive inside by the even-odd
    rule (BoundaryFormer, Sec. 3.2). The gradient reaches the two corners of that edge only.
    """
    corner = polygon * side - 0.5  # now cell centres lie at integers
    edge = corner.roll(-1, 1) - corner
    with torch.no_grad():
        nearest, inside = nearest_edge(corner, edge, side).flatten(1), is_inside(corner, edge, side)
    start, along = (torch.take_along_dim(values, nearest[:, :, None], 1) for values in (corner, edge))
    index = torch.arange(side, device=polygon.device, dtype=polygon.dtype)
    y, x = torch.meshgrid(index, index, indexing="ij")
    offset = torch.stack([x, y], 2).flatten(0, 1) - start
    share = ((offset * along).sum(2) / along.square().sum(2).clamp(min=SHORTEST**2)).clamp(0, 1)
    distance = (offset - share[:, :, None] * along).square().sum(2).view(inside.shape)
    return torch.where(inside, distance, -distance) / SOFTNESS


def nearest_edge(corner: Float[Tensor, "R P 2"], edge: Float[Tensor, "R P 2"], side: int) -> Int[Tensor, "R side side"]:
    """Number of the edge that is nearest to every cell centre (x, y) of integers; the first of equals."""
    length = edge.norm(dim=2)
    # An edge without length is a point: any direction serves.
    forward = torch.where(length[:, :, None] > SHORTEST, edge, edge.new_tensor([1, 0]))
    forward = forward / forward.norm(dim=2, keepdim=True)
    middle, half = corner + edge / 2, (length / 2)[:, :, None, None]
    # Distances along and across an edge are sums of what the column and what the row adds.
    index = torch.arange(side, device=corner.device, dtype=corner.dtype)
    x, y = index - middle[:, :, :1], index - middle[:, :, 1:]
    forward_x, forward_y = forward[:, :, :1], forward[:, :, 1:]
    of_column = torch.stack([x * forward_x, x * forward_y])[:, :, :, None]
    of_row = torch.stack([y * forward_y, -y * forward_x])[..., None]
    num_regions, num_edges = map(int, length.shape)  # while tracing, sizes are tensors
    block = max(1, CELLS_AT_A_TIME // max(1, num_regions * side**2))
    best, found = None, None
    for first in range(0, num_edges, block):
        part = slice(first, first + block)
        beyond = (of_column[0, :, part] + of_row[0, :, part]).abs_().sub_(half[:, part]).clamp_(min=0)
        across = of_column[1, :, part] + of_row[1, :, part]
        distance, number = beyond.square_().addcmul_(across, across).min(1)
        if best is None or found is None:
            best, found = distance, number
        else:
            closer = distance < best
            best, found = torch.where(closer, distance, best), torch.where(closer, number + first, found)
    assert found is not None
    return found


def is_inside(corner: Float[Tensor, "R P 2"], edge: Float[Tensor, "R P 2"], side: int) -> Bool[Tensor, "R side side"]:
    """Whether a ray from a cell centre crosses the polygon an odd number of times.

    An edge that crosses a row of cells turns all cells to the right of it.
    """
    row = torch.arange(side, device=corner.device, dtype=corner.dtype)[:, None]
    x, y = corner[:, None].unbind(3)
    step_x, step_y = edge[:, None].unbind(3)
    crosses = (y <= row) != (y.roll(-1, 2) <= row)
    column = (x + (row - y) * step_x / torch.where(step_y == 0, 1, step_y)).floor() + 1
    turned = torch.zeros(len(corner), side, side + 1, dtype=torch.int32, device=corner.device)
    # What is not a number has no place among the columns.
    turned = turned.scatter_add(2, column.nan_to_num(0).clamp(0, side).long(), crosses.int())
    return turned.cumsum(2)[:, :, :side] % 2 == 1
