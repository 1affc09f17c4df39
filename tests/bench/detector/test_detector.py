"""Necks: parameters and operations of the paper, map sizes of odd inputs, and where each level comes from."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.detector.deform_encoder import DeformEncoder, cell_centres, corner_encoding, sine_encoding
from bench.detector.fpn import FPN

R50 = {2: 256, 3: 512, 4: 1024, 5: 2048}
SMALL = {2: 8, 3: 12, 4: 16, 5: 20}


def maps(channels: dict[int, int], height: int, width: int, batch: int = 1, device: str = "cpu") -> dict[int, Tensor]:
    generator = None if device == "meta" else torch.Generator().manual_seed(height * width)
    return {
        k: torch.randn(batch, c, -(-height // 2**k), -(-width // 2**k), generator=generator, device=device)
        for k, c in channels.items()
    }


def small_encoder() -> DeformEncoder:
    return DeformEncoder(SMALL, 32, num_layers=2, num_heads=4, num_points=2, hidden=48, num_groups=8)


@pytest.mark.parametrize(("make", "count"), [(FPN, 4_524_544), (DeformEncoder, 12_037_184)])
def test_trainable_parameters(make: type[FPN | DeformEncoder], count: int) -> None:
    with torch.device("meta"):
        neck = make(R50)
    assert sum(p.numel() for p in neck.parameters() if p.requires_grad) == count


def test_deform_encoder_parts() -> None:
    with torch.device("meta"):
        neck = DeformEncoder(R50)
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in neck.named_children()}
    assert parts == {
        "inputs": 6_229_760,
        "layers": 4_689_216,
        "fine_lateral": 66_048,
        "fine_output": 590_336 + 65_792,
        "outputs": 394_752,
    }
    assert neck.level_embedding.numel() == 1_280


# Convolutions and matrix products only: sampling (4 * 0.58 G) and norms (0.5 G) of the encoder's 139.4 G are no such.
@pytest.mark.parametrize(("make", "giga_macs"), [(FPN, 50.6), (DeformEncoder, 139.4 - 2.3 - 0.5)])
def test_operations_at_the_reference_size(make: type[FPN | DeformEncoder], giga_macs: float) -> None:
    with torch.device("meta"):
        neck = make(R50)
    with FlopCounterMode(display=False) as counter:
        neck(maps(R50, 800, 1112, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga_macs, abs=0.06)


@pytest.mark.parametrize("size", [(64, 64), (67, 45), (33, 90), (1, 1)])
def test_pyramid_of_any_size(size: tuple[int, int]) -> None:
    features = maps(SMALL, *size, batch=2)
    for neck in (FPN(SMALL, 32), small_encoder()):
        pyramid = neck(features)
        assert sorted(pyramid) == [2, 3, 4, 5, 6, 7]
        for level, features_of_level in pyramid.items():
            assert features_of_level.shape == (2, 32, -(-size[0] // 2**level), -(-size[1] // 2**level))
            assert features_of_level.isfinite().all()


@pytest.mark.parametrize("neck", [FPN(SMALL, 32), small_encoder()], ids=["fpn", "deform_encoder"])
def test_images_do_not_see_each_other(neck: nn.Module) -> None:
    features = maps(SMALL, 50, 70, batch=2)
    together = neck(features)
    alone = neck({level: part[1:] for level, part in features.items()})
    for level in together:
        torch.testing.assert_close(together[level][1:], alone[level])


def test_fpn_flows_from_coarse_to_fine_and_p6_from_the_lateral() -> None:
    neck = FPN(SMALL, 16)
    features = maps(SMALL, 64, 64)
    before = neck(features)
    changed = neck({**features, 4: features[4] + 1})
    assert {level for level in before if not torch.equal(before[level], changed[level])} == {2, 3, 4}
    with torch.no_grad():
        neck.outputs["5"].weight.zero_()
    without_output = neck(features)
    assert not without_output[5].any()
    torch.testing.assert_close(without_output[6], before[6])
    torch.testing.assert_close(before[7], neck.extra[1](before[6].relu()))


def test_fpn_adds_the_nearest_coarser_cell() -> None:
    neck = FPN({2: 1, 3: 1}, 1)
    with torch.no_grad():
        for conv in neck.outputs.values():
            conv.weight.zero_()[..., 1, 1] = 1
        for lateral in neck.laterals.values():
            lateral.weight.fill_(1)
    coarse = torch.tensor([[1.0, 2.0]])[None, None]
    fine = torch.zeros(1, 1, 1, 3)
    assert neck({2: fine, 3: coarse})[2].flatten().tolist() == [1, 1, 2]


def test_every_parameter_of_the_encoder_learns() -> None:
    """Not at the very start: sampling offsets and attention weights begin as constants, so positions do not matter."""
    neck = small_encoder()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in neck.layers:
            layer.attention.sampling_offsets.weight.normal_(std=0.1, generator=generator)
            layer.attention.attention_weights.weight.normal_(std=0.1, generator=generator)
    sum(features.square().sum() for features in neck(maps(SMALL, 100, 90)).values()).backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_cell_centres_and_their_encoding() -> None:
    centres = cell_centres(2, 4, torch.zeros(()))
    assert centres[[0, 1, 4, 7]].tolist() == [[0.125, 0.25], [0.375, 0.25], [0.125, 0.75], [0.875, 0.75]]
    encoding = sine_encoding(torch.tensor([[0.25, 0.5]]), 8)
    expected = torch.tensor([[1.0, 0.015707, 0.0, 0.999877, 0.0, 0.031411, -1.0, 0.999507]])
    torch.testing.assert_close(encoding, expected, atol=1e-5, rtol=0)


def test_the_corners_of_cells_and_their_encoding() -> None:
    """By hand: y first, of the lower right corner, sine and cosine of one period side by side."""
    encoding = corner_encoding(2, 4, 8, torch.zeros(()))
    x, y = 2 * math.pi * 3 / 4, 2 * math.pi * 2 / 2
    expected = [
        function(place / period) for place in (y, x) for period in (1, 100) for function in (math.sin, math.cos)
    ]
    assert encoding.shape == (8, 8)
    torch.testing.assert_close(encoding[6], torch.tensor(expected), atol=1e-4, rtol=0)


def test_positions_as_in_the_source_mix_up_the_two_coarsest_levels() -> None:
    """Row by row: features come as P7, P6, P5, P4, P3 there, their codes as P6, P7, P5, P4, P3."""
    neck = small_encoder()
    shapes = [(9, 7), (5, 4), (3, 2), (2, 1), (1, 1)]
    found = neck._source_positions(shapes, torch.zeros(()))
    sizes = {level: height * width for level, (height, width) in zip(range(3, 8), shapes, strict=True)}
    codes = {
        level: corner_encoding(*shape, 32, torch.zeros(())) for level, shape in zip(range(3, 8), shapes, strict=True)
    }
    # The source counts levels, and so embeddings, from the coarsest.
    embedding = neck.level_embedding.flip(0)
    theirs = torch.cat([codes[level] + embedding[place] for place, level in enumerate((6, 7, 5, 4, 3))])
    rows = dict(zip((7, 6, 5, 4, 3), theirs.split([sizes[level] for level in (7, 6, 5, 4, 3)]), strict=True))
    for level, positions in zip(range(3, 8), found, strict=True):
        torch.testing.assert_close(positions, rows[level])


def test_encoder_offsets_count_in_cells_of_each_level() -> None:
    neck = small_encoder()
    seen: list[tuple[Tensor, ...]] = []
    neck.layers[0].attention.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    pyramid = neck(maps(SMALL, 100, 90))
    _, centres, unit, features, shapes = seen[0]
    assert [tuple(shape) for shape in shapes] == [pyramid[level].shape[-2:] for level in (3, 4, 5, 6, 7)]
    torch.testing.assert_close(unit[0, 0], torch.tensor([[1 / width, 1 / height] for height, width in shapes]))
    expected = torch.cat([cell_centres(height, width, features) for height, width in shapes])
    torch.testing.assert_close(centres[0, :, 0], expected)
