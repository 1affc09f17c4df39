"""PatchDCT++: a mask as cosine coefficients, first of the whole region, then of its patches; DCT-Mask++ is the first.

    whole     RoIAlign 14 -> query fusion -> 4 convolutions -> three linear layers -> 300 coefficients -> 112x112
    patches   that mask at 42x42 + RoIAlign 42 of P2 -> convolutions, 42 -> 14 -> for every 8x8 patch of the class:
              background, mixed or foreground, and 6 coefficients for the case that it is mixed

Wen et al., "PatchDCT" (ICLR 2023), and Shen et al., "DCT-Mask" (CVPR 2021), whose mask is 128x128 here 112x112.
The 300 coefficients do not depend on the class; the patches do. Decoded masks are values near [0, 1], not logits:
a stage holds `logit(value)`, so that composing and pasting see the value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from heads import (
    CosineCode,
    Detections,
    Linear,
    Pyramid,
    QueryFusion,
    Stage,
    Targets,
    align_regions,
    class_channel,
    coverage,
    fcn,
    segmentation_target,
    triangle,
)

REGION_SIDE = 14
SIDE = 112
PATCH = SIDE // REGION_SIDE
MASK_DIAGONALS = 24  # 300 coefficients
PATCH_DIAGONALS = 3  # 6 coefficients
PATCH_CLASSES = ("background", "mixed", "foreground")
MIXED = 1
CONFIDENT = 0.3
SMALLEST = 1e-4
DCT_MASK_WEIGHT = 0.007


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of PatchDCT++; the defaults are those of the published models. Without `refine` it is DCT-Mask++.

    `hidden` is the width of the linear layers and of the last convolutions of the patches. DCT-Mask's masks do not
    depend on the class, with or without `class_agnostic`.
    """

    features: int = 256
    hidden: int = 1024
    num_convs: int = 4
    refine: bool = True
    class_agnostic: bool = False


_SMALL = Config(features=64, hidden=128)  # half the width of the other small heads': it already has the most parameters
PRESETS = {
    "paper": Config(),
    "small": _SMALL,
    "small_agnostic": replace(_SMALL, class_agnostic=True),
    "small_wide": replace(_SMALL, hidden=256),
    "paper_dct_mask": Config(refine=False),
    "small_dct_mask": replace(_SMALL, hidden=256, refine=False),
}


@dataclass(frozen=True, kw_only=True)
class PatchPredictions:
    """What is predicted of every 8x8 patch of a region, 14 by 14 of them."""

    classes: Float[Tensor, "R 3 14 14"]
    coefficients: Float[Tensor, "R 6 14 14"]


@dataclass(frozen=True, kw_only=True)
class CosineStage(Stage):
    """A dense stage with the coefficients that its mask was decoded from: of the mask, or of its patches."""

    coefficients: Float[Tensor, "R 300"] | None = None
    patches: PatchPredictions | None = None


class WholeMask(nn.Module):
    """Predict the coefficients of a region's mask from its features and its query (DCT-Mask, Fig. 3)."""

    def __init__(self, channels: int, query_size: int, config: Config, num_coefficients: int) -> None:
        super().__init__()
        self.fusion = QueryFusion(channels, query_size)
        self.trunk = fcn(channels, config.features, config.num_convs)
        self.coefficients = nn.Sequential(
            Linear(config.features * REGION_SIDE**2, config.hidden),
            nn.ReLU(inplace=True),
            Linear(config.hidden, config.hidden),
            nn.ReLU(inplace=True),
            Linear(config.hidden, num_coefficients),
        )

    def forward(self, features: Float[Tensor, "R C 14 14"], queries: Float[Tensor, "R Q"]) -> Float[Tensor, "R 300"]:
        """Predict them; no class is told apart."""
        return self.coefficients(self.trunk(self.fusion(features, queries)).flatten(1))


