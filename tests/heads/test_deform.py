"""Multi-scale deformable attention against a loop over single samples, its start, its gradients and its cost."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from heads import MultiScaleDeformableAttention

SHAPES = [(5, 7), (3, 4), (1, 2)]


def attention(**sizes: int) -> MultiScaleDeformableAttention:
    values = {"channels": 8, "num_levels": 3, "num_heads": 2, "num_points": 2} | sizes
    return MultiScaleDeformableAttention(**values)


def randomised(module: MultiScaleDeformableAttention, generator: torch.Generator) -> MultiScaleDeformableAttention:
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    return module


def bilinear(grid: Tensor, x: float, y: float) -> Tensor:
    """Sample one point of a [H W C] map at pixel position (x, y), centres at integers, zero outside."""
    height, width, channels = grid.shape
    result = torch.zeros(channels, dtype=grid.dtype)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                result += (1 - abs(y - row)) * (1 - abs(x - column)) * grid[row, column]
    return result


def naive(
    module: MultiScaleDeformableAttention, queries: Tensor, centres: Tensor, unit: Tensor, features: Tensor
) -> Tensor:
    heads, points = module.num_heads, module.num_points
    result = torch.zeros_like(queries)
    for b in range(len(queries)):
        values = features[b] @ module.values.weight.T + module.values.bias
        size = values.shape[1] // heads
        for q, query in enumerate(queries[b]):
            offsets = module.sampling_offsets.weight @ query + module.sampling_offsets.bias
            logits = module.attention_weights.weight @ query + module.attention_weights.bias
            for head in range(heads):
                own = logits[head * len(SHAPES) * points : (head + 1) * len(SHAPES) * points]
                start, mixed = 0, torch.zeros(size, dtype=queries.dtype)
                for level, (height, width) in enumerate(SHAPES):
                    flat = values[start : start + height * width, head * size : (head + 1) * size]
                    start += height * width
                    for point in range(points):
                        number = (head * len(SHAPES) + level) * points + point
                        place = centres[b, q] + offsets[2 * number : 2 * number + 2] * unit[b, q, level]
                        x, y = float(place[0]) * width - 0.5, float(place[1]) * height - 0.5
                        share = own[level * points + point].exp() / own.exp().sum()
                        mixed = mixed + share * bilinear(flat.reshape(height, width, size), x, y)
                result[b, q, head * size : (head + 1) * size] = mixed
    return result @ module.output.weight.T + module.output.bias


def inputs(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    cells = sum(height * width for height, width in SHAPES)
    queries = torch.randn(2, 4, 8, generator=generator, dtype=torch.float64)
    # Some centres outside the maps: anchors are not clipped to the image.
    centres = torch.rand(2, 4, 2, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    unit = torch.rand(2, 4, 3, 2, generator=generator, dtype=torch.float64) / 4
    return queries, centres, unit, torch.randn(2, cells, 8, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop_over_single_samples(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    module = randomised(attention(), generator)
    queries, centres, unit, features = inputs(generator)
    with torch.no_grad():
        expected = naive(module, queries, centres, unit, features)
        torch.testing.assert_close(module(queries, centres[:, :, None], unit, features, SHAPES), expected)
        # One unit for all levels, as in the decoder.
        shared = unit[:, :, :1]
        expected = naive(module, queries, centres, shared.expand_as(unit), features)
        torch.testing.assert_close(module(queries, centres[:, :, None], shared, features, SHAPES), expected)


def test_centres_may_differ_by_level() -> None:
    """What a level reads depends on its own centres only: with the others' weights at 0 they are of no account."""
    generator = torch.Generator().manual_seed(0)
    module = randomised(attention(), generator)
    queries, centres, unit, features = inputs(generator)
    with torch.no_grad():
        module.attention_weights.weight.zero_()
        module.attention_weights.bias.copy_(torch.tensor([-1e9, -1e9, 0, 0, -1e9, -1e9]).repeat(2))
        each = torch.stack([centres + 0.1, centres, centres - 0.2], dim=2)
        expected = naive(module, queries, centres, unit, features)
        torch.testing.assert_close(module(queries, each, unit, features, SHAPES), expected)


def test_starts_as_a_mean_over_points_on_squares() -> None:
    module = attention(channels=16, num_heads=8, num_levels=2, num_points=3)
    offsets = module.sampling_offsets(torch.randn(16)).view(8, 2, 3, 2)
    square = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    for point in range(3):
        expected = torch.tensor(square, dtype=torch.float32)[:, None].expand(8, 2, 2) * (point + 1)
        torch.testing.assert_close(offsets[:, :, point], expected, atol=1e-5, rtol=0)
    assert not module.attention_weights(torch.randn(16)).any()
    assert not module.values.bias.any()
    assert not module.output.bias.any()
    # Xavier-uniform: bounded by sqrt(6 / (fan_in + fan_out)), and filling that range.
    assert 0.9 < module.values.weight.abs().max() / math.sqrt(6 / 32) <= 1


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    module = randomised(attention(), generator)
    queries, centres, unit, features = inputs(generator)
    queries, features = queries.requires_grad_(), features.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda q, f: module(q, centres[:, :, None], unit, f, SHAPES), (queries, features), fast_mode=True
    )


def test_weighted_sum_is_counted_as_levels_times_points_times_outputs() -> None:
    module = attention()
    queries, centres, unit, features = (value.float() for value in inputs(torch.Generator().manual_seed(0)))
    with FlopCounterMode(display=False) as counter:
        module(queries, centres[:, :, None], unit, features, SHAPES)
    rows, cells = queries.shape[0] * queries.shape[1], features.shape[0] * features.shape[1]
    projections = rows * 8 * (8 + 2 * 3 * 2 * 2 + 2 * 3 * 2) + cells * 8 * 8
    assert counter.get_total_flops() / 2 == projections + 3 * 2 * queries.numel()


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="8 channels cannot be split over 3 heads"):
        attention(num_heads=3)
