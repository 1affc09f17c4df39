"""EffSeg: a dense stage, then three stages that refine the cells worth it, on any grid, with any processing module.

Sec. 3 of the paper. Masks are class-agnostic and 112x112: predictions of one region share one mask.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heads import (
    FINEST_LEVEL,
    Budget,
    Detections,
    FlatPyramid,
    Linear,
    Pyramid,
    QueryFusion,
    Stage,
    Targets,
    align_regions,
    at_cells,
    cell_points,
    coverage,
    fcn,
    in_blocks,
    mask_loss,
    policies,
    processing_module,
    refinement_target,
    region_levels,
    segmentation_target,
    top_cells,
    two_layer_mlp,
)
from sparsity import Grid, GridType, backend, children_of, unravel

REGION_SIDE = 14
MASK_WEIGHTS = (0.25, 0.375, 0.375, 0.5)
REFINE_WEIGHT = 0.25
PAPER_BUDGET = Budget(10_000, "image")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes and choices of EffSeg; the defaults are the paper's.

    `features` of the dense stage and the three sparse ones, each half of the one before. `module`: a processing
    module, `backend`: how refined features are stored. `position_encoding`: in the authors' code, not in the paper.
    `stretch_maps`: refined cells read the pyramid as in the authors' code, by their place in the (padded) image and so
    with maps of rounded up sizes stretched over it; without, by their place in pixels over the stride.
    """

    features: tuple[int, int, int, int] = (256, 128, 64, 32)
    num_convs: int = 4
    module: str = "sfm"
    backend: str = "sps"
    budget: Budget = PAPER_BUDGET
    position_encoding: bool = True
    stretch_maps: bool = True


PRESETS = {
    "paper": Config(),
    # 184 cells per region are what the paper's budget gives each of its regions, for images with any number of them.
    "small": Config(features=(64, 32, 16, 8), budget=Budget(184, "region_pool"), stretch_maps=False),
}


class Branches(nn.Module):
    """Two logits for every active cell: is it foreground, and is it worth refining."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mask = two_layer_mlp(features, features, 1)
        self.refine = two_layer_mlp(features, features, 1)

    def forward(self, active: Float[Tensor, "A F"]) -> tuple[Float[Tensor, "A"], Float[Tensor, "A"]]:
        """Predict mask and refinement logits."""
        return in_blocks(self.mask, active)[:, 0], in_blocks(self.refine, active)[:, 0]


class Split(nn.Module):
    """Make the features of 4 children from those of their parent: parent plus a learned difference per child.

    Children differ in the first layer only, the second is shared: the reading of the paper's "different MLPs" that
    has its number of parameters.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.hidden = Linear(features, 4 * features)
        self.shared = Linear(features, features)

    def forward(self, parents: Float[Tensor, "K F"]) -> Float[Tensor, "4*K F"]:
        """Split parents into children, child-minor and row-major in their 2x2 block."""
        hidden = self.hidden(parents).relu_().unflatten(1, (4, -1))
        return (parents[:, None] + self.shared(hidden)).flatten(0, 1)


@dataclass(frozen=True, kw_only=True)
class RegionSampler:
    """Samples a pyramid at points of the regions of a batch, which have boxes, images and levels."""

    pyramid: FlatPyramid
    boxes: Float[Tensor, "R 4"]
    image: Int[Tensor, "R"]
    levels: Int[Tensor, "R"]

    def sample(self, region: Int[Tensor, "A"], point: Float[Tensor, "A 2"], depth: int) -> Float[Tensor, "A C"]:
        """Features at points of regions, `depth` levels finer than the region's own but not below P2."""
        levels = (self.levels - depth).clamp(min=FINEST_LEVEL)[region]
        return self.pyramid.sample(levels, self.image[region], cell_points(self.boxes, region, point))


class SparseStage(nn.Module):
    """Refine the kept cells of a grid: split, add pyramid features, halve the feature size, process, predict."""

    def __init__(self, *, features: int, pyramid_channels: int, features_out: int, process: nn.Module) -> None:
        super().__init__()
        self.split = Split(features)
        self.fusion = two_layer_mlp(features + pyramid_channels, features, features)
        self.transition = nn.Sequential(Linear(features, features_out), nn.ReLU(inplace=True))
        self.process = process
        self.branches = Branches(features_out)

    def forward(
        self, grid: Grid, keep: Int[Tensor, "K"], sampler: RegionSampler, depth: int, *, refine: bool
    ) -> tuple[Grid, Stage]:
        """Subdivide a grid at the rows `keep` and predict its new active cells; with `refine` also where to go on."""
        side = 2 * grid.size[1]
        region, row, column = unravel(children_of(grid.cells[keep], grid.size), (grid.size[0], side, side))
        point = (torch.stack([column, row], 1) + 0.5).to(sampler.boxes.dtype) / side
        parents = grid.active[keep]

        def children_with_context(
            parents: Float[Tensor, "K F"], region: Int[Tensor, "K 4"], point: Float[Tensor, "K 4 2"]
        ) -> Float[Tensor, "K 4 F"]:
            children = self.split(parents)
            context = sampler.sample(region.flatten(), point.flatten(0, 1), depth)
            return (children + self.fusion(torch.cat([children, context], 1))).unflatten(0, region.shape)

        children = in_blocks(children_with_context, parents, region.view(-1, 4), point.view(-1, 4, 2))
        # Passive features go through the same layer, or neighbours of different ages could not be convolved.
        grid = grid.subdivide(keep, children.flatten(0, 1)).map(lambda rows: in_blocks(self.transition, rows))
        grid = grid.with_active(self.process(grid))
        return grid, Stage(
            side=side,
            mask_logits=in_blocks(self.branches.mask, grid.active)[:, 0],
            refine_logits=in_blocks(self.branches.refine, grid.active)[:, 0] if refine else None,
            region=region,
            point=point,
            overwrite="selected",
        )


