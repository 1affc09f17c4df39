"""The two rulers agree with hand counts and with each other."""

import jaxtyping
import pytest
import torch
from torch import nn
from torchvision.ops import roi_align

from bench.rulers.multiply_adds import count_fvcore, count_torch, counting
from heads import normalised_feedforward
from sparsity import backend, conv2d, depthwise, sfm


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(256, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Everything(nn.Module):
    """One of each operation the paper's measurement charged for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.deconv = nn.ConvTranspose2d(8, 8, 2, 2)
        self.group_norm = nn.GroupNorm(2, 8)
        self.layer_norm = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.group_norm(self.deconv(self.conv(x)))
        x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
        x = nn.functional.interpolate(x, size=(x.shape[2] + 1, x.shape[3]), mode="nearest")
        x = nn.functional.grid_sample(x, x.new_zeros(len(x), 4, 4, 2), align_corners=False)
        x = roi_align(x, x.new_tensor([[0, 0, 0, 2, 2]]), 2)
        return self.linear(self.layer_norm(x.flatten(2).transpose(1, 2)))


@pytest.mark.parametrize("ruler", ["torch", "fvcore"])
def test_attention_is_not_counted_as_zero(ruler: str) -> None:
    model, x = Attention().eval(), torch.zeros(1, 300, 256)
    with counting():
        count = count_torch(lambda: model(x))[0] if ruler == "torch" else count_fvcore(model, (x,))
    assert count.total == 300 * 4 * 256**2 + 2 * 300 * 300 * 256  # four projections, scores and mixture: 124.7 M


def test_every_kind_matches_the_formulas_and_the_other_ruler() -> None:
    model, x = Everything().eval(), torch.zeros(1, 3, 16, 16)
    expected = {
        "convolution": 8 * 3 * 9 * 256 + 8 * 8 * 4 * 256,  # the transposed one at its input resolution
        "norm": 5 * 8 * 32 * 32 + 5 * 4 * 8,
        "resample": 4 * 8 * 64 * 64 + 8 * 65 * 64 + 4 * 8 * 4 * 4,
        "roi_align": 4 * 8 * 2 * 2,
        "matmul": 4 * 8 * 5,
    }
    with counting():
        (by_torch, _), by_fvcore = count_torch(lambda: model(x)), count_fvcore(model, (x,))
    assert by_torch.macs == expected
    assert by_fvcore.macs == expected
    assert by_torch.old_deconvolution == 3 * 8 * 8 * 4 * 256


class Sparse(nn.Module):
    """Branches of the SFM, a convolution and a depthwise one on a backend, a third of whose cells are active."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.kind = backend(name)
        self.weight = nn.Parameter(torch.zeros(3, 5, 4, 3, 3))
        self.bias = nn.Parameter(torch.zeros(3, 5))
        self.channels = nn.Parameter(torch.zeros(3, 3, 3, 4))

    def forward(self, features: torch.Tensor, children: torch.Tensor) -> torch.Tensor:
        grid = self.kind.dense(features).subdivide(torch.arange(3, device=features.device), children)
        around = depthwise(grid, self.channels, self.bias[0, :4], (1, 3, 5))
        return sfm(grid, self.weight, self.bias, (1, 3, 5)) + conv2d(grid, self.weight[0], None) + around[:, :1]


@pytest.mark.parametrize("name", ["sps", "sps:reference", "sparse_on_dense"])
def test_a_kernel_costs_what_its_gather_and_products_cost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A trace has sizes that the run-time types do not take for numbers.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    model, inputs = Sparse(name), (torch.zeros(1, 4, 3, 3), torch.zeros(12, 4))
    expected = {"matmul": 12 * 4 * 9 * 5 * 4 + 12 * 3 * 9 * 4}
    with counting():
        (by_torch, _), by_fvcore = count_torch(lambda: model(*inputs)), count_fvcore(model, inputs)
        on_meta, _ = count_torch(lambda: model.to("meta")(*(value.to("meta") for value in inputs)))
    assert by_torch.macs == by_fvcore.macs == on_meta.macs == expected


class Feedforward(nn.Module):
    """A block as processing modules have it."""

    def __init__(self) -> None:
        super().__init__()
        self.block = normalised_feedforward(6)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.block.add_to(rows, rows)


def test_a_block_in_one_pass_costs_what_its_layers_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    model, rows = Feedforward(), torch.zeros(7, 6)
    with counting():
        (by_torch, _), by_fvcore = count_torch(lambda: model(rows)), count_fvcore(model, (rows,))
        by_layers, _ = count_torch(lambda: rows + model.block(rows))
        on_meta, _ = count_torch(lambda: model.to("meta")(rows.to("meta")))
    assert by_torch.macs == by_fvcore.macs == {"matmul": 2 * 7 * 6 * 24, "norm": 5 * 7 * 6}
    assert by_layers.macs == on_meta.macs == by_torch.macs
    assert not by_torch.uncounted


def test_meta_tensors_give_the_same_count() -> None:
    real, meta = Everything().eval(), Everything().eval().to("meta")
    with counting():
        a, _ = count_torch(lambda: real(torch.zeros(2, 3, 20, 12)))
        b, _ = count_torch(lambda: meta(torch.zeros(2, 3, 20, 12, device="meta")))
    assert a.macs == b.macs


def test_uncounted_operations_are_listed() -> None:
    x = torch.rand(4, 4)
    with counting():
        count, _ = count_torch(lambda: (x @ x).topk(2).values.exp())
    assert count.macs == {"matmul": 64}
    assert {"topk", "exp"} <= set(count.uncounted)
    assert "mm" not in count.uncounted


def test_counting_restores_the_fast_path() -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(RuntimeError, match="inside"), counting():
        raise RuntimeError("inside")
    assert torch.backends.mha.get_fastpath_enabled() == before