class Patches(nn.Module):
    """Classify the patches of a mask and predict the coefficients of the mixed ones (PatchDCT, Fig. 2)."""

    def __init__(self, channels: int, config: Config, num_coefficients: int, num_masks: int) -> None:
        super().__init__()
        self.mask = fcn(1, channels, 1)
        self.trunk = fcn(channels, config.features, 2)
        self.shrink = nn.Sequential(
            _kaiming(nn.Conv2d(config.features, config.hidden, 3, stride=3)), nn.ReLU(inplace=True)
        )
        self.mix = nn.Sequential(_kaiming(nn.Conv2d(config.hidden, config.hidden, 3, padding=1)), nn.ReLU(inplace=True))
        self.num_masks = num_masks
        self.coefficients = nn.Conv2d(config.hidden, num_masks * num_coefficients, 1)
        self.classes = nn.Conv2d(config.hidden, num_masks * len(PATCH_CLASSES), 1)

    def forward(
        self,
        mask: Float[Tensor, "R 112 112"],
        features: Float[Tensor, "R C 42 42"],
        labels: Int[Tensor, "D"],
    ) -> PatchPredictions:
        """Predict every patch for each region's class. `mask` is decoded, of values near [0, 1]."""
        side = features.shape[-1]
        enlarged = F.interpolate(mask[:, None], size=(side, side), mode="nearest")
        mixed = self.mix(self.shrink(self.trunk(self.mask(enlarged) + features)))

        def of_class(predicted: Float[Tensor, "R N 14 14"]) -> Float[Tensor, "R K 14 14"]:
            return class_channel(predicted.unflatten(1, (self.num_masks, -1)), labels)

        return PatchPredictions(classes=of_class(self.classes(mixed)), coefficients=of_class(self.coefficients(mixed)))