class EffSeg(nn.Module):
    """EffSeg on regions with queries (a `MaskHead`).

    `policy` and `budget` say which cells are refined and how many; both may be changed after training.
    """

    class_specific = False

    def __init__(
        self,
        *,
        fusion: QueryFusion,
        trunk: nn.Module,
        branches: Branches,
        stages: Sequence[SparseStage],
        grid: GridType,
        budget: Budget,
        position_encoding: bool,
        stretch_maps: bool,
    ) -> None:
        super().__init__()
        self.fusion = fusion
        self.trunk = trunk
        self.branches = branches
        self.stages = nn.ModuleList(stages)
        self.grid = grid
        self.budget = budget
        self.policy: policies.Policy = policies.predicted
        self.position_encoding = position_encoding
        self.stretch_maps = stretch_maps

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict a dense stage and three sparse ones. Nothing is random: `generator` is not used.

        Raises ValueError where `stretch_maps` asks for the size of the input and the detections do not have it.
        """
        if self.stretch_maps and detections.image_size is None:
            raise ValueError(
                "EffSeg got detections without the size of their images; it stretches the pyramid over "
                "them, so it needs `image_size`, the (height, width) of the padded input; give it, or build with "
                "stretch_maps=False."
            )
        boxes, image, region_counts = detections.boxes, detections.image, detections.region_counts
        aligned = align_regions(pyramid, boxes, image, REGION_SIDE)
        if self.position_encoding:
            aligned = aligned + sine_encoding(REGION_SIDE, aligned.shape[1], aligned)
        grid: Grid = self.grid.dense(self.trunk(self.fusion(aligned, detections.queries)))
        mask_logits, refine_logits = self.branches(grid.active)
        stages = [
            Stage(
                side=REGION_SIDE,
                mask_logits=mask_logits.view(grid.size),
                refine_logits=refine_logits.view(grid.size),
            )
        ]
        counts = tuple(number * REGION_SIDE**2 for number in region_counts)
        flat = FlatPyramid(pyramid, detections.image_size if self.stretch_maps else None)
        sampler = RegionSampler(pyramid=flat, boxes=boxes, image=image, levels=region_levels(boxes))
        for depth, stage in enumerate(self.stages, start=1):
            scores = self.policy(stages).detach()
            keep, kept = top_cells(scores.flatten(), counts, region_counts, self.budget)
            # Nobody asks where to refine after the last stage; its branch only learns along.
            refine = self.training or depth < len(self.stages)
            grid, prediction = stage(grid, keep, sampler, depth, refine=refine)
            stages.append(prediction)
            counts = tuple(4 * count for count in kept)
        return stages

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Cross-entropy of both branches on the cells that a stage predicted; mixed cells are worth refining."""
        losses, num_regions = {}, len(targets.boxes)
        for stage, weight in zip(stages, MASK_WEIGHTS, strict=True):
            assert stage.refine_logits is not None
            covered = at_cells(coverage(targets, stage.side), stage)
            mask, refine = segmentation_target(covered), refinement_target(covered)
            losses[f"mask_{stage.side}"] = mask_loss(stage.mask_logits, mask, num_regions, weight)
            losses[f"refine_{stage.side}"] = mask_loss(stage.refine_logits, refine, num_regions, REFINE_WEIGHT)
        return losses


def sine_encoding(side: int, channels: int, like: Float[Tensor, "..."]) -> Float[Tensor, "C side side"]:
    """Fixed sine code of cell centres in (0, 1)^2: a quarter of the channels each for sin x, cos x, sin y, cos y.

    Angles are 2 pi times the position over periods 10000^(4 i / C). Raises ValueError if 4 does not divide `channels`.
    """
    if channels % 4:
        raise ValueError(
            f"The position encoding got {channels} channels; it needs a multiple of 4. "
            "Use such a pyramid or position_encoding=False."
        )
    center = (torch.arange(side, device=like.device) + 0.5) / side
    period = 10_000 ** (torch.arange(channels // 4, device=like.device) * 4 / channels)
    angle = 2 * math.pi * center / period[:, None]
    along_x = torch.cat([angle.sin(), angle.cos()])[:, None].expand(-1, side, side)
    along_y = torch.cat([angle.sin(), angle.cos()])[:, :, None].expand(-1, side, side)
    return torch.cat([along_x, along_y]).to(like.dtype)


def build(config: Config, pyramid_channels: int, query_size: int, num_classes: int) -> nn.Module:
    """Build EffSeg; it predicts one mask for all classes, so `num_classes` is not used."""
    module = processing_module(config.module)
    pairs = zip(config.features[:-1], config.features[1:], strict=True)
    return EffSeg(
        fusion=QueryFusion(pyramid_channels, query_size),
        trunk=fcn(pyramid_channels, config.features[0], config.num_convs),
        branches=Branches(config.features[0]),
        stages=[
            SparseStage(
                features=before, pyramid_channels=pyramid_channels, features_out=after, process=module.build(after)
            )
            for before, after in pairs
        ],
        grid=backend(config.backend),
        budget=Budget(None) if module.REFINE_ALL else config.budget,
        position_encoding=config.position_encoding,
        stretch_maps=config.stretch_maps,
    )
