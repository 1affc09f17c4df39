"""One step: every rank learns from its images, all share losses and gradients, all move alike."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor
from torch.optim import AdamW

from bench.data.image_ids import original
from bench.data.samples import Sample, Skipped, collate
from bench.model.segmenter import Segmenter
from bench.training.collectives import TrainingStopped, all_gather, all_reduce
from bench.training.joint import Joint
from bench.training.optimiser import trainable
from bench.training.order import randomness
from bench.training.recipe import Recipe

# A strided 3x3 convolution on a 16-bit map one cell wide gets a gradient of memory nobody wrote (oneDNN in torch 2.14).
# P6 is such a map in images up to this wide, in pixels: they are computed in 32 bits.
_NARROW = 64


@dataclass(frozen=True, kw_only=True)
class ImageLosses:
    """The losses of one image by name; none where it could not be read, and then the reason."""

    image_id: int
    losses: Mapping[str, float] = field(default_factory=dict)
    unreadable: str | None = None


def step(
    model: Segmenter, optimiser: AdamW, recipe: Recipe, read: Callable[[], Mapping[int, Sample | Skipped]], seed: int
) -> tuple[list[ImageLosses], float]:
    """Take one step; give the losses of the images of all ranks, in their order, and the norm of the gradient.

    `read` gives this rank's images by their position in the order of training. The gradient is the mean over all
    images that could be read; where none could, nothing moves. Raises TrainingStopped where a loss or the gradient is
    not finite or another rank has gone, and ValueError for an image without known annotations.
    """
    optimiser.zero_grad()
    shares = all_gather(
        lambda: {position: _backward(model, recipe, image, seed, position) for position, image in read().items()}
    )
    by_position = {position: losses for share in shares for position, losses in share.items()}
    per_image = [by_position[position] for position in sorted(by_position)]
    num_read = sum(image.unreadable is None for image in per_image)
    if not num_read:
        return per_image, 0.0
    _check(per_image)
    _average(list(trainable(model).values()), num_read)
    norm = _limit(model, recipe)
    if not math.isfinite(norm):
        raise TrainingStopped(
            f"the gradient is not finite on the images {_ids(per_image)}; expected finite numbers; "
            "look at these images, or train with a lower learning rate, with max_norm or in 32 bits."
        )
    optimiser.step()
    return per_image, norm


def draws_true_boxes(recipe: Recipe, generator: torch.Generator) -> bool:
    """Draw whether the head learns in true boxes, which comes before all else that is drawn for an image."""
    return float(torch.rand((), generator=generator, device=generator.device)) < recipe.true_boxes


def computes_in(recipe: Recipe, device: torch.device) -> Literal["bfloat16", "float32"]:
    """The numbers that a training computes with on a device: 16-bit ones only where it has instructions for them.

    Without these, a processor makes every one of them from 32-bit ones: half as fast, and less exact.
    """
    if not recipe.bfloat16:
        return "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older releases of torch do not tell
    return "bfloat16" if any(has for name, has in able.items() if name.endswith("bf16")) else "float32"


def mean_losses(per_image: Sequence[ImageLosses]) -> dict[str, float]:
    """Mean of every loss over the images that could be read; none where none could."""
    read = [image.losses for image in per_image if image.unreadable is None]
    return {name: sum(losses[name] for losses in read) / len(read) for name in read[0]} if read else {}


def _backward(model: Segmenter, recipe: Recipe, image: Sample | Skipped, seed: int, position: int) -> ImageLosses:
    """Add the gradient of one image to those of this rank."""
    if isinstance(image, Skipped):
        return ImageLosses(image_id=image.image_id, unreadable=image.reason)
    if image.objects is None:
        raise ValueError(
            f"Image {original(image.image_id)} has no known annotations; training needs those of every image, even if "
            "they say that there are no objects; leave the image out."
        )
    weight = next(model.parameters())
    batch = collate([image]).to(weight.device)
    generator = randomness(seed, position, weight.device)
    true_boxes = draws_true_boxes(recipe, generator)
    short = computes_in(recipe, weight.device) == "bfloat16" and batch.images.shape[3] > _NARROW
    with torch.autocast(weight.device.type, torch.bfloat16, enabled=short):
        losses = model(
            replace(batch, images=batch.images.to(weight.dtype)),
            generator,
            true_boxes=true_boxes,
            max_regions=recipe.max_regions,
        )
    values = torch.stack([loss.to(weight.dtype) for loss in losses.values()])
    values.sum().backward()
    return ImageLosses(image_id=image.image_id, losses=dict(zip(losses, values.tolist(), strict=True)))


def _check(per_image: Sequence[ImageLosses]) -> None:
    """Raise TrainingStopped unless every loss is finite."""
    wrong = [
        f"{name} = {loss} on image {original(image.image_id)}"
        for image in per_image
        for name, loss in image.losses.items()
        if not math.isfinite(loss)
    ]
    if wrong:
        raise TrainingStopped(
            f"{', '.join(wrong)}; expected finite losses; the images of the step are {_ids(per_image)}; "
            "look at them, or train with a lower learning rate, with max_norm or in 32 bits."
        )


def _average(parameters: Sequence[torch.nn.Parameter], num_images: int) -> None:
    """Turn the sums of gradients over this rank's images into means over all images."""
    gradients: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:  # none of this rank's images could be read
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    all_reduce(gradients)
    for gradient in gradients:
        gradient /= num_images


def _limit(model: Segmenter, recipe: Recipe) -> float:
    """Limit the norm of the gradient; give the norm that it had.

    On a detector that stays as it is, every head has a limit of its own: no head feels those beside it.
    """
    learning = [list(trainable(model).values())]
    if recipe.trained == "head" and isinstance(model.head, Joint):
        learning = [list(head.parameters()) for head in model.head.heads.values()]
    # Without a limit this only measures: what is multiplied by 1 stays the same to the last bit.
    limit = recipe.max_norm or math.inf
    return math.hypot(*(float(torch.nn.utils.clip_grad_norm_(parameters, limit)) for parameters in learning))


def _ids(per_image: Sequence[ImageLosses]) -> str:
    return ", ".join(str(original(image.image_id)) for image in per_image)
