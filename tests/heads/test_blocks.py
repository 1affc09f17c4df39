"""Shared blocks: their sizes, that a fusion without effect is the identity, class channels."""

import torch
from torch import nn

from heads._blocks import GridConv, QueryFusion, SemanticFusion, class_channel, fcn, normalised_feedforward
from sparsity import backend


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_of_the_paper() -> None:
    assert count(QueryFusion(256, 256)) == 262_912
    assert count(fcn(256, 256, 4)) == 2_360_320
    assert count(SemanticFusion(128)) == 492_288
    assert count(SemanticFusion(32)) == 30_912


def test_query_fusion_is_residual() -> None:
    fusion = QueryFusion(8, 6)
    features = torch.randn(3, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    for parameter in fusion.fuse[2].parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(fusion(features, torch.ones(3, 6)), features)


def test_the_trunk_keeps_the_variance_of_its_input() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = fcn(64, 64, 4)
        after = trunk(torch.randn(4, 64, 14, 14))
    assert 0.3 < after.square().mean().sqrt() < 3
    assert not any(parameter.any() for name, parameter in trunk.named_parameters() if name.endswith("bias"))


def test_grid_convolution_is_initialised_like_conv2d() -> None:
    conv = GridConv(32, 16)
    bound = 1 / (32 * 9) ** 0.5
    assert conv.weight.abs().max() <= bound
    assert conv.weight.std().item() > 0.5 * bound
    assert conv.bias.abs().max() <= bound


def test_semantic_fusion_equals_dense_convolutions_where_all_cells_are_active() -> None:
    generator = torch.Generator().manual_seed(0)
    module, features = SemanticFusion(8), torch.randn(2, 8, 9, 9, generator=generator)
    entered = module.enter(features.movedim(1, -1)).movedim(-1, 1)
    branches = [
        nn.functional.conv2d(entered, module.weight[i], module.bias[i], padding=d, dilation=d).relu()
        for i, d in enumerate((1, 3, 5))
    ]
    expected = module.leave(torch.stack(branches).sum(0).movedim(1, -1)).flatten(0, 2)
    torch.testing.assert_close(module(backend("sps").dense(features)), expected, atol=1e-5, rtol=1e-4)


def test_a_feedforward_block_is_one_operation_only_at_inference_in_float32() -> None:
    block = normalised_feedforward(8)
    assert [name for name, _ in block.named_parameters()] == [
        f"{n}.{of}" for n in (0, 1, 3) for of in ("weight", "bias")
    ]
    rows, added = torch.randn(2, 11, 8, generator=torch.Generator().manual_seed(0)).unbind()

    def is_one(dtype: torch.dtype = torch.float32) -> bool:
        block.to(dtype)
        with torch.profiler.profile() as profile:
            found = block.add_to(added.to(dtype), rows.to(dtype))
        torch.testing.assert_close(found, (added.to(dtype) + block(rows.to(dtype))).to(found.dtype))
        return "sps::feedforward" in {event.key for event in profile.key_averages()}

    assert not is_one()
    with torch.no_grad():
        assert is_one()
        assert not is_one(torch.bfloat16)
        assert not is_one(torch.float64)
        block.float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not is_one()


def test_class_channel() -> None:
    logits = torch.arange(12.0).view(2, 3, 2)
    assert class_channel(logits, torch.tensor([2, 0])).tolist() == [[4.0, 5.0], [6.0, 7.0]]
    assert class_channel(logits[:, :1], torch.tensor([2, 0, 1])).tolist() == [[0.0, 1.0], [6.0, 7.0]]
