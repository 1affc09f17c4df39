"""The contract between detector, heads and everything after them: Pyramid, Detections, Stage, Targets, MaskHead.

Mask R-CNN is one dense stage, PointRend a dense and some sparse ones, RefineMask four dense ones, EffSeg one dense
and three sparse. Hence assembly, mask score, pasting, targets and traces are written once, outside the heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Pyramid = Mapping[int, Tensor]
"""Feature maps by level: `pyramid[k]` is [B C H W] with stride 2^k."""


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Output of a detector and input of a head. Regions and predictions are both ordered by image.

    A region is a box with its query; a prediction is a (region, class) pair with a score. One region may carry
    several predictions. Boxes are xyxy in input pixels and need not lie inside the image; labels are 0-based.
    `region_counts` and `prediction_counts` hold the numbers per image, on the host. `image_size` is the (height, width)
    of the padded input that the pyramid is of, which its maps do not tell; heads may ask for it.
    """

    boxes: Float[Tensor, "R 4"]
    image: Int[Tensor, "R"]
    queries: Float[Tensor, "R Q"]
    region: Int[Tensor, "D"]
    labels: Int[Tensor, "D"]
    scores: Float[Tensor, "D"]
    region_counts: tuple[int, ...]
    prediction_counts: tuple[int, ...]
    image_size: tuple[int, int] | None = None

    def per_prediction(self) -> "Detections":
        """One region per prediction: what a class-specific head computes masks for."""
        return Detections(
            boxes=self.boxes[self.region],
            image=self.image[self.region],
            queries=self.queries[self.region],
            region=torch.arange(len(self.labels), device=self.labels.device),
            labels=self.labels,
            scores=self.scores,
            region_counts=self.prediction_counts,
            prediction_counts=self.prediction_counts,
            image_size=self.image_size,
        )


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The predictions of one stage of a head, and where they are.

    A dense stage has `mask_logits` [R S S] and no `region` and `point`. A sparse stage has `mask_logits` [A] with
    `region` [A] and `point` [A 2], (x, y) in [0, 1]^2 of the region's box; its lattice cell is `floor(point * side)`.
    `refine_logits`, where a head predicts where to refine, has the shape of `mask_logits`.

    `overwrite` says which values replace those of the upsampled mask of the stages before:
    `all` of them, only the `selected` (sparse) ones, or only those at the `boundary` of the mask so far.
    `align_corners` is the convention of the x2 bilinear upsampling *into* this stage.

    Of features that are not numbers come logits that are not: a mask with one is an error, as a loss of it is. Neither
    may a head stop at them nor make a mask of them. Infinite logits are sure.

    `quality` [R], where a head predicts it, is in [0, 1] how well it thinks that its mask fits; only the last stage's
    is read. A head whose loss needs more of a stage subclasses it, frozen as this, and adds fields.
    """

    side: int
    mask_logits: Float[Tensor, "R S S"] | Float[Tensor, "A"]
    refine_logits: Float[Tensor, "R S S"] | Float[Tensor, "A"] | None = None
    region: Int[Tensor, "A"] | None = None
    point: Float[Tensor, "A 2"] | None = None
    overwrite: Literal["all", "selected", "boundary"] = "all"
    align_corners: bool = False
    quality: Float[Tensor, "R"] | None = None


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Ground truth of the regions of a training step.

    `masks` [G H W] bool: all objects of the batch at (padded) input resolution, `image` [G]: the image of each.
    `index` [R]: the object of each region. `boxes` [R 4]: the regions' boxes. `image_sizes` [R 2]: (height, width) of
    each region's unpadded image.
    """

    masks: Bool[Tensor, "G H W"]
    image: Int[Tensor, "G"]
    index: Int[Tensor, "R"]
    boxes: Float[Tensor, "R 4"]
    image_sizes: Float[Tensor, "R 2"]


@runtime_checkable
class MaskHead(Protocol):
    """A segmentation head, an `nn.Module`. One mask per region.

    `class_specific` heads get one region per prediction (`Detections.per_prediction`) and take `labels[r]` as the
    class of region `r`; the others get the regions as they are and their masks are shared by all predictions of a
    region. In training every region is a matched query with one prediction: the class of its object.
    """

    class_specific: bool
    training: bool

    def __call__(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> list[Stage]:
        """Predict the stages; `generator` feeds whatever is random in training (None: torch's global one)."""
        ...

    def loss(self, stages: Sequence[Stage], targets: Targets) -> dict[str, Tensor]:
        """Weighted losses by name, each summed over regions; without regions 0, attached to the graph."""
        ...
