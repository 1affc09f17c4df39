"""Recipes: everything that trained weights depend on besides model, data and seed, as values."""

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

from bench.data.augment import PAPER_TRAINING, SMALL_TRAINING, MultiScale
from bench.training.choices import Choices


@dataclass(frozen=True, kw_only=True)
class Drops:
    """A schedule of steps: `drops` are (fraction of the training, factor of the first rate from there on)."""

    drops: tuple[tuple[float, float], ...]

    def __call__(self, progress: float) -> float:
        """Give the factor at `progress` in [0, 1)."""
        return next((factor for fraction, factor in reversed(self.drops) if progress >= fraction), 1.0)


@dataclass(frozen=True)
class Cosine:
    """A schedule that falls from 1 to 0 along half a period of the cosine."""

    def __call__(self, progress: float) -> float:
        """Give the factor at `progress` in [0, 1)."""
        return (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    `images_per_step` counts those of all ranks together; gradients are means over them. Learning rates go by
    parameter name: "offset" in it (the sampling offsets of deformable attention), else in the backbone, else the rest.
    Over the first `warmup_steps` they grow linearly. `max_norm` limits the norm of the gradient, of every head by
    itself where several learn on a detector that stays as it is; None leaves it.

    `trained` is "all", or "head": then backbone, neck and detector stay as they are. `true_boxes` is the share of the
    images whose head learns in the boxes of the objects themselves; in the others it learns in the predicted boxes of
    matched queries, of which `max_regions` drawn at random count (None: all). `bfloat16` computes by autocast, on
    devices that have instructions for it.

    Whoever makes the data set gives it the `augmentation`.
    """

    name: str
    num_steps: int
    images_per_step: int
    learning_rate: float
    backbone_rate: float
    offset_rate: float
    weight_decay: float
    schedule: Drops | Cosine
    augmentation: MultiScale
    warmup_steps: int = 0
    max_norm: float | None = None
    trained: Literal["all", "head"] = "all"
    true_boxes: float = 0.0
    max_regions: int | None = None
    bfloat16: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a recipe that trains nothing."""
        if self.num_steps < 1 or self.images_per_step < 1:
            raise ValueError(
                f"The recipe {self.name} has {self.num_steps} steps of {self.images_per_step} images; expected at "
                "least 1 of each; ask for more epochs or images."
            )

    def factor(self, step: int) -> float:
        """Give what the learning rates are multiplied by at a step (from 0)."""
        warmth = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warmth * self.schedule(step / self.num_steps)

    def described(self) -> dict[str, str]:
        """Every field in words, to be kept and compared."""
        return {field.name: repr(getattr(self, field.name)) for field in fields(self)}


_PAPER_DROPS = {12: ((9 / 12, 0.1),), 24: ((18 / 24, 0.1), (22 / 24, 0.01))}


def paper(num_images: int, epochs: int = 12) -> Recipe:
    """The paper's recipe (Sec. 4.1) for a data set of `num_images`: 2 images a step, no clipping, 32 bits.

    Raises ValueError unless `epochs` is 12 or 24, whose schedules are known.
    """
    if epochs not in _PAPER_DROPS:
        raise ValueError(
            f"The paper has no schedule of {epochs} epochs; expected 12 or 24; make a Recipe with the drops you want."
        )
    return Recipe(
        name=f"{epochs}ep",
        num_steps=math.ceil(epochs * num_images / 2),
        images_per_step=2,
        learning_rate=1e-4,
        backbone_rate=1e-5,
        offset_rate=1e-5,
        weight_decay=1e-4,
        schedule=Drops(drops=_PAPER_DROPS[epochs]),
        augmentation=PAPER_TRAINING,
    )


def small(num_views: int = 18_000) -> Recipe:
    """The small preset from scratch, detector and heads together, until `num_views` images have been shown.

    The rates are ten times the paper's, because everything starts from random weights; so are those of the backbone.
    Heads learn in true boxes too, because those of a new detector are anywhere, and in few regions, which is cheaper.
    """
    return Recipe(
        name="small",
        num_steps=math.ceil(num_views / 4),
        images_per_step=4,
        learning_rate=1e-3,
        backbone_rate=1e-3,
        offset_rate=1e-4,
        weight_decay=1e-4,
        schedule=Drops(drops=((0.6, 0.3), (0.85, 0.1))),
        augmentation=SMALL_TRAINING,
        warmup_steps=100,
        max_norm=5.0,
        true_boxes=0.5,
        max_regions=8,
        bfloat16=True,
    )


def small_tuned(num_views: int = 6_000) -> Recipe:
    """The small preset from weights trained on other images: as `small`, the backbone at a tenth of the rate.

    What a backbone learned from many images should not be overwritten at full rate by what a few hundred show it.
    """
    return replace(small(num_views), name="small_tuned", backbone_rate=1e-4)


def small_head(num_views: int) -> Recipe:
    """A head of the small preset on a frozen detector: every head sees the same pyramids, boxes and images.

    True boxes and predicted ones in equal parts: heads that never see the detector's boxes are worse in them.
    """
    return Recipe(
        name="small_head",
        num_steps=math.ceil(num_views / 2),
        images_per_step=2,
        learning_rate=1e-3,
        backbone_rate=0.0,
        offset_rate=1e-4,
        weight_decay=1e-4,
        schedule=Cosine(),
        augmentation=SMALL_TRAINING,
        max_norm=5.0,
        trained="head",
        true_boxes=0.5,
        max_regions=16,
        bfloat16=True,
    )


def frozen(num_images: int, epochs: int = 1, preset: str = "paper") -> Recipe:
    """Heads side by side on a frozen detector that is there: the paper's recipe (Sec. 4.1), cut to `epochs` epochs.

    2 images a step, no warm-up, the rates of the paper, which fall to a tenth after three quarters of the training as
    they do after 9 of its 12 epochs: it ends with the same small steps, so that heads of few epochs are not compared
    in the middle of large ones. Heads learn in all predicted boxes of matched queries, as in the paper.

    Another preset than the paper's has the images of the small one, and its rates, which are ten times the paper's.
    Raises ValueError for less than one epoch.
    """
    recipe = replace(
        paper(num_images),
        name=f"frozen_{epochs}ep",
        num_steps=math.ceil(epochs * num_images / 2),
        backbone_rate=0.0,
        schedule=Drops(drops=((0.75, 0.1),)),
        trained="head",
    )
    if preset == "paper":
        return recipe
    return replace(recipe, learning_rate=1e-3, offset_rate=1e-4, augmentation=SMALL_TRAINING)


def own_detector(choices: Choices) -> Recipe:
    """The detector for somebody's own data: as `small_tuned`, in more and smaller steps, since there are few views."""
    return replace(
        small_tuned(),
        name="own_detector",
        num_steps=math.ceil(choices.detector_views / 2),
        images_per_step=2,
        warmup_steps=50,
        augmentation=choices.augmentation,
    )


def own_head(choices: Choices) -> Recipe:
    """A head for somebody's own data, on the frozen detector: as `small_head`, in more regions of fewer pictures."""
    recipe = small_head(choices.head_views)
    return replace(recipe, name="own_head", max_regions=24, augmentation=choices.augmentation)
