"""The loop: train a model by a recipe, from the beginning or from the last checkpoint."""

import time
from contextlib import closing
from functools import partial
from pathlib import Path

from bench import ranks
from bench.model.segmenter import Segmenter
from bench.model.task import Task
from bench.model.weights import save_weights
from bench.training.collectives import TrainingStopped, all_gather, stop_on_sigterm
from bench.training.folder import TrainingFolder
from bench.training.log import Line
from bench.training.optimiser import adamw, moments, set_step
from bench.training.order import Order, TrainingData, share
from bench.training.progress import progress
from bench.training.recipe import Recipe
from bench.training.step import mean_losses, step

WEIGHTS = "weights.safetensors"


def train(
    model: Segmenter,
    data: TrainingData,
    recipe: Recipe,
    directory: Path,
    task: Task,
    *,
    workers: int = 0,
    checkpoint_every: int = 500,
) -> Path:
    """Train a model, on its device and in its precision; give the file of its weights in `directory`.

    Checkpoints in the directory are gone on from, exactly as if nothing had happened; under torchrun those that rank 0
    sees. `workers` processes of every rank read images ahead. Raises ValueError for data, ranks and checkpoints that
    do not fit, and TrainingStopped where training cannot go on.
    """
    _check(data, recipe)
    _freeze(model, recipe)
    optimiser = adamw(model, recipe)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"optimiser.{name}": tensor for name, tensor in moments(model, optimiser).items()}
    order = Order(data=data, seed=task.subject.seed)
    with (
        closing(TrainingFolder(directory, task, recipe, tensors)) as folder,
        progress(recipe.name, recipe.num_steps, folder.done) as advance,
    ):
        images = share(order, range(folder.done, recipe.num_steps), recipe.images_per_step, workers)
        number = folder.done + 1
        try:
            with stop_on_sigterm():
                for number in range(folder.done + 1, recipe.num_steps + 1):
                    began = time.perf_counter()
                    set_step(optimiser, recipe, folder.done)
                    per_image, norm = step(model, optimiser, recipe, partial(next, images), order.seed)
                    losses = mean_losses(per_image)
                    line = Line(
                        step=number,
                        losses=losses,
                        total=sum(losses.values()),
                        learning_rate=recipe.learning_rate * recipe.factor(number - 1),
                        gradient_norm=norm,
                        seconds=time.perf_counter() - began,
                        unreadable={
                            str(one.image_id): one.unreadable for one in per_image if one.unreadable is not None
                        },
                    )
                    folder.log(line)
                    if number % checkpoint_every == 0 or number == recipe.num_steps:
                        folder.save()
                    advance(line.total)
        except TrainingStopped as error:
            raise TrainingStopped(f"Step {number} of {recipe.num_steps}: {error} {folder.remedy()}") from error
    path = directory / WEIGHTS
    all_gather(lambda: save_weights(model, path, task) if ranks.rank() == 0 else None)
    return path


def _check(data: TrainingData, recipe: Recipe) -> None:
    if not len(data):
        raise ValueError("The data set has no images; training needs at least one; check its annotation file.")
    if recipe.images_per_step < ranks.world_size():
        raise ValueError(
            f"There are {ranks.world_size()} ranks for {recipe.images_per_step} images per step; expected an image for "
            "every rank; start fewer ranks, or take a recipe with more images per step."
        )


def _freeze(model: Segmenter, recipe: Recipe) -> None:
    model.train()
    if recipe.trained == "head":
        for part in (model.backbone, model.neck, model.detector):
            part.requires_grad_(False).eval()
