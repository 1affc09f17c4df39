"""AdamW in three learning-rate groups, whose state can be saved by parameter name (Sec. 4.1)."""

import torch
from torch import Tensor
from torch.optim import AdamW

from bench.model.segmenter import Segmenter
from bench.training.recipe import Recipe

_MOMENTS = ("exp_avg", "exp_avg_sq")


def trainable(model: Segmenter) -> dict[str, torch.nn.Parameter]:
    """Parameters that training changes, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def first_rate(name: str, recipe: Recipe) -> float:
    """Learning rate of a parameter before the schedule, by its name."""
    if "offset" in name:
        return recipe.offset_rate
    return recipe.backbone_rate if name.startswith("backbone.") else recipe.learning_rate


def adamw(model: Segmenter, recipe: Recipe) -> AdamW:
    """Make the optimiser of a model. Its state exists from the beginning, so that it can be loaded into."""
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in trainable(model).items():
        groups.setdefault(first_rate(name, recipe), []).append(parameter)
    optimiser = AdamW(
        [{"params": parameters, "first_rate": rate} for rate, parameters in groups.items()],
        weight_decay=recipe.weight_decay,
    )
    for parameter in trainable(model).values():
        optimiser.state[parameter] = {name: torch.zeros_like(parameter) for name in _MOMENTS}
    set_step(optimiser, recipe, 0)
    return optimiser


def set_step(optimiser: AdamW, recipe: Recipe, step: int) -> None:
    """Prepare for a step (from 0): the learning rates, and the count that AdamW corrects its moments with."""
    for group in optimiser.param_groups:
        group["lr"] = group["first_rate"] * recipe.factor(step)
        for parameter in group["params"]:
            optimiser.state[parameter]["step"] = torch.tensor(float(step))


def moments(model: Segmenter, optimiser: AdamW) -> dict[str, Tensor]:
    """The optimiser's running moments, as `exp_avg.<parameter>` and `exp_avg_sq.<parameter>`."""
    return {
        f"{moment}.{name}": optimiser.state[parameter][moment]
        for name, parameter in trainable(model).items()
        for moment in _MOMENTS
    }