class PatchDCT(nn.Module):
    """DCT-Mask on regions with queries, and PatchDCT where it has `patches` (a `MaskHead`)."""

    def __init__(self, *, whole: nn.Module, patches: nn.Module | None, class_specific: bool) -> None:
        super().__init__()
        self.whole = whole
        self.patches = patches
        self.class_specific = class_specific
        self.mask_code = CosineCode(SIDE, MASK_DIAGONALS)
        self.patch_code = CosineCode(PATCH, PATCH_DIAGONALS)

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict the mask of every region; in training of PatchDCT also the one that it refines. Nothing is random."""
        boxes, image = detections.boxes, detections.image
        coefficients = self.whole(align_regions(pyramid, boxes, image, REGION_SIDE), detections.queries)
        mask = self.mask_code.decode(coefficients)
        first = CosineStage(side=SIDE, mask_logits=_logits(mask), coefficients=coefficients)
        if self.patches is None:
            return [first]
        fine = align_regions(pyramid, boxes, image, 3 * REGION_SIDE, level=2)
        patches = self.patches(mask, fine, detections.labels)
        refined, quality = self.assemble(patches)
        last = CosineStage(side=SIDE, mask_logits=_logits(refined), quality=quality, patches=patches)
        return [first, last] if self.training else [last]

    def assemble(self, patches: PatchPredictions) -> tuple[Float[Tensor, "R 112 112"], Float[Tensor, "R"]]:
        """Decode mixed patches and fill the others, by the published rule: more than 0.3 of an extreme is enough.

        A filled patch is 1 however unsure its class is, and the mean foreground probability (Eq. 3) near 1 for any
        mask. Hence the quality: the same mean with the chance of "foreground" in place of the ones.
        """
        chances = patches.classes.detach().softmax(1)
        bonus = (chances > CONFIDENT).to(chances.dtype)
        bonus[:, MIXED] = 0
        kind = (chances + bonus).argmax(1)[..., None, None]
        decoded = self.patch_code.decode(patches.coefficients.detach().permute(0, 2, 3, 1))
        # The classes are numbered so that the value of a uniform patch is half its class. One whose chances are not
        # numbers is of no class, and must not pass for background.
        filled = (kind / 2).to(decoded.dtype) + 0 * chances.sum(1)[..., None, None]
        mask = join_patches(torch.where(kind == MIXED, decoded, filled))
        sure = join_patches(torch.where(kind == MIXED, decoded.clamp(0, 1), filled * chances[:, 2, :, :, None, None]))
        foreground = mask > 0.5
        return mask, (sure * foreground).sum((1, 2)) / foreground.sum((1, 2)).clamp(min=1)

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """L1 of coefficients and cross-entropy of patches: means, times the number of regions.

        Of the patches, only mixed ones have wanted coefficients; their mean is over those of all regions.
        """
        num_regions = len(targets.boxes)
        target = segmentation_target(coverage(targets, SIDE))
        first, *more = stages
        assert isinstance(first, CosineStage)
        assert first.coefficients is not None
        errors = (first.coefficients - self.mask_code.encode(target).to(first.coefficients.dtype)).abs()
        if not more:
            return {"mask": DCT_MASK_WEIGHT * errors.sum()}
        (last,) = more
        assert isinstance(last, CosineStage)
        assert last.patches is not None
        wanted = split_patches(target)
        kinds = patch_classes(wanted)
        mixed = (kinds == MIXED)[:, None]
        code = self.patch_code.encode(wanted).permute(0, 3, 1, 2)
        patch_errors = (last.patches.coefficients - code.to(last.patches.coefficients.dtype)).abs() * mixed
        entropy = F.cross_entropy(last.patches.classes, kinds, reduction="sum")
        count = (mixed.sum() * code.shape[1]).clamp(min=1)
        return {
            "mask": errors.sum() / errors.shape[1],
            "patch_classes": entropy / REGION_SIDE**2,
            "patches": patch_errors.sum() * (num_regions / count),
        }


def split_patches(mask: Float[Tensor, "R 112 112"]) -> Float[Tensor, "R 14 14 8 8"]:
    """Cut masks into patches."""
    return mask.unflatten(2, (REGION_SIDE, PATCH)).unflatten(1, (REGION_SIDE, PATCH)).transpose(2, 3)


def join_patches(patches: Float[Tensor, "R 14 14 8 8"]) -> Float[Tensor, "R 112 112"]:
    """Put patches together."""
    return patches.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def patch_classes(patches: Float[Tensor, "R 14 14 8 8"]) -> Int[Tensor, "R 14 14"]:
    """Classify patches of zeros and ones: 0 without foreground, 2 without background, 1 with both."""
    count = patches.sum((3, 4))
    return (count > 0).long() + (count == PATCH**2).long()


def _logits(values: Float[Tensor, "R 112 112"]) -> Float[Tensor, "R 112 112"]:
    """Logits of values that are meant as probabilities. Outside of training nobody needs their gradient."""
    precise = values.detach().to(torch.promote_types(values.dtype, torch.float32))
    return precise.clamp(SMALLEST, 1 - SMALLEST).logit().to(values.dtype)


def _kaiming(conv: nn.Conv2d) -> nn.Conv2d:
    """Initialise a convolution as `fcn` does."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _initialise_as_dct_mask(layers: nn.Sequential) -> None:
    """DCT-Mask starts with the mask that is zero everywhere; PatchDCT leaves its layers as torch starts them."""
    *hidden, last = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for layer in hidden:
        nn.init.kaiming_uniform_(layer.weight, a=1)
        nn.init.zeros_(layer.bias)
    nn.init.normal_(last.weight, std=0.001)
    nn.init.zeros_(last.bias)


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Make the head; with the published sizes it has 69,080,828 parameters, and 55,361,580 as DCT-Mask."""
    whole = WholeMask(pyramid_channels, query_size, config, triangle(MASK_DIAGONALS))
    if not config.refine:
        _initialise_as_dct_mask(whole.coefficients)
        return PatchDCT(whole=whole, patches=None, class_specific=False)
    num_masks = 1 if config.class_agnostic else num_classes
    patches = Patches(pyramid_channels, config, triangle(PATCH_DIAGONALS), num_masks)
    return PatchDCT(whole=whole, patches=patches, class_specific=not config.class_agnostic)
