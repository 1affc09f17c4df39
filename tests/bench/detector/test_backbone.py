"""Backbones: levels and strides, what is trainable, what is frozen, and ImageNet weights from a file."""

import hashlib
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.detector import backbone
from bench.detector.backbone import ResNet50, SmallResNet, imagenet_weights, load_imagenet


@pytest.mark.parametrize(("make", "side"), [(ResNet50, (64, 96)), (SmallResNet, (75, 61))])
def test_levels_have_their_strides_and_channels(make: type[ResNet50 | SmallResNet], side: tuple[int, int]) -> None:
    with torch.device("meta"):
        body = make()
        maps = body(torch.empty(2, 3, *side))
    assert list(maps) == [2, 3, 4, 5]
    for level, features in maps.items():
        assert features.shape == (2, body.channels[level], -(-side[0] // 2**level), -(-side[1] // 2**level))


def test_resnet50_counts() -> None:
    """The paper counts neither the frozen stem and first stage nor BatchNorm; 72.7 G multiply-adds at 800 x 1112."""
    with torch.device("meta"):
        body = ResNet50()
        with FlopCounterMode(display=False) as counter:
            body(torch.empty(1, 3, 800, 1112))
    assert sum(p.numel() for p in body.parameters() if p.requires_grad) == 23_232_512
    assert sum(p.numel() for p in body.parameters() if not p.requires_grad) == 222_400
    assert counter.get_total_flops() / 2e9 == pytest.approx(72.7, abs=0.05)


def test_frozen_parts_get_no_gradient_and_do_not_change_in_training() -> None:
    body = ResNet50().train()
    before = {name: value.clone() for name, value in body.named_buffers()}
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    sum(features.mean() for features in body(images).values()).backward()
    for name, parameter in body.named_parameters():
        frozen = name.startswith(("conv1", "bn1", "layer1"))
        assert (parameter.grad is None) == frozen, name
    assert before, "frozen BatchNorm keeps its statistics as buffers"
    assert all(torch.equal(before[name], value) for name, value in body.named_buffers())


def test_small_resnet_is_all_trainable_and_independent_of_the_batch() -> None:
    body = SmallResNet()
    assert all(parameter.requires_grad for parameter in body.parameters())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in body.modules())
    images = torch.randn(2, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    together, alone = body(images), body(images[1:])
    for level in together:
        torch.testing.assert_close(together[level][1:], alone[level])


def test_weights_are_looked_for_and_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert imagenet_weights() is None
    path = tmp_path / "checkpoints" / "resnet50-0676ba61.pth"
    path.parent.mkdir()
    path.touch()
    assert imagenet_weights() == path


def test_weights_load_without_the_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ResNet50()
    nn.init.constant_(source.bn1.running_mean, 3.0)
    weights = source.state_dict()
    # As in torchvision's file: a classifier, and counters that frozen BatchNorm does not have.
    weights |= {"fc.weight": torch.zeros(1000, 2048), "bn1.num_batches_tracked": torch.tensor(7)}
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    target = ResNet50()
    with pytest.raises(ValueError, match=re.escape(str(path)) + ".*expected 0676ba61; download"):
        load_imagenet(target, path)
    assert not torch.equal(target.layer4[0].conv1.weight, source.layer4[0].conv1.weight)

    monkeypatch.setattr(backbone, "WEIGHTS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    load_imagenet(target, path)
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


def test_imagenet_weights_load_where_they_are_present() -> None:
    path = imagenet_weights()
    if path is None:
        pytest.skip("torchvision's resnet50-0676ba61.pth is not among torch.hub's checkpoints")
    body = ResNet50()
    load_imagenet(body, path)
    assert body.bn1.running_var.ne(1).any()
