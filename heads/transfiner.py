"""Mask Transfiner++: a coarse mask, and a transformer over the cells of a quadtree where it is likely to be wrong.

    region features   RoIAlign 14 -> query fusion                                               [R C 14 14]
    coarse mask       4 convolutions, x2                                                        [R 28 28]
    incoherence       where information is lost between resolutions, predicted beside it        [R 28 28]
    nodes             the most incoherent cells of lattices of 28, 56 and 112 cells a side, with features of the pyramid
    tokens            the 14x14 region features and all nodes of a region, each with the coarse mask's value there
    transformer       3 layers over the tokens of a region -> one logit per token

Ke et al., "Mask Transfiner for High-Quality Instance Segmentation" (CVPR 2022). Departures: nodes are sampled at their
centres instead of RoIAligned, their numbers are fixed, every region is refined (the published code refines the first
ten of an image) and composing blends logits, not probabilities; there is no dropout, and the last layer starts close to
zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from heads import (
    FINEST_LEVEL,
    Detections,
    FlatPyramid,
    Pyramid,
    QueryFusion,
    Stage,
    Targets,
    align_regions,
    at_cells,
    cell_points,
    class_channel,
    compose,
    coverage,
    dice_loss,
    fcn,
    lattice_code,
    mask_loss,
    region_levels,
    segmentation_target,
    top_per_region,
    two_layer_mlp,
)
from heads._transfiner import boundary_target, incoherence_target, union_target

REGION_SIDE = 14
SIDES = (28, 56, 112)
TRAIN_NODES = 150
TRAIN_THRESHOLDS = (0.125, 0.5, 0.5)
INCOHERENCE_WEIGHT = 0.5
SEMANTIC_WEIGHT = 0.25


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of Mask Transfiner++; the defaults are those of the published models.

    `nodes` are refined per region at inference at 28, 56 and 112 cells a side; the published rule takes as many as
    thresholds let through, most cells of the coarsest lattice.
    """

    features: int = 256
    feedforward: int = 2048
    num_convs: int = 4
    num_layers: int = 3
    num_heads: int = 4
    nodes: tuple[int, int, int] = (128, 320, 640)
    class_agnostic: bool = False


_SMALL = Config(features=64, feedforward=256, nodes=(64, 160, 320))
PRESETS = {"paper": Config(), "small": _SMALL, "small_agnostic": replace(_SMALL, class_agnostic=True)}


@dataclass(frozen=True, kw_only=True)
class CoarseStage(Stage):
    """The coarse mask, in training with what else is learned: its `refine_logits` are those of the incoherence.

    Logits of the mask's boundary, of the context tokens, and of "any object" on the finest map of every image.
    """

    boundary: Float[Tensor, "R 28 28"]
    context: Float[Tensor, "R 14 14"]
    semantic: Float[Tensor, "B H W"]


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The nodes of one lattice, the same number in every region: their cells, row-major, and what was sampled there."""

    side: int
    cell: Int[Tensor, "R K"]

    def point(self, like: Tensor) -> Float[Tensor, "R K 2"]:
        """Their centres (x, y) in [0, 1]^2 of the box."""
        place = torch.stack([self.cell % self.side, self.cell // self.side], 2)
        return (place.to(like.dtype) + 0.5) / self.side

    def stage(self, logits: Float[Tensor, "R K"], like: Tensor) -> Stage:
        """Their predictions."""
        return Stage(
            side=self.side,
            mask_logits=logits.flatten(),
            region=_owner(self.cell),
            point=self.point(like).flatten(0, 1),
            overwrite="selected",
            align_corners=True,
        )


class Layer(nn.Module):
    """Attention among the tokens of a region and a feed-forward network, normalised after each residual."""

    def __init__(self, features: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(features, num_heads, batch_first=True)
        self.attention_norm = nn.LayerNorm(features)
        self.feedforward = two_layer_mlp(features, hidden, features)
        self.feedforward_norm = nn.LayerNorm(features)

    def forward(self, tokens: Float[Tensor, "R T F"], position: Float[Tensor, "R T F"]) -> Float[Tensor, "R T F"]:
        """Mix tokens; positions tell queries and keys apart, not values."""
        place = tokens + position
        attended, _ = self.attention(place, place, tokens, need_weights=False)
        tokens = self.attention_norm(tokens + attended)
        return self.feedforward_norm(tokens + self.feedforward(tokens))


class Refiner(nn.Module):
    """One logit per token, from its features, the coarse probability there, and the other tokens of its region."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        features = config.features
        self.join = nn.Linear(channels + 1, features)
        self.layers = nn.ModuleList(
            Layer(features, config.num_heads, config.feedforward) for _ in range(config.num_layers)
        )
        self.decode = two_layer_mlp(features, features, 1)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        # The published one starts like the others. Then L1 drives all logits to the side of most tokens first, and so
        # far that its gradient vanishes there; from zero it does not, at the same rate of learning.
        nn.init.normal_(self.decode[-1].weight, std=0.001)  # type: ignore[arg-type]

    def forward(
        self,
        features: Float[Tensor, "R T C"],
        coarse: Float[Tensor, "R T"],
        position: Float[Tensor, "R T F"],
    ) -> Float[Tensor, "R T"]:
        """Predict. `coarse` are probabilities."""
        tokens = self.join(torch.cat([features, coarse[:, :, None]], 2))
        for layer in self.layers:
            tokens = layer(tokens, position)
        return self.decode(tokens)[:, :, 0]


