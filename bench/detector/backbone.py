"""Backbones: images to the four maps C2..C5 of strides 4, 8, 16 and 32."""

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops import FrozenBatchNorm2d

WEIGHTS_NAME = "resnet50-0676ba61.pth"
WEIGHTS_SHA256 = "0676ba61"


class ResNet50(nn.Module):
    """ResNet-50 in which every BatchNorm, the stem and the first stage are frozen (Sec. 4.1).

    Images [B 3 H W] are normalised with ImageNet's mean and deviation. 23,232,512 parameters are trainable; frozen
    BatchNorm holds buffers only. Modules are named as torchvision's, so its weight files load as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channels = {2: 256, 3: 512, 4: 1024, 5: 2048}
        body = torchvision.models.resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
        self.conv1, self.bn1, self.relu, self.maxpool = body.conv1, body.bn1, body.relu, body.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = body.layer1, body.layer2, body.layer3, body.layer4
        self.conv1.requires_grad_(False)
        self.layer1.requires_grad_(False)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[int, Tensor]:
        """Give C2..C5 by level; level k is [B channels[k] ceil(H / 2^k) ceil(W / 2^k)]."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = {}
        for level, stage in enumerate((self.layer1, self.layer2, self.layer3, self.layer4), start=2):
            maps[level] = features = stage(features)
        return maps


class PaddedResNet50(ResNet50):
    """ResNet-50 that first pads images with zeros to sides that 32 divides, as torchvision's detectors do.

    Cells then have exactly the stride of their level, and the maps are those of the padded image.
    """

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[int, Tensor]:
        """Give C2..C5 by level; level k is [B channels[k] 32 * ceil(H / 32) / 2^k 32 * ceil(W / 32) / 2^k]."""
        height, width = (int(side) for side in images.shape[-2:])
        return super().forward(F.pad(images, (0, -width % 32, 0, -height % 32)))


class SmallResNet(nn.Module):
    """Four stages of two basic blocks with GroupNorm, for training from scratch on small images.

    GroupNorm does not look across images, so a result depends neither on the batch nor on the number of ranks.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 96, 128), num_groups: int = 8) -> None:
        super().__init__()
        self.channels = dict(enumerate(widths, start=2))

        def norm(channels: int) -> nn.GroupNorm:
            return nn.GroupNorm(num_groups, channels)

        def down(in_channels: int, channels: int, kernel_size: int) -> nn.Sequential:
            padding = kernel_size // 2
            conv = nn.Conv2d(in_channels, channels, kernel_size, stride=2, padding=padding, bias=False)
            return nn.Sequential(conv, norm(channels))

        # Two strided convolutions instead of a large one and pooling: cheaper, and small objects keep their edges.
        first = widths[0]
        self.stem = nn.Sequential(down(3, first, 3), nn.ReLU(), down(first, first, 3), nn.ReLU())
        self.stages = nn.ModuleList([nn.Sequential(*(BasicBlock(first, first, norm_layer=norm) for _ in range(2)))])
        for before, width in itertools.pairwise(widths):
            entry = BasicBlock(before, width, stride=2, downsample=down(before, width, 1), norm_layer=norm)
            self.stages.append(nn.Sequential(entry, BasicBlock(width, width, norm_layer=norm)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[int, Tensor]:
        """Give C2..C5 by level; level k is [B channels[k] ceil(H / 2^k) ceil(W / 2^k)]."""
        features = self.stem(images)
        maps = {}
        for level, stage in enumerate(self.stages, start=2):
            maps[level] = features = stage(features)
        return maps


def imagenet_weights() -> Path | None:
    """Find torchvision's ImageNet-1k V1 weights of ResNet-50 among torch.hub's checkpoints; nothing is downloaded."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME
    return path if path.is_file() else None


def load_imagenet(backbone: ResNet50, path: Path) -> None:
    """Load torchvision's ImageNet weights, without their classifier. Raises ValueError for any other file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(WEIGHTS_SHA256):
        raise ValueError(
            f"{path} is not torchvision's {WEIGHTS_NAME}: its SHA-256 starts with {digest[:8]}; expected "
            f"{WEIGHTS_SHA256}; download it again with the command that run_bench.py doctor prints."
        )
    weights = torch.load(path, map_location="cpu", weights_only=True)
    backbone.load_state_dict({name: value for name, value in weights.items() if not name.startswith("fc.")})
