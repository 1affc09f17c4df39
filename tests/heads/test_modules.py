"""Processing modules: what they cost, what they start as, which neighbours they see."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from heads import processing_module
from heads._modules import deform_conv, neighborhood_attention
from sparsity import backend, conv2d, names

PARAMETERS = {"mlp": 9, "conv": 17, "deform_conv": 17, "sfm": 30, "dense_sfm": 30}
PARAMETERS |= {"convnext": 8, "gated": 6, "neighborhood_attention": 12}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", names("heads._modules"))
@pytest.mark.parametrize("features", [8, 32])
def test_output_has_the_shape_of_the_active_features(name: str, features: int) -> None:
    module = processing_module(name).build(features)
    grid = backend("sps").dense(torch.randn(2, features, 4, 4, generator=torch.Generator().manual_seed(0)))
    keep = torch.tensor([1, 7, 30])
    grid = grid.subdivide(keep, grid.active[keep].repeat_interleave(4, 0))
    processed = module(grid)
    assert processed.shape == (12, features)
    assert processed.isfinite().all()


@pytest.mark.parametrize(("name", "weights"), PARAMETERS.items())
def test_number_of_weights_is_what_the_module_says(name: str, weights: int) -> None:
    # Per active feature, in units of F^2; the rest are biases, norms and displacements, linear in F.
    features = 128
    module = processing_module(name).build(features)
    linear = count(module) - weights * features**2
    assert 0 < linear < 40 * features


def test_the_deformable_convolution_starts_as_a_convolution() -> None:
    layer = deform_conv.DeformConv(8)
    grid = backend("sps").dense(torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(layer(grid), conv2d(grid, layer.conv.weight, layer.conv.bias, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", names("heads._modules"))
def test_no_parameter_falls_into_the_detectors_learning_rate_group(name: str) -> None:
    assert not [key for key, _ in processing_module(name).build(8).named_parameters() if "offset" in key]


def test_attention_does_not_see_what_is_outside() -> None:
    """Of 27 taps of a single cell, three are the cell itself: its own value is all that it can attend to."""
    module = neighborhood_attention.NeighborhoodAttention(32)
    alone = torch.randn(5, 32, 1, 1, generator=torch.Generator().manual_seed(0))
    own = module.value(module.norm(alone[:, :, 0, 0]))
    expected = alone[:, :, 0, 0] + module.leave(own)
    torch.testing.assert_close(module(backend("sps").dense(alone)), expected + module.feedforward(expected))


def test_attention_is_torchs_where_all_cells_see_each_other() -> None:
    """On 2 x 2 cells, dilation 1 shows every cell once and the others the cell itself: two more of its own keys."""
    module = neighborhood_attention.NeighborhoodAttention(32).double()
    features = torch.randn(1, 32, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = features.flatten(2)[0].T
    query, key, value = (
        layer(module.norm(rows)).view(4, 2, 16).transpose(0, 1) for layer in (module.query, module.key, module.value)
    )
    repeats = torch.eye(4, dtype=torch.float64) * 2 + 1
    seen = scaled_dot_product_attention(query, key, value, attn_mask=repeats.log()).transpose(0, 1).flatten(1)
    expected = rows + module.leave(seen)
    torch.testing.assert_close(module(backend("sps").dense(features)), expected + module.feedforward(expected))


def test_only_the_mlp_ignores_neighbours() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 8, 4, 4, generator=generator)
    changed = features.clone()
    changed[0, 0, 0, 0] += 1  # not all features alike, which a norm would hide
    for name in names("heads._modules"):
        torch.manual_seed(0)  # eight features may all be dead behind a ReLU
        module = processing_module(name).build(8)
        before, after = module(backend("sps").dense(features)), module(backend("sps").dense(changed))
        neighbour_moved = not torch.equal(before[1], after[1])
        assert neighbour_moved == (name != "mlp"), name