class Transfiner(nn.Module):
    """Mask Transfiner on regions with queries (a `MaskHead`). `nodes` may be changed after training."""

    def __init__(self, config: Config, *, channels: int, query_size: int, num_masks: int, class_specific: bool) -> None:
        super().__init__()
        features = config.features
        self.class_specific = class_specific
        self.nodes: tuple[int, ...] = config.nodes
        self.position_features = features
        self.fusion = QueryFusion(channels, query_size)
        self.trunk = fcn(channels, features, config.num_convs)
        self.mask = _predictor(features, num_masks, active=True)
        self.boundary = _predictor(features, 1, active=True)
        # The published detector adds features to the trunk's, of which there are as many.
        self.fit = nn.Identity() if channels == features else nn.Conv2d(channels, features, 1)
        self.detect = nn.Sequential(
            fcn(features, features, 3),
            fcn(features, features // 2, 1),
            _predictor(features // 2, 1, active=False),
        )
        self.enrich = nn.Sequential(fcn(channels, channels, 3), nn.Conv2d(channels, channels, 3, padding=1))
        for parameter in self.enrich.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)
        self.semantic = nn.Conv2d(channels, 1, 1)
        self.refine = Refiner(channels, config)

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict the coarse mask and nodes; in training the latter are drawn, at inference the most incoherent.

        At inference the first stage is the coarse mask with the nodes of its own lattice in it. The generator must
        live on the device of the boxes.
        """
        boxes, image = detections.boxes, detections.image
        context = self.fusion(align_regions(pyramid, boxes, image, REGION_SIDE), detections.queries)
        trunk = self.trunk(context)
        coarse = class_channel(self.mask(trunk), detections.labels)
        incoherence = self.detect(self.fit(context.detach()) + trunk)[:, 0]
        enriched = self.enrich(pyramid[FINEST_LEVEL])

        if self.training:
            nodes = drawn_nodes(incoherence.detach().sigmoid(), generator)
        else:
            nodes = most_incoherent(incoherence, self.nodes)
        finest = {FINEST_LEVEL: pyramid[FINEST_LEVEL] + enriched}
        flat = FlatPyramid(finest | {level: pyramid[level] for level in (3, 4)})
        of_context, *of_nodes = self._tokens(flat, detections, context, coarse, nodes)
        found = [each.stage(logits, boxes) for each, logits in zip(nodes, of_nodes, strict=True)]
        if not self.training:
            first = Stage(side=SIDES[0], mask_logits=coarse, refine_logits=incoherence)
            return [replace(first, mask_logits=compose([first, found[0]])), *found[1:]]
        first = CoarseStage(
            side=SIDES[0],
            mask_logits=coarse,
            refine_logits=incoherence,
            boundary=self.boundary(trunk)[:, 0],
            context=of_context.unflatten(1, (REGION_SIDE, REGION_SIDE)),
            semantic=self.semantic(enriched)[:, 0],
        )
        return [first, *found]

    def _tokens(
        self,
        flat: FlatPyramid,
        detections: Detections,
        context: Float[Tensor, "R C 14 14"],
        coarse: Float[Tensor, "R 28 28"],
        nodes: Sequence[Nodes],
    ) -> list[Float[Tensor, "R _"]]:
        """Predict a logit for every context cell and every node, all of a region seeing each other."""
        boxes, levels = detections.boxes, region_levels(detections.boxes)
        cells = torch.arange(REGION_SIDE**2, device=boxes.device).expand(len(boxes), -1)
        features, lattices = [context.flatten(2).transpose(1, 2)], [Nodes(side=REGION_SIDE, cell=cells), *nodes]
        for depth, each in enumerate(nodes, start=1):
            region = _owner(each.cell)
            level = (levels - depth).clamp(min=FINEST_LEVEL)[region]
            position = cell_points(boxes, region, each.point(boxes).flatten(0, 1))
            rows = flat.sample(level, detections.image[region], position)
            features.append(rows.unflatten(0, each.cell.shape))
        probability = coarse.sigmoid()
        before = [_resized(probability, each.side).flatten(1).gather(1, each.cell) for each in lattices]
        codes = [
            lattice_code(each.cell // each.side, each.cell % each.side, (each.side, each.side), self.position_features)
            for each in lattices
        ]
        logits = self.refine(torch.cat(features, 1), torch.cat(before, 1), torch.cat(codes, 1).to(context.dtype))
        return list(logits.split([each.cell.shape[1] for each in lattices], 1))

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Cross-entropies of mask, boundary and "any object", L1 of all tokens, incoherence also by its dice.

        All are means over a region's cells or tokens, or over the map of all images, times the number of regions.
        """
        coarse, *nodes = stages
        assert isinstance(coarse, CoarseStage)
        assert coarse.refine_logits is not None
        num_regions = len(targets.boxes)
        target, lost = segmentation_target(coverage(targets, SIDES[0])), incoherence_target(targets, SIDES[0])
        incoherence = mask_loss(coarse.refine_logits, lost, num_regions) + dice_loss(coarse.refine_logits, lost)
        logits, wanted = [coarse.context.flatten()], [segmentation_target(coverage(targets, REGION_SIDE)).flatten()]
        for stage in nodes:
            logits.append(stage.mask_logits)
            wanted.append(at_cells(segmentation_target(coverage(targets, stage.side)), stage))
        errors = (torch.cat(logits).sigmoid() - torch.cat(wanted)).abs()
        anything = union_target(targets, coarse.semantic)
        return {
            "mask_28": mask_loss(coarse.mask_logits, target, num_regions),
            "incoherence": INCOHERENCE_WEIGHT * incoherence,
            "nodes": errors.sum() * (num_regions / max(1, errors.numel())),
            "boundary": mask_loss(coarse.boundary, boundary_target(target), num_regions),
            "semantic": mask_loss(coarse.semantic, anything, num_regions, SEMANTIC_WEIGHT),
        }


def most_incoherent(incoherence: Float[Tensor, "R 28 28"], numbers: Sequence[int]) -> list[Nodes]:
    """The most incoherent cells of each lattice, by a map that finer lattices see enlarged by nearest neighbour.

    Cells of one parent are equal; where not all are wanted they come row by row.
    """
    side = SIDES[0]
    best = incoherence.flatten(1).argsort(dim=1, descending=True, stable=True)
    nodes = []
    for finer, number in zip(SIDES, numbers, strict=True):
        factor = finer // side
        parents = best[:, : -(-number // factor**2), None]
        child = torch.arange(factor**2, device=best.device)
        row = parents // side * factor + child // factor
        column = parents % side * factor + child % factor
        nodes.append(Nodes(side=finer, cell=(row * finer + column).flatten(1)[:, :number]))
    return nodes


def drawn_nodes(incoherence: Float[Tensor, "R 28 28"], generator: torch.Generator | None) -> list[Nodes]:
    """150 cells of each lattice at random: incoherent ones while there are some, then others.

    The published code takes fewer and repeats them, and leaves out regions with almost none.
    """
    nodes = []
    for side, threshold in zip(SIDES, TRAIN_THRESHOLDS, strict=True):
        enlarged = F.interpolate(incoherence[:, None], size=(side, side), mode="nearest").flatten(1)
        chance = torch.rand(enlarged.shape, generator=generator, device=enlarged.device)
        cell = top_per_region(chance + (enlarged >= threshold), TRAIN_NODES) % side**2
        nodes.append(Nodes(side=side, cell=cell))
    return nodes


def _resized(maps: Float[Tensor, "R 28 28"], side: int) -> Float[Tensor, "R S S"]:
    return F.interpolate(maps[:, None], size=(side, side), mode="bilinear")[:, 0]


def _owner(cell: Int[Tensor, "R K"]) -> Int[Tensor, "R*K"]:
    """Region of every node, in the order of `cell.flatten()`."""
    return torch.arange(len(cell), device=cell.device)[:, None].expand(cell.shape).flatten()


def _predictor(features: int, num_masks: int, *, active: bool) -> nn.Sequential:
    """Logits at twice the side, close to zero before training; `active` has a ReLU before the last layer."""
    up, logits = nn.ConvTranspose2d(features, features, 2, stride=2), nn.Conv2d(features, num_masks, 1)
    nn.init.kaiming_normal_(up.weight, mode="fan_out", nonlinearity="relu")
    nn.init.normal_(logits.weight, std=0.001)
    for layer in (up, logits):
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(up, nn.ReLU(inplace=True) if active else nn.Identity(), logits)


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Make the head; with the published sizes it has 11,737,812 parameters."""
    return Transfiner(
        config,
        channels=pyramid_channels,
        query_size=query_size,
        num_masks=1 if config.class_agnostic else num_classes,
        class_specific=not config.class_agnostic,
    )
